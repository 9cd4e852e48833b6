#include "store/layout.h"

#include <sys/stat.h>

namespace immbackup {

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

}  // namespace immbackup
