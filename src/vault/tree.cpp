#include "vault/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>

#include "vault/failure.h"
#include "vault/privileges.h"
#include "vault/removal.h"

namespace immbackup::vault {

namespace {

constexpr mode_t kOthersWrite = 0022;

// openat2(2): no symbolic link, not even of the last part, and never out of `folder`.
Fd open_at(int folder, const std::string& name, std::uint64_t flags) {
    open_how how{};
    how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
    how.mode = (flags & O_CREAT) != 0 ? 0600 : 0;
    how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
    return Fd(static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how)));
}

void check_of_root(const Fd& fd, const std::string& path) {
    const struct stat status = status_of(fd);
    if (status.st_uid != 0 || (status.st_mode & kOthersWrite) != 0) {
        throw Failure{
            Code::config,
            "\"" + path + "\" " +
                (status.st_uid != 0 ? "does not belong to root"
                                    : "can be written by others than root"),
            "Who can write there could replace what is below it: chown root, chmod go-w."};
    }
}

std::string of_fd(const Fd& fd) {
    return "/proc/self/fd/" + std::to_string(fd.get());
}

int flag_bits(Flag flag) {
    return flag == Flag::immutable ? FS_IMMUTABLE_FL : FS_APPEND_FL;
}

Fd open_folder(const Fd& root, const std::string& name, const Ids& ids) {
    constexpr mode_t kFolderMode = 02750;
    Fd fd = open_at(root.get(), name, O_RDONLY | O_DIRECTORY);
    if (!fd) {
        throw system_failure(errno, "open the vault's folder \"" + name + "\"");
    }
    const struct stat status = status_of(fd);
    if (status.st_uid != ids.user || status.st_gid != ids.client_group ||
        (status.st_mode & 07777) != kFolderMode) {
        throw Failure{Code::config,
                      "the vault's folder \"" + name +
                          "\" has not the owner, group and mode (2750) that it must have",
                      "`make install-vault` sets them."};
    }
    return fd;
}

}  // namespace

Fd open_safe_folder(const std::string& path) {
    Fd fd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    check_of_root(fd, "/");
    for (std::size_t at = 1; at < path.size();) {
        const std::size_t end = std::min(path.find('/', at), path.size());
        Fd next = open_at(fd.get(), path.substr(at, end - at), O_PATH | O_DIRECTORY);
        if (!next) {
            throw Failure{Code::config,
                          system_failure(errno, "open the folder \"" + path.substr(0, end) +
                                                    "\" (by openat2, Linux 5.6)")
                              .message};
        }
        check_of_root(next, path.substr(0, end));
        fd = std::move(next);
        at = end + 1;
    }
    return fd;
}

std::string read_safe_file(const std::string& path, std::size_t limit) {
    const auto slash = path.rfind('/');
    const Fd folder = open_safe_folder(path.substr(0, slash));
    const Fd fd = open_in(folder, path.substr(slash + 1));
    if (!fd) {
        throw Failure{Code::config, system_failure(errno, "open \"" + path + "\"").message,
                      "`make install-vault` makes it."};
    }
    check_of_root(fd, path);
    return read_whole(fd, limit);
}

bool has_flag(const Fd& fd, Flag flag) {
    int flags = 0;
    return ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & flag_bits(flag)) != 0;
}

bool set_flag(const Fd& fd, Flag flag) {
    int flags = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
        return false;
    }
    flags |= flag_bits(flag);
    const Immutable effective;
    return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

Ids look_up(const Config& config) {
    const auto known = [](auto* found, const std::string& what) {
        if (found == nullptr) {
            throw Failure{Code::config, "there is no " + what};
        }
        return *found;
    };
    const auto user = [&](const std::string& name) {
        return known(::getpwnam(name.c_str()), "user \"" + name + '"');
    };
    const auto group = [&](const std::string& name) {
        return known(::getgrnam(name.c_str()), "group \"" + name + '"').gr_gid;
    };
    const passwd vault = user(config.user);
    const bool has_operators = !config.operator_group.empty();
    const Ids ids{vault.pw_uid,
                  vault.pw_gid,
                  user(config.client_user).pw_uid,
                  group(config.client_group),
                  has_operators ? group(config.operator_group) : 0,
                  has_operators};
    if (ids.user == 0 || ids.user == ids.client) {
        throw Failure{Code::config, "the vault's user must be neither root nor the client's"};
    }
    return ids;
}

Tree::Tree(const Config& config, const Ids& ids) : user_(ids.user) {
    const Fd root = open_safe_folder(config.root);
    active_ = open_folder(root, "active", ids);
    logs_ = open_folder(root, "logs", ids);
    records_ = open_folder(root, "records", ids);
}

