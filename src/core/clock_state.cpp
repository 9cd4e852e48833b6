#include "core/clock_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace immbackup {

namespace {

// Samples are taken a little before their records are written. Steps that are too small to be a
// jump add up in a leaky bucket: one part in kSlew is allowed for, what keeps a clock right by
// small steps (slewing moves both clocks alike), and what of that was not used is not kept for
// later.
constexpr std::int64_t kTolerance = 120'000;
constexpr std::int64_t kSlew = 500;
// More than a machine is up: then it is another boot, whatever its name.
constexpr std::uint64_t kLongestBoot = 1'000ULL * 365 * 86'400'000;

// So that no sum of jumps and of what follows is beyond the type.
constexpr std::int64_t kMostJumped = INT64_MAX / 4;

constexpr const char* kConfirmHint =
    "Check the clock. If it is right, say so: SELECT immbackup.acknowledge_clock('why'), or "
    "`immbackup acknowledge --clock --reason …`.";

std::int64_t ms_between(Time from, Time to) {
    return (to - from).count();
}

std::string span_text(std::int64_t ms) {
    const std::int64_t minutes = std::abs(ms) / 60'000;
    return minutes < 120       ? fmt::format("{} min", minutes)
           : minutes < 48 * 60 ? fmt::format("{} h", minutes / 60)
                               : fmt::format("{} days", minutes / 60 / 24);
}

// Nearer to zero by so much, and not beyond it.
std::int64_t shrunk(std::int64_t ms, std::int64_t by) {
    return ms < 0 ? std::min<std::int64_t>(ms + by, 0) : std::max<std::int64_t>(ms - by, 0);
}

bool far(std::int64_t ms) {
    return ms > kTolerance || ms < -kTolerance;
}

// Milliseconds since the last sample of the same boot; nothing where that cannot be: a boot without
// a name, or a machine that went back to what it was.
std::optional<std::int64_t> elapsed_in_boot(const ClockState::Fields& last,
                                            const ClockSample& sample) {
    if (sample.boot_id.empty() || last.boot_id.empty() || sample.monotonic_ms > kLongestBoot ||
        last.monotonic_ms > kLongestBoot) {
        return std::nullopt;
    }
    const auto elapsed = static_cast<std::int64_t>(sample.monotonic_ms) -
                         static_cast<std::int64_t>(last.monotonic_ms);
    return elapsed < -kTolerance ? std::nullopt : std::optional(elapsed);
}

bool is_time_or_empty(const std::string& text) {
    return text.empty() || parse_time(text);
}

}  // namespace

void ClockState::record(Time time) {
    const auto newest = parse_time(fields_.newest);
    if (!newest || time > *newest) {
        fields_.newest = format_time(time);
    }
}

bool ClockState::restore(Fields fields) {
    if (far(fields.drift_ms) || fields.jumped_ms > kMostJumped || fields.jumped_ms < -kMostJumped ||
        fields.steady_ms > 2 * kLongestBoot || !is_time_or_empty(fields.wall) ||
        !is_time_or_empty(fields.newest)) {
        return false;
    }
    fields_ = std::move(fields);
    return true;
}

// A boot whose time of waiting was not over leaves it to the next one, up to half of what is
// needed: a machine that is restarted every few hours must not keep everything for ever.
void ClockState::observe_boot(std::uint64_t seq) {
    constexpr std::uint64_t kEnough = std::chrono::milliseconds(kSteady).count();
    const bool leaves =
        fields_.boot_seq != 0 && fields_.steady_ms < kEnough && !far(fields_.jumped_ms);
    fields_.steady_ms = leaves ? std::min(fields_.steady_ms, kEnough / 2) : 0;
    fields_.boot_seq = seq;
    fields_.jumped_ms = 0;
    fields_.drift_ms = 0;
}

// Perhaps a boot, perhaps not: it must be waited for, and what jumped before stays.
void ClockState::observe_unclear(std::uint64_t seq) {
    fields_.boot_seq = seq;
    fields_.steady_ms = 0;
    fields_.drift_ms = 0;
}

