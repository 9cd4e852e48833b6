#include "store/read_back.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <new>

#include "io/signal_mask.h"

namespace immbackup {

namespace {

// Large enough that the dump is not held up by the device, small enough that the end of the dump
// leaves little to do, and that a commit of the server never waits long behind a piece of a backup.
constexpr std::uint64_t kRange = 2ULL * 1024 * 1024;
constexpr std::size_t kBuffer = std::size_t{512} * 1024;
constexpr std::size_t kAlignment = 4096;

}  // namespace

void ReadBack::Aligned::operator()(std::byte* memory) const {
    std::free(memory);
}

ReadBack::~ReadBack() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

bool ReadBack::stopped() const {
    const std::lock_guard lock(mutex_);
    return stopped_;
}

void ReadBack::open() {
    fd_ = open_regular(path_);
    // Refused by file systems that know no such thing: then the page cache is dropped, and that is
    // all that can be done there.
    direct_ = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW));
    buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kBuffer)));
    if (!buffer_) {
        throw std::bad_alloc();
    }
}

void ReadBack::grown_to(std::uint64_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        if (bytes / kRange == written_ / kRange) {
            written_ = bytes;
            return;
        }
        written_ = bytes;
    }
    if (!thread_.joinable()) {
        open();
        const AllSignalsBlocked blocked;
        thread_ = std::thread([this] { follow(); });
    }
    changed_.notify_all();
}

void ReadBack::follow() {
    try {
        for (;;) {
            std::uint64_t to = 0;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [this] {
                    return stopped_ || whole_ || written_ / kRange > done_ / kRange;
                });
                if (stopped_ || (whole_ && done_ == written_)) {
                    break;
                }
                to = whole_ ? written_ : (done_ / kRange + 1) * kRange;
            }
            const std::uint64_t from = done_;
            read_range(to);
            if (done_ == from || stopped()) {
                break;  // less than was written: finish() says so
            }
        }
    } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

void ReadBack::read_range(std::uint64_t to) {
    const auto begin = static_cast<off64_t>(done_);
    const auto length = static_cast<off64_t>(to - done_);
    // EINVAL and the like: a file system without it, whose file is synced at the end all the same.
    if (::sync_file_range(fd_.get(), begin, length,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER) != 0 &&
        (errno == EIO || errno == ENOSPC)) {
        throw system_error(errno, "write out file", path_.string());
    }
    static_cast<void>(::posix_fadvise(fd_.get(), begin, length, POSIX_FADV_DONTNEED));
    while (done_ < to && !stopped()) {
        const std::size_t size =
            read_at(done_, static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, to - done_)));
        if (size == 0) {
            break;
        }
        digest_.update(std::span(buffer_.get(), size));
        done_ += size;
    }
    static_cast<void>(::posix_fadvise(fd_.get(), begin, length, POSIX_FADV_DONTNEED));
}

std::size_t ReadBack::read_at(std::uint64_t at, std::size_t size) {
    for (;;) {
        // O_DIRECT takes whole blocks only, from the first to beyond the last; what follows `size`
        // is not looked at.
        const bool direct = direct_ && at % kAlignment == 0;
        const ssize_t count = ::pread(direct ? direct_.get() : fd_.get(), buffer_.get(),
                                      direct ? kBuffer : size, static_cast<off_t>(at));
        if (count >= 0) {
            return std::min(static_cast<std::size_t>(count), size);
        }
        if (direct && errno == EINVAL) {
            direct_.reset();
        } else if (errno != EINTR) {
            throw system_error(errno, "read back file", path_.string());
        }
    }
}

ReadBack::Result ReadBack::finish(std::uint64_t size, const CancelToken& cancel) {
    if (!thread_.joinable()) {  // a small file
        open();
        read_range(size);
    } else {
        std::unique_lock lock(mutex_);
        written_ = size;
        whole_ = true;
        changed_.notify_all();
        while (!changed_.wait_for(lock, std::chrono::milliseconds(50), [this] { return ended_; })) {
            cancel.check();
        }
        if (error_) {
            std::rethrow_exception(error_);
        }
    }
    cancel.check();
    // More than was written would be as wrong as less.
    return {done_ == size ? file_size(fd_, path_) : done_, digest_.hex()};
}

}  // namespace immbackup
