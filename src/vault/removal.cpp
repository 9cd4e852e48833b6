#include "vault/removal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdio>

#include "vault/failure.h"
#include "vault/privileges.h"
#include "vault/tree.h"

namespace immbackup::vault {

bool lift_flag(const Fd& fd) {
    int flags = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
        return false;
    }
    flags &= ~FS_IMMUTABLE_FL;
    const Immutable effective;
    return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

void remove_in(const Fd& folder, const std::string& name) {
    if (::unlinkat(folder.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
        throw system_failure(errno, "remove \"" + name + "\"");
    }
}

namespace {

// In the blocks that the file has.
void overwrite(const Fd& fd, const std::string& text) {
    write_all(fd, text);
    if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) != 0) {
        throw system_failure(errno, "shorten a file");
    }
    sync(fd);
}

void replace_by_new(const Fd& folder, const std::string& name, const std::string& text) {
    const std::string temporary = name + ".new";
    const Fd fd = create_unnamed(folder);
    write_all(fd, text);
    sync(fd);
    remove_in(folder, temporary);
    link_file(fd, folder, temporary);
    if (::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
        throw system_failure(errno, "replace \"" + name + "\"");
    }
    sync(folder);
}

}  // namespace

void replace_in(const Fd& folder, const std::string& name, const std::string& text) {
    try {
        replace_by_new(folder, name, text);
    } catch (const Failure& failure) {
        const Fd old(
            ::openat(folder.get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (failure.code != Code::no_space || !old) {
            throw;
        }
        overwrite(old, text);
    }
}

}  // namespace immbackup::vault
