#include "postgres/presence.h"

#include <dirent.h>

#include <cerrno>
#include <memory>

#include "core/error.h"
#include "core/names.h"
#include "postgres/guard.h"

namespace immbackup {

FilesPresent::FilesPresent(const std::filesystem::path& folder) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
    if (!directory) {
        if (errno == ENOENT) {
            return;
        }
        throw system_error(errno, "list directory", folder.native());
    }
    while (const dirent* entry = ::readdir(directory.get())) {
        names_.emplace(entry->d_name);
        if (names_.size() % 1024 == 0) {
            check_interrupts();
        }
    }
}

bool FilesPresent::complete(std::string_view stem) const {
    for (const DumpFormat format : kDumpFormats) {
        if (names_.contains(artifact_file(stem, format)) &&
            names_.contains(digest_file(stem, format)) &&
            names_.contains(manifest_file(stem, format))) {
            return true;
        }
    }
    return false;
}

}  // namespace immbackup
