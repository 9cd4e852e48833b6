#include "io/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "core/error.h"
#include "io/clock.h"
#include "io/file.h"

namespace immbackup {

namespace {

// flock has no time-out; polling is cheap, since the lock is nearly always free.
bool lock_within(int fd, const std::filesystem::path& path, int wait_ms) {
    const std::uint64_t deadline = monotonic_ms() + static_cast<std::uint64_t>(wait_ms);
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            throw system_error(errno, "lock file", path.string());
        }
        if (monotonic_ms() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
}

// What the holder wrote about itself. Whoever can write to the directory can write this, and it
// goes into messages: one short line of printable characters.
std::string holder_of(const Fd& fd) {
    constexpr std::size_t kMaxHolder = 256;
    std::string holder(kMaxHolder, '\0');
    const ssize_t count = ::pread(fd.get(), holder.data(), holder.size(), 0);
    holder.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    holder = holder.substr(0, holder.find('\n'));
    std::replace_if(
        holder.begin(), holder.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return holder.empty() ? "unknown" : holder;
}

}  // namespace

DirectoryLock DirectoryLock::acquire(const std::filesystem::path& lock_file, const char* purpose,
                                     int wait_ms) {
    Fd fd = open_file(lock_file, O_RDWR | O_CREAT | O_NONBLOCK, 0600);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::config, "\"" + lock_file.string() + "\" is not a regular file",
                    "It is the lock of the backup directory.", "Remove it.");
    }
    if (!lock_within(fd.get(), lock_file, wait_ms)) {
        throw Error(ErrorCode::busy, "another process holds the backup directory: " + holder_of(fd),
                    {}, "Wait until it has finished, or stop it.");
    }
    const std::string holder = "process " + std::to_string(::getpid()) + " (" + purpose + ")\n";
    // Only for the message of whoever has to wait: a failure to write it (full disk) does not
    // matter.
    if (::ftruncate(fd.get(), 0) == 0) {
        [[maybe_unused]] const auto written = ::pwrite(fd.get(), holder.data(), holder.size(), 0);
    }
    return DirectoryLock(std::move(fd));
}

FileLock::FileLock(const Fd& fd, const std::filesystem::path& path, int wait_ms) : fd_(fd.get()) {
    if (!lock_within(fd_, path, wait_ms)) {
        throw Error(ErrorCode::busy,
                    "file \"" + path.string() + "\" stays locked by another process");
    }
}

FileLock::~FileLock() {
    ::flock(fd_, LOCK_UN);
}

}  // namespace immbackup
