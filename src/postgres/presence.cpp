#include "postgres/presence.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "core/error.h"
#include "core/names.h"
#include "postgres/guard.h"

namespace immbackup {

FilesPresent::FilesPresent(const Layout& layout) {
    for (const auto& folder : layout.artifact_folders()) {
        folders_.push_back(names_in(folder));
    }
}

FilesPresent::Names FilesPresent::names_in(const std::filesystem::path& folder) {
    Names names;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
    if (!directory) {
        if (errno == ENOENT) {
            return names;
        }
        throw system_error(errno, "list directory", folder.native());
    }
    while (const dirent* entry = ::readdir(directory.get())) {
        names.emplace(entry->d_name);
        if (names.size() % 1024 == 0) {
            check_interrupts();
        }
    }
    return names;
}

bool FilesPresent::complete(std::string_view stem) const {
    return std::any_of(folders_.begin(), folders_.end(), [&](const Names& names) {
        return std::any_of(kDumpFormats.begin(), kDumpFormats.end(), [&](DumpFormat format) {
            return names.contains(artifact_file(stem, format)) &&
                   names.contains(digest_file(stem, format)) &&
                   names.contains(manifest_file(stem, format));
        });
    });
}

}  // namespace immbackup
