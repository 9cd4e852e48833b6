// A limit on bytes a second, for one thread that says when it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace immbackup {

class RateLimit {
  public:
    // `rate` in bytes a second, 0: no limit. Times are monotonic milliseconds.
    RateLimit(std::uint64_t rate, std::uint64_t now_ms) : rate_(rate), last_ms_(now_ms) {}

    // Bytes that may pass now. What was not used is saved for a tenth of a second only.
    std::size_t allowed(std::uint64_t now_ms) {
        if (rate_ == 0) {
            return SIZE_MAX;
        }
        // Longer pauses save no more, and do not overflow.
        const std::uint64_t elapsed = std::min<std::uint64_t>(now_ms - last_ms_, kMsPerSecond);
        last_ms_ = now_ms;
        saved_ = std::min(saved_ + rate_ * elapsed, rate_ * kBurstMs);
        return static_cast<std::size_t>(saved_ / kMsPerSecond);
    }
    void spend(std::size_t bytes) {
        saved_ -= std::min<std::uint64_t>(saved_, std::uint64_t{bytes} * kMsPerSecond);
    }
    // How long to wait, at least a millisecond, until a good part of that may pass.
    int wait_ms(std::uint64_t now_ms) {
        return allowed(now_ms) > 0 ? 0 : static_cast<int>(kBurstMs / 4);
    }

  private:
    static constexpr std::uint64_t kMsPerSecond = 1000;
    static constexpr std::uint64_t kBurstMs = 100;

    std::uint64_t rate_;
    std::uint64_t last_ms_;
    std::uint64_t saved_ = 0;  // thousandths of a byte
};

}  // namespace immbackup
