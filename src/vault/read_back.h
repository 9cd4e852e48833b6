// Reading what was written: behind the writer while it comes, and once more when it is sealed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vault/digest.h"
#include "vault/fd.h"

namespace immbackup::vault {

// Reads behind the writer what has come to the device, so that nothing of it is left to be read
// when the dump has ended: each range is given to the device at once, and is dropped from the page
// cache and read again when it has had the time of some more to get there.
class ReadBehind {
  public:
    explicit ReadBehind(const Fd& fd) : fd_(fd) {}

    // So much of the file has been written.
    void written(std::uint64_t size);
    // After fsync: the digest of it all.
    Digest finish(std::uint64_t size);

  private:
    void write_out(std::uint64_t at, unsigned how) const;
    void read_range(std::uint64_t end);

    const Fd& fd_;
    Sha256 sha_;
    std::vector<char> block_;
    std::uint64_t begun_ = 0;  // writing has begun up to here
    std::uint64_t read_ = 0;   // read back up to here
};

// Whether a file still is what was written: its size, its digest. From the device: what the page
// cache holds is dropped first.
enum class ReadFrom { cache, device };
bool reads_back(const Fd& fd, std::uint64_t size, const std::string& sha256, ReadFrom from);

}  // namespace immbackup::vault
