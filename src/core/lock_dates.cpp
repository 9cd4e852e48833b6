#include "core/lock_dates.h"

#include <algorithm>

namespace immbackup {

namespace {

using namespace std::chrono_literals;

// A lock that ends so shortly before its artifact may go is not worth another.
constexpr auto kLockTolerance = 1h;

// Until when the artifact shall be there: for ever under a hold.
std::optional<Time> kept_until(const ArtifactEntry& entry) {
    return entry.hold.empty() ? parse_time(entry.retain_until) : std::optional(Time::max());
}

struct Dates {
    Time locked;
    Time kept;
};
// Where the lock is shorter than it should be.
std::optional<Dates> short_lock(const ArtifactEntry& entry) {
    const auto locked = parse_time(entry.locked_until);
    const auto kept = kept_until(entry);
    if (!entry.exists() || entry.upload != "locked" || !locked || !kept ||
        *kept <= *locked + kLockTolerance) {
        return std::nullopt;
    }
    return Dates{*locked, *kept};
}

}  // namespace

bool lock_is_over(const ArtifactEntry& entry, Time now) {
    const auto dates = short_lock(entry);
    return dates && dates->locked <= now && dates->kept > now;
}

std::string_view upload_state(const ArtifactEntry& entry, Time now) {
    return lock_is_over(entry, now) ? "expired" : std::string_view(entry.upload);
}

std::optional<Time> extension_due(const ArtifactEntry& entry, int lock_days) {
    const auto dates = short_lock(entry);
    if (!dates) {
        return std::nullopt;
    }
    // With locks of few days they would always be in their last three: a quarter is worth it.
    const auto length = std::chrono::days(lock_days);
    const auto step =
        std::clamp<Time::duration>(Time::duration(length) / 4, kLockTolerance, Time::duration(24h));
    return std::max(dates->locked - kExtendBefore,
                    std::min(dates->kept, dates->locked + step) - length);
}

std::optional<Time> extended_until(const ArtifactEntry& entry, Time longest) {
    const auto dates = short_lock(entry);
    if (!dates) {
        return std::nullopt;
    }
    const Time until = std::chrono::ceil<std::chrono::seconds>(std::min(dates->kept, longest));
    return until > dates->locked ? std::optional(until) : std::nullopt;
}

}  // namespace immbackup
