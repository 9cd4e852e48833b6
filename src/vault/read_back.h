// Reading what was written: behind the writer while it comes, and once more when it is sealed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vault/digest.h"
#include "vault/fd.h"

namespace immbackup::vault {

// What the digest of a file looked like at its beginning and after every kMarkStep bytes. Who has
// that can hash the parts of the file side by side: where each ends as the next one begins, and the
// last one as the digest, the whole has that digest.
using Marks = std::vector<Sha256>;
inline constexpr std::uint64_t kMarkStep = 16ULL * 1024 * 1024;

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
    // After finish().
    Marks take_marks() { return std::move(marks_); }

  private:
    void write_out(std::uint64_t at, unsigned how) const;
    void read_range(std::uint64_t end);

    const Fd& fd_;
    Sha256 sha_;
    Marks marks_{Sha256()};
    std::vector<char> block_;
    std::uint64_t begun_ = 0;  // writing has begun up to here
    std::uint64_t read_ = 0;   // read back up to here
};

// Whether a file still is what was written: its size, its digest. From the device: what the page
// cache holds is dropped first; there nothing need be known of it, and `marks` may be of the
// beginning alone.
enum class ReadFrom { cache, device };
bool reads_back(const Fd& fd, std::uint64_t size, const std::string& sha256, const Marks& marks,
                ReadFrom from);

}  // namespace immbackup::vault
