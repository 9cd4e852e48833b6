#include "vault/read_back.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <thread>

#include "vault/failure.h"
#include "vault/tree.h"

namespace immbackup::vault {

namespace {

constexpr std::uint64_t kRange = 2ULL * 1024 * 1024;
constexpr std::uint64_t kBehind = 4 * kRange;
static_assert(kMarkStep % kRange == 0);
constexpr std::size_t kBlock = std::size_t{256} * 1024;
constexpr std::size_t kMaxReaders = 4;

void drop_from_cache(const Fd& fd, std::uint64_t begin, std::uint64_t length) {
    static_cast<void>(::posix_fadvise(fd.get(), static_cast<off_t>(begin),
                                      static_cast<off_t>(length), POSIX_FADV_DONTNEED));
}

// At most so many bytes; 0 at the end of the file, or -1.
ssize_t read_some(const Fd& fd, std::vector<char>& block, std::uint64_t at, std::uint64_t length) {
    for (;;) {
        const ssize_t count =
            ::pread(fd.get(), block.data(), std::min<std::uint64_t>(block.size(), length),
                    static_cast<off_t>(at));
        if (count >= 0 || errno != EINTR) {
            return count;
        }
    }
}

// One file, read by several threads, part by part. They do nothing but read: capabilities are each
// thread's own, so that no flag may be set, and nothing else be done by right, while they live.
class SideBySide {
  public:
    SideBySide(const Fd& fd, std::uint64_t size, const std::string& sha256, const Marks& marks)
        : fd_(fd), size_(size), sha256_(sha256), marks_(marks) {}

    bool holds() {
        const std::size_t readers = std::min({cores(), marks_.size(), kMaxReaders});
        std::vector<std::thread> others;
        try {
            others.reserve(readers);
            while (others.size() + 1 < readers) {
                others.emplace_back([this] { read(); });
            }
        } catch (const std::exception&) {
            // No more threads are to be had: it is read by those that are.
        }
        read();
        for (std::thread& each : others) {
            each.join();
        }
        if (error_ != 0) {
            throw system_failure(error_, "read back a file");
        }
        return holds_;
    }

  private:
    static std::size_t cores() {
        cpu_set_t set;
        return ::sched_getaffinity(0, sizeof set, &set) == 0
                   ? static_cast<std::size_t>(CPU_COUNT(&set))
                   : 1;
    }

    void read() noexcept {
        try {
            std::vector<char> block(kBlock);
            for (std::size_t part = next_++; holds_ && part < marks_.size(); part = next_++) {
                if (!read_part(part, block)) {
                    holds_ = false;
                }
            }
        } catch (const std::exception&) {
            error_ = ENOMEM;
            holds_ = false;
        }
    }

    bool read_part(std::size_t part, std::vector<char>& block) {
        const bool last = part + 1 == marks_.size();
        std::uint64_t at = part * kMarkStep;
        const std::uint64_t end = last ? size_ : at + kMarkStep;
        Sha256 sha = marks_[part];
        while (at < end) {
            const ssize_t count = read_some(fd_, block, at, end - at);
            if (count < 0) {
                error_ = errno;
            }
            if (count <= 0) {
                return false;
            }
            sha.update(std::span<const char>(block.data(), static_cast<std::size_t>(count)));
            at += static_cast<std::uint64_t>(count);
        }
        return last ? to_hex(sha.finish()) == sha256_ : sha.is_at(marks_[part + 1]);
    }

    const Fd& fd_;
    const std::uint64_t size_;
    const std::string& sha256_;
    const Marks& marks_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> holds_{true};
    std::atomic<int> error_{0};
};

}  // namespace

void ReadBehind::written(std::uint64_t size) {
    for (; size - begun_ >= kRange; begun_ += kRange) {
        write_out(begun_, SYNC_FILE_RANGE_WRITE);
    }
    while (begun_ - read_ > kBehind) {
        write_out(read_,
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        read_range(read_ + kRange);
    }
}

Digest ReadBehind::finish(std::uint64_t size) {
    while (read_ < size) {
        read_range(std::min(size, read_ + kRange));
    }
    return sha_.finish();
}

// An error that is told here is not told to fsync any more.
void ReadBehind::write_out(std::uint64_t at, unsigned how) const {
    if (::sync_file_range(fd_.get(), static_cast<off64_t>(at), kRange, how) != 0 &&
        errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
        throw system_failure(errno, "write into the vault");
    }
}

void ReadBehind::read_range(std::uint64_t end) {
    drop_from_cache(fd_, read_, end - read_);
    block_.resize(kRange);
    while (read_ < end) {
        const ssize_t count = read_some(fd_, block_, read_, end - read_);
        if (count <= 0) {
            throw system_failure(count < 0 ? errno : EIO, "read back what was written");
        }
        sha_.update(std::span<const char>(block_.data(), static_cast<std::size_t>(count)));
        read_ += static_cast<std::uint64_t>(count);
    }
    if (read_ % kMarkStep == 0) {
        marks_.push_back(sha_);
    }
}

bool reads_back(const Fd& fd, std::uint64_t size, const std::string& sha256, const Marks& marks,
                ReadFrom from) {
    if (from == ReadFrom::device) {
        drop_from_cache(fd, 0, 0);
    }
    static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
    const bool holds = !marks.empty() &&
                       static_cast<std::uint64_t>(status_of(fd).st_size) == size &&
                       SideBySide(fd, size, sha256, marks).holds();
    drop_from_cache(fd, 0, 0);
    return holds;
}

}  // namespace immbackup::vault
