#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/error.h"

namespace immbackup {

namespace {

constexpr std::size_t kBlock = 256 * 1024;

int open_retrying(const fs::path& path, int flags, unsigned mode) {
    while (true) {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0 || errno != EINTR) {
            return fd;
        }
    }
}

}  // namespace

Fd open_file(const fs::path& path, int flags, unsigned mode) {
    Fd fd(open_retrying(path, flags, mode));
    if (!fd) {
        const int reason = errno;
        if (reason == EEXIST) {
            throw Error(ErrorCode::exists, "\"" + path.string() + "\" exists already");
        }
        throw system_error(reason, (flags & O_CREAT) != 0 ? "create file" : "open file",
                           path.string());
    }
    return fd;
}

Fd open_regular(const fs::path& path) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer. It changes nothing for a regular file.
    Fd fd = open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw system_error(errno, "look at file", path.string());
    }
    if (!S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::io, "\"" + path.string() + "\" is not a regular file");
    }
    return fd;
}

std::uint64_t file_size(const Fd& fd, const fs::path& path) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw system_error(errno, "look at file", path.string());
    }
    return static_cast<std::uint64_t>(status.st_size);
}

void write_all(const Fd& fd, std::span<const std::byte> bytes, const fs::path& path) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw system_error(errno, "write to file", path.string());
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

void write_all(const Fd& fd, std::string_view text, const fs::path& path) {
    write_all(fd, std::as_bytes(std::span(text.data(), text.size())), path);
}

std::size_t read_some(const Fd& fd, std::span<std::byte> bytes, const fs::path& path) {
    std::size_t total = 0;
    while (total < bytes.size()) {
        const ssize_t count = ::read(fd.get(), bytes.data() + total, bytes.size() - total);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw system_error(errno, "read file", path.string());
        }
        if (count == 0) {
            break;
        }
        total += static_cast<std::size_t>(count);
    }
    return total;
}

namespace {

std::string read_bounded(const Fd& fd, const fs::path& path, std::size_t limit) {
    std::string out;
    std::vector<std::byte> block(kBlock);
    while (true) {
        const std::size_t count = read_some(fd, block, path);
        out.append(reinterpret_cast<const char*>(block.data()), count);
        if (out.size() > limit) {
            throw Error(ErrorCode::corrupt,
                        "file \"" + path.string() + "\" is larger than it can be");
        }
        if (count < block.size()) {
            return out;
        }
    }
}

}  // namespace

std::string read_file(const fs::path& path, std::size_t limit) {
    const Fd fd = open_regular(path);
    if (file_size(fd, path) > limit) {
        throw Error(ErrorCode::corrupt, "file \"" + path.string() + "\" is larger than it can be");
    }
    return read_bounded(fd, path, limit);
}

std::string read_named_file(const fs::path& path, std::size_t limit) {
    if (path == "/dev/null") {
        return {};
    }
    std::error_code reason;
    const fs::path target = fs::canonical(path, reason);
    if (reason) {
        throw system_error(reason.value(), "open file", path.string());
    }
    return read_file(target, limit);
}

std::uint64_t read_blocks(const Fd& fd, const fs::path& path,
                          const std::function<void(std::span<const std::byte>)>& sink) {
    std::vector<std::byte> block(kBlock);
    std::uint64_t total = 0;
    while (true) {
        const std::size_t count = read_some(fd, block, path);
        if (count > 0) {
            sink(std::span<const std::byte>(block.data(), count));
        }
        total += count;
        if (count < block.size()) {
            return total;
        }
    }
}

// A failed sync is never tried again: the kernel may have dropped the pages it could not write, and
// a second call would then report success. Only an interrupted one has decided nothing.
void sync_file(const Fd& fd, const fs::path& path) {
    while (::fsync(fd.get()) != 0) {
        if (errno != EINTR) {
            throw system_error(errno, "sync file", path.string());
        }
    }
}

void sync_data(const Fd& fd, const fs::path& path) {
    while (::fdatasync(fd.get()) != 0) {
        if (errno != EINTR) {
            throw system_error(errno, "sync file", path.string());
        }
    }
}

void sync_directory(const fs::path& path) {
    const Fd fd = open_file(path, O_RDONLY | O_DIRECTORY);
    // EINVAL: the file system syncs no directories, since it writes names through.
    if (::fsync(fd.get()) != 0 && errno != EINVAL) {
        throw system_error(errno, "sync directory", path.string());
    }
}

void drop_cache(const Fd& fd) {
    // Advice only: where it is not taken, the read-back proves what the kernel holds, which is what
    // will be written.
    static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED));
}

void create_durable(const fs::path& path, std::string_view content, unsigned mode) {
    const Fd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    write_all(fd, content, path);
    if (::fchmod(fd.get(), mode) != 0) {
        throw system_error(errno, "set the mode of file", path.string());
    }
    sync_file(fd, path);
}

void rename_no_replace(const fs::path& from, const fs::path& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
        return;
    }
    int reason = errno;
    if (reason == EINVAL || reason == ENOSYS) {
        // A file system without that rename: link refuses a taken name as well.
        if (::link(from.c_str(), to.c_str()) == 0) {
            if (::unlink(from.c_str()) != 0) {
                throw system_error(errno, "remove file", from.string());
            }
            return;
        }
        reason = errno;
    }
    if (reason == EEXIST) {
        throw Error(ErrorCode::exists, "could not rename \"" + from.string() + "\": \"" +
                                           to.string() + "\" exists already");
    }
    throw system_error(reason, "rename to", to.string());
}

bool remove_file(const fs::path& path) {
    if (::unlink(path.c_str()) == 0) {
        return true;
    }
    if (errno == ENOENT) {
        return false;
    }
    throw system_error(errno, "remove file", path.string());
}

void make_directory(const fs::path& path, unsigned mode) {
    if (::mkdir(path.c_str(), mode) == 0) {
        if (::chmod(path.c_str(), mode) != 0) {  // mkdir's mode went through the umask
            throw system_error(errno, "set the mode of directory", path.string());
        }
        return;
    }
    struct stat status {};
    const int reason = errno;
    if (reason == EEXIST && ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
        return;
    }
    throw system_error(reason == EEXIST ? ENOTDIR : reason, "create directory", path.string());
}

void give_to_owner_of(const fs::path& folder, const Fd& fd, const fs::path& path) {
    struct stat owner {};
    struct stat status {};
    if (::geteuid() != 0 || ::stat(folder.c_str(), &owner) != 0 || owner.st_uid == 0 ||
        ::fstat(fd.get(), &status) != 0 || status.st_uid != 0) {
        return;
    }
    // A file with a second name may be somebody else's, linked here to be given away.
    const bool alone = S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink == 1);
    if (alone && ::fchown(fd.get(), owner.st_uid, owner.st_gid) != 0) {
        throw system_error(errno, "set the owner of", path.string());
    }
}

std::vector<std::string> list_directory(const fs::path& path) {
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator entry(path, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
        names.push_back(entry->path().filename().string());
    }
    if (error) {
        throw system_error(error.value(), "read directory", path.string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

Space space_of(const fs::path& path) {
    struct statvfs fs_status {};
    struct stat status {};
    if (::statvfs(path.c_str(), &fs_status) != 0 || ::stat(path.c_str(), &status) != 0) {
        throw system_error(errno, "look at the file system of", path.string());
    }
    return {static_cast<std::uint64_t>(fs_status.f_blocks) * fs_status.f_frsize,
            static_cast<std::uint64_t>(fs_status.f_bavail) * fs_status.f_frsize, status.st_dev};
}

}  // namespace immbackup
