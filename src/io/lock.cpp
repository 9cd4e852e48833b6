#include "io/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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

}  // namespace

DirectoryLock DirectoryLock::acquire(const std::filesystem::path& lock_file, const char* purpose,
                                     int wait_ms) {
    constexpr std::size_t kMaxHolder = 256;
    Fd fd = open_file(lock_file, O_RDWR | O_CREAT, 0600);
    if (!lock_within(fd.get(), lock_file, wait_ms)) {
        std::string holder(kMaxHolder, '\0');
        const ssize_t count = ::pread(fd.get(), holder.data(), holder.size(), 0);
        holder.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        holder = holder.substr(0, holder.find('\n'));
        throw Error(
            ErrorCode::busy,
            "another process holds the backup directory: " + (holder.empty() ? "unknown" : holder),
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
