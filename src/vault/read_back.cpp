#include "vault/read_back.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "vault/failure.h"
#include "vault/tree.h"

namespace immbackup::vault {

namespace {

// Larger than any piece of the page cache that a frame can make: a piece that reaches beyond the
// range is not dropped, and would be read from memory.
constexpr std::uint64_t kRange = 2ULL * 1024 * 1024;
constexpr std::uint64_t kBehind = 4 * kRange;
constexpr std::uint64_t kBlock = 256ULL * 1024;

void drop_from_cache(const Fd& fd, std::uint64_t begin, std::uint64_t length) {
    static_cast<void>(::posix_fadvise(fd.get(), static_cast<off_t>(begin),
                                      static_cast<off_t>(length), POSIX_FADV_DONTNEED));
}

void hash(const Fd& fd, std::uint64_t begin, std::uint64_t end, std::vector<char>& block,
          Sha256& sha) {
    block.resize(kBlock);
    for (std::uint64_t at = begin; at < end; at += kBlock) {
        const std::span<char> part(block.data(), std::min(kBlock, end - at));
        sha.update(part.first(read_at(fd, at, part)));
    }
}

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
    hash(fd_, read_, end, block_, sha_);
    read_ = end;
}

bool reads_back(const Fd& fd, std::uint64_t size, const std::string& sha256, ReadFrom from) {
    if (static_cast<std::uint64_t>(status_of(fd).st_size) != size) {
        return false;
    }
    if (from == ReadFrom::device) {
        drop_from_cache(fd, 0, 0);
    }
    static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
    Sha256 sha;
    std::vector<char> block;
    hash(fd, 0, size, block, sha);
    drop_from_cache(fd, 0, 0);
    return to_hex(sha.finish()) == sha256;
}

}  // namespace immbackup::vault
