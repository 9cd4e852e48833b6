#include "store/layout.h"

#include <sys/stat.h>

namespace immbackup {

namespace {

bool is_there(const std::filesystem::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

DumpFormat Layout::format_of(std::string_view stem) const {
    for (const DumpFormat format : kDumpFormats) {
        if (is_there(manifest(stem, format))) {
            return format;
        }
    }
    for (const DumpFormat format : kDumpFormats) {
        if (is_there(artifact(stem, format)) || is_there(digest(stem, format))) {
            return format;
        }
    }
    return DumpFormat::gzip;
}

}  // namespace immbackup
