#include "store/seal.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

namespace immbackup {

namespace {

int bit_of(InodeFlag flag) {
    return flag == InodeFlag::immutable ? FS_IMMUTABLE_FL : FS_APPEND_FL;
}

}  // namespace

bool set_inode_flag(const Fd& fd, InodeFlag flag, bool on) {
    int flags = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
        return false;
    }
    const int wanted = on ? flags | bit_of(flag) : flags & ~bit_of(flag);
    return wanted == flags || ::ioctl(fd.get(), FS_IOC_SETFLAGS, &wanted) == 0;
}

bool has_inode_flag(const Fd& fd, InodeFlag flag) {
    int flags = 0;
    return ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & bit_of(flag)) != 0;
}

}  // namespace immbackup
