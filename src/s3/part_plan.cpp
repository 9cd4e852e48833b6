#include "s3/part_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace immbackup::s3 {

namespace {

void require_sound(std::uint32_t max_parts, std::uint64_t first) {
    if (max_parts < 1 || max_parts > kMaxParts) {
        throw Error(ErrorCode::config,
                    fmt::format("the largest number of parts must be from 1 to {}, not {}",
                                kMaxParts, max_parts));
    }
    if (first < kMinPart || first > kMaxPart) {
        throw Error(ErrorCode::config, "a part must have from 5 MiB to 5 GiB");
    }
}

}  // namespace

PartPlan::PartPlan(std::uint32_t max_parts, std::uint64_t first)
    : max_parts_(max_parts), first_(first) {
    require_sound(max_parts, first);
    const std::uint64_t wanted = std::min(kMaxObject, max_parts * kMaxPart / 10 * 9);
    // The longest run that still fits: capacity falls as the run gets longer.
    std::uint32_t low = 1;
    std::uint32_t high = max_parts;
    while (low < high) {
        const std::uint32_t middle = low + (high - low + 1) / 2;
        if (PartPlan(max_parts, first, middle).capacity() >= wanted) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    run_ = low;
}

PartPlan PartPlan::for_size(std::uint64_t size, std::uint32_t max_parts, std::uint64_t first) {
    require_sound(max_parts, first);
    const std::uint64_t needed = (size + max_parts - 1) / max_parts;
    const std::uint64_t rounded = (needed + kMiB - 1) / kMiB * kMiB;
    if (rounded > kMaxPart) {
        throw Error(
            ErrorCode::config,
            fmt::format("{} bytes do not fit into {} parts of at most 5 GiB", size, max_parts));
    }
    return {max_parts, std::max(first, rounded), max_parts};
}

std::uint64_t PartPlan::size_of(std::uint32_t number) const {
    const std::uint32_t doublings = std::min((number - 1) / run_, 30U);
    return std::min(kMaxPart, first_ << doublings);
}

std::uint64_t PartPlan::offset_of(std::uint32_t number) const {
    std::uint64_t offset = 0;
    for (std::uint32_t begin = 1; begin < number; begin += run_) {
        offset += size_of(begin) * std::min(run_, number - begin);
    }
    return offset;
}

std::uint64_t PartPlan::capacity() const {
    return offset_of(max_parts_ + 1);
}

}  // namespace immbackup::s3
