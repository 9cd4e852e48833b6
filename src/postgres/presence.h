// Which files there are where artifacts are: one listing instead of hundreds of thousands of stat()
// calls.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "store/layout.h"

namespace immbackup {

class FilesPresent {
  public:
    // For C++ frames; an absent folder has no files. Throws where it cannot be read.
    explicit FilesPresent(const Layout& layout);
    // All three files of an artifact, in one folder.
    bool complete(std::string_view stem) const;

  private:
    using Names = std::unordered_set<std::string>;
    static Names names_in(const std::filesystem::path& folder);
    std::vector<Names> folders_;
};

}  // namespace immbackup