// A little less than nothing has elapsed where two wrote at once, the later one first.
void ClockState::observe_elapsed(std::int64_t elapsed, std::int64_t wall_elapsed) {
    const std::int64_t drift = fields_.drift_ms + wall_elapsed - elapsed;
    const bool undone = far(fields_.jumped_ms) && !far(fields_.jumped_ms + drift);
    fields_.drift_ms = shrunk(drift, std::max<std::int64_t>(elapsed, 0) / kSlew);
    if (far(fields_.drift_ms) || undone) {
        fields_.jumped_ms = std::clamp(fields_.jumped_ms + drift, -kMostJumped, kMostJumped);
        fields_.drift_ms = 0;
        fields_.steady_ms = 0;
    } else if (fields_.boot_seq != 0) {
        const auto steady = static_cast<std::int64_t>(fields_.steady_ms) + elapsed;
        fields_.steady_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(steady, 0));
    }
}

void ClockState::observe(const ClockSample& sample, std::uint64_t seq) {
    const auto last = parse_time(fields_.wall);
    if (last) {
        const bool named = !sample.boot_id.empty() && !fields_.boot_id.empty();
        if (named && sample.boot_id != fields_.boot_id) {
            observe_boot(seq);
        } else if (const auto elapsed = elapsed_in_boot(fields_, sample)) {
            observe_elapsed(*elapsed, ms_between(*last, sample.wall));
        } else {
            observe_unclear(seq);
        }
    }
    fields_.boot_id = sample.boot_id;
    fields_.monotonic_ms = sample.monotonic_ms;
    fields_.wall = format_time(sample.wall);
}

void ClockState::confirm(const ClockSample& sample) {
    fields_ = {sample.boot_id,
               sample.monotonic_ms,
               format_time(sample.wall),
               0,
               0,
               format_time(sample.wall),
               0,
               0};
}

bool ClockState::waits_after_restart(const ClockSample& now) const {
    ClockState at = *this;
    at.observe(now, UINT64_MAX);
    const auto newest = parse_time(at.fields_.newest);
    return at.fields_.boot_seq != 0 && !now.boot_id.empty() && !far(at.fields_.jumped_ms) &&
           (!newest || ms_between(now.wall, *newest) <= kTolerance);
}

ClockVerdict ClockState::judge(const ClockSample& now) const {
    ClockState at = *this;
    at.observe(now, UINT64_MAX);
    const Fields& state = at.fields_;
    const auto newest = parse_time(state.newest);
    ClockVerdict out;
    if (now.boot_id.empty()) {
        out.blocked =
            "The system does not say which boot it is in, so that no restart can be told from "
            "others.";
        out.hint = "Make /proc/sys/kernel/random/boot_id readable.";
    } else if (newest && ms_between(now.wall, *newest) > kTolerance) {
        out.blocked =
            fmt::format("The clock is {} behind the newest record of the audit log, of {}.",
                        span_text(ms_between(now.wall, *newest)), state.newest);
        out.hint = kConfirmHint;
    } else if (far(state.jumped_ms)) {
        out.blocked =
            fmt::format("The clock was set {} by {} while the machine was running.",
                        state.jumped_ms > 0 ? "forward" : "back", span_text(state.jumped_ms));
        out.hint = kConfirmHint;
    } else if (state.boot_seq != 0) {
        constexpr auto kEnough = std::chrono::milliseconds(kSteady).count();
        const auto steady = static_cast<std::int64_t>(state.steady_ms);
        if (steady < kEnough) {
            out.blocked = fmt::format(
                "The machine was restarted, and nothing shows that its clock is right; that is "
                "trusted after another {} of steady time.",
                span_text(kEnough - steady + 59'999));
            out.hint = kConfirmHint;
        }
        out.wait_seq = state.boot_seq;
    }
    return out;
}

}  // namespace immbackup
