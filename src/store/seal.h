// The inode flags that seal: immutable for artifacts, append-only for the audit log
// (ioctl_iflags(2); ext4, xfs, btrfs, tmpfs since Linux 6.6). Setting either needs
// CAP_LINUX_IMMUTABLE.
#pragma once

#include "io/fd.h"

namespace immbackup {

enum class InodeFlag { immutable, append_only };

// False where the file system has no such flag or the process may not set it; errno says which.
bool set_inode_flag(const Fd& fd, InodeFlag flag, bool on);
bool has_inode_flag(const Fd& fd, InodeFlag flag);

}  // namespace immbackup