Level Tree::level(std::string& why) const {
    const Fd probe = create_unnamed(active_);
    if (::fsetxattr(probe.get(), kSealAttribute, "1", 1, XATTR_CREATE) != 0) {
        throw system_failure(errno, "set an extended attribute: the file system does not serve");
    }
    struct statfs system {};
    constexpr auto kOverlay = static_cast<decltype(system.f_type)>(OVERLAYFS_SUPER_MAGIC);
    if (::fstatfs(probe.get(), &system) != 0 || system.f_type == kOverlay) {
        why = "an overlay keeps flags for itself only: the root must be on a real volume";
    } else if (!has_immutable_capability()) {
        why = "the process has no CAP_LINUX_IMMUTABLE";
    } else if (!set_flag(probe, Flag::immutable) || !has_flag(probe, Flag::immutable)) {
        why = system_failure(errno, "set the immutable flag on this file system").message;
    } else {
        // The probe goes with its descriptor; its flag first, since some file systems mind.
        static_cast<void>(lift_flag(probe));
        return Level::vault;
    }
    return Level::dac;
}

Fd Tree::lock(Lock which, Share share, int patience) const {
    Fd fd = open_at(records_.get(), "lock", O_RDWR | O_CREAT);
    if (!fd) {
        throw system_failure(errno, "open the vault's lock");
    }
    struct flock range {};
    range.l_type = share == Share::shared ? F_RDLCK : F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(which);
    range.l_len = 1;
    constexpr int kPause = 10;  // ms
    while (::fcntl(fd.get(), F_OFD_SETLK, &range) != 0) {
        if ((errno != EAGAIN && errno != EACCES) || patience <= 0) {
            throw Failure{Code::busy, "the vault is in use by another request", "Try again later."};
        }
        const timespec pause{0, kPause * 1'000'000L};
        ::nanosleep(&pause, nullptr);
        patience -= kPause;
    }
    return fd;
}

Fd create_unnamed(const Fd& folder) {
    Fd fd(::openat(folder.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd) {
        throw system_failure(errno, "create a file in the vault");
    }
    return fd;
}

Fd reopen_to_read(const Fd& fd) {
    Fd again(::open(of_fd(fd).c_str(), O_RDONLY | O_CLOEXEC));
    if (!again) {
        throw system_failure(errno, "open the new file for reading (is /proc there?)");
    }
    return again;
}

void write_all(const Fd& fd, std::span<const char> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd.get(), bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR) {
            throw system_failure(errno, "write into the vault");
        }
        bytes = bytes.subspan(count > 0 ? static_cast<std::size_t>(count) : 0);
    }
}

void sync(const Fd& fd) {
    if (::fsync(fd.get()) != 0) {
        throw system_failure(errno, "sync a file of the vault");
    }
}

void link_file(const Fd& fd, const Fd& folder, const std::string& name) {
    if (::linkat(AT_FDCWD, of_fd(fd).c_str(), folder.get(), name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        throw system_failure(errno, "give the file \"" + name + "\" its name");
    }
}

Fd open_in(const Fd& folder, const std::string& name) {
    // Not to wait for the other end of what is no file.
    Fd fd = open_at(folder.get(), name, O_RDONLY | O_NONBLOCK);
    if (!fd) {
        if (errno == ENOENT) {
            return fd;
        }
        throw system_failure(errno, "open \"" + name + "\"");
    }
    if (!S_ISREG(status_of(fd).st_mode)) {
        throw Failure{Code::corrupt, "\"" + name + "\" is not a regular file"};
    }
    return fd;
}

bool exists_in(const Fd& folder, const std::string& name) {
    struct stat status {};
    if (::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno != ENOENT) {
        throw system_failure(errno, "look at \"" + name + "\"");
    }
    return false;
}

struct stat status_of(const Fd& fd) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw system_failure(errno, "look at a file");
    }
    return status;
}

std::vector<std::string> names_in(const Fd& folder) {
    // A descriptor of its own: the position is not shared.
    const int copy = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : ::fdopendir(copy),
                                                     &::closedir);
    if (!stream) {
        throw system_failure(errno, "read a folder of the vault");
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") {
            names.push_back(name);
        }
        errno = 0;
    }
    if (errno != 0) {
        throw system_failure(errno, "read a folder of the vault");
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::size_t read_at(const Fd& fd, std::uint64_t begin, std::span<char> out) {
    std::size_t done = 0;
    for (ssize_t count = 1; count != 0 && done < out.size();) {
        count = ::pread(fd.get(), &out[done], out.size() - done, static_cast<off_t>(begin + done));
        if (count < 0 && errno != EINTR) {
            throw system_failure(errno, "read a file");
        }
        done += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    }
    return done;
}

std::string read_whole(const Fd& fd, std::size_t limit) {
    std::string text(limit + 1, '\0');
    text.resize(read_at(fd, 0, text));
    if (text.size() > limit) {
        throw Failure{Code::corrupt, "a file is larger than it may be"};
    }
    return text;
}

void put_sealed(const Fd& folder, const std::string& name, const std::string& text, bool flagged) {
    const Fd fd = create_unnamed(folder);
    write_all(fd, text);
    if (::fchmod(fd.get(), kSealedMode) != 0) {
        throw system_failure(errno, "set the mode of \"" + name + "\"");
    }
    sync(fd);
    link_file(fd, folder, name);
    if (flagged && !set_flag(fd, Flag::immutable)) {
        throw system_failure(errno, "set the immutable flag of \"" + name + "\"");
    }
    sync(fd);
    sync(folder);
}

}  // namespace immbackup::vault
