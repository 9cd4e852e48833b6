// Which files there are in active/: one listing instead of hundreds of thousands of stat() calls.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>

namespace immbackup {

class FilesPresent {
  public:
    // For C++ frames; an absent folder has no files. Throws where it cannot be read.
    explicit FilesPresent(const std::filesystem::path& folder);
    // All three files of an artifact.
    bool complete(std::string_view stem) const;

  private:
    std::unordered_set<std::string> names_;
};

}  // namespace immbackup
