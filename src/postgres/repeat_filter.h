// Keeps repeated identical messages out of the server log: the first of a kind passes, then one an
// hour, which says how many were left out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace immbackup {

class RepeatFilter {
  public:
    // Nothing: leave it out. Otherwise how many like it were left out since it last passed.
    std::optional<unsigned> pass(const std::string& text, std::uint64_t now_ms) {
        constexpr std::uint64_t kInterval = 3'600'000;
        constexpr std::size_t kMaxKinds = 64;
        const auto found = seen_.find(text);
        if (found != seen_.end() && now_ms < found->second.since + kInterval) {
            ++found->second.left_out;
            return std::nullopt;
        }
        const unsigned left_out = found != seen_.end() ? found->second.left_out : 0;
        if (seen_.size() >= kMaxKinds) {
            seen_.clear();
        }
        seen_[text] = {now_ms, 0};
        return left_out;
    }
    void forget() { seen_.clear(); }

  private:
    struct Kind {
        std::uint64_t since = 0;
        unsigned left_out = 0;
    };
    std::map<std::string, Kind> seen_;
};

}  // namespace immbackup
