// How an upload is cut into parts. A file that still grows does not say how large it will be, so
// parts grow too: small ones first (little to send again), larger ones later (5 TiB must fit the
// number of parts that the store takes).
// Source: AWS, "Amazon S3 multipart upload limits".
#pragma once

#include <cstdint>
#include <optional>

namespace immbackup::s3 {

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
inline constexpr std::uint64_t kMinPart = 5 * kMiB;  // but for the last one
inline constexpr std::uint64_t kMaxPart = 5 * kGiB;
inline constexpr std::uint64_t kMaxObject = 5120 * kGiB;
inline constexpr std::uint32_t kMaxParts = 10000;

class PartPlan {
  public:
    // For a file whose size is not known yet. The size doubles after every so many parts; as many
    // as still let 5 TiB fit, or nine tenths of what `max_parts` parts of 5 GiB hold, where that
    // is less (1,000 parts: 4.4 TiB). Error(config) where max_parts is not from 1 to 10,000.
    explicit PartPlan(std::uint32_t max_parts, std::uint64_t first = 16 * kMiB);
    // For a file of known size: equal parts.
    static PartPlan for_size(std::uint64_t size, std::uint32_t max_parts,
                             std::uint64_t first = 16 * kMiB);

    std::uint64_t size_of(std::uint32_t number) const;    // of part 1, 2, ...; in bytes
    std::uint64_t offset_of(std::uint32_t number) const;  // of its first byte
    std::uint32_t max_parts() const { return max_parts_; }
    std::uint64_t capacity() const;  // bytes that all parts hold
    // For a receipt: first part's size and after how many parts it doubles.
    std::uint64_t first() const { return first_; }
    std::uint32_t run() const { return run_; }

  private:
    PartPlan(std::uint32_t max_parts, std::uint64_t first, std::uint32_t run)
        : max_parts_(max_parts), first_(first), run_(run) {}
    std::uint32_t max_parts_;
    std::uint64_t first_;
    std::uint32_t run_ = 1;  // parts of one size
};

}  // namespace immbackup::s3
