#include "store/layout.h"

#include <sys/stat.h>

namespace immbackup {

namespace {

bool is_there(const std::filesystem::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

std::vector<std::filesystem::path> Layout::artifact_folders() const {
    if (vault) {
        return {active(), plain().active()};
    }
    return {active()};
}

Layout find_layout(const std::filesystem::path& root) {
    const auto directory = [](const std::filesystem::path& path, uid_t& owner) {
        struct stat status {};
        if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
            return false;
        }
        owner = status.st_uid;
        return true;
    };
    uid_t work = 0;
    uid_t active = 0;
    return {root,
            directory(root / "work", work) && directory(root / "active", active) && work != active};
}

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
