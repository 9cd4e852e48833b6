#include "s3/lock_terms.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace immbackup::s3 {

namespace {

using std::chrono::milliseconds;

int digits(std::string_view text, std::size_t offset, std::size_t count) {
    int value = 0;
    for (std::size_t i = offset; i < offset + count; ++i) {
        if (i >= text.size() || text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

// "Z", "+hh:mm", "-hh:mm", "+hhmm" as minutes to take off.
std::optional<int> zone_minutes(std::string_view zone) {
    if (zone == "Z" || zone == "z") {
        return 0;
    }
    if (zone.size() < 5 || (zone[0] != '+' && zone[0] != '-')) {
        return std::nullopt;
    }
    const int hours = digits(zone, 1, 2);
    const int minutes = digits(zone, zone.size() - 2, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 ||
        (zone.size() == 6 ? zone[3] != ':' : zone.size() != 5)) {
        return std::nullopt;
    }
    const int total = hours * 60 + minutes;
    return zone[0] == '-' ? -total : total;
}

std::string shown(LockMode mode, std::optional<Time> until) {
    return fmt::format("{} until {}", mode == LockMode::none ? "no mode" : lock_mode_name(mode),
                       until ? format_time(*until) : "no date");
}

}  // namespace

std::string_view lock_mode_name(LockMode mode) {
    switch (mode) {
        case LockMode::governance:
            return "GOVERNANCE";
        case LockMode::compliance:
            return "COMPLIANCE";
        case LockMode::none:
            break;
    }
    return "";
}

std::optional<LockMode> parse_lock_mode(std::string_view text) {
    if (text == "GOVERNANCE") {
        return LockMode::governance;
    }
    if (text == "COMPLIANCE") {
        return LockMode::compliance;
    }
    return std::nullopt;
}

std::string_view lock_state_name(LockState state) {
    switch (state) {
        case LockState::locked:
            return "locked";
        case LockState::unlocked:
            return "unlocked";
        case LockState::unproven:
            break;
    }
    return "unproven";
}

std::optional<Time> parse_store_time(std::string_view text) {
    if (text.size() < 20) {
        return std::nullopt;
    }
    // The seconds go to the parser of core/time.h; fraction and zone are dealt with here.
    const auto whole = parse_time(std::string(text.substr(0, 19)) + "Z");
    std::string_view rest = text.substr(19);
    int fraction = 0;
    if (rest.front() == '.') {
        rest.remove_prefix(1);
        const std::size_t length = std::min(rest.find_first_not_of("0123456789"), rest.size());
        if (length == 0 || length > 9) {
            return std::nullopt;
        }
        std::string three(rest.substr(0, std::min<std::size_t>(length, 3)));
        three.resize(3, '0');
        fraction = digits(three, 0, 3);
        rest.remove_prefix(length);
    }
    const auto zone = zone_minutes(rest);
    if (!whole || !zone) {
        return std::nullopt;
    }
    return *whole + milliseconds(fraction) - std::chrono::minutes(*zone);
}

std::optional<Time> parse_http_date(std::string_view text) {
    constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (text.size() != 29 || text[3] != ',' || text.substr(25) != " GMT") {
        return std::nullopt;
    }
    const auto* const month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
    if (month == kMonths.end()) {
        return std::nullopt;
    }
    return parse_time(fmt::format("{}-{:02}-{}T{}Z", text.substr(12, 4),
                                  month - kMonths.begin() + 1, text.substr(5, 2),
                                  text.substr(17, 8)));
}

Time retain_until(Time ours, std::optional<Time> stores, int days, bool acknowledged) {
    if (!stores && !acknowledged) {
        throw Error(ErrorCode::config,
                    "no lock is asked for: the store does not say what time it is",
                    "A lock until a wrong date in the future can be taken back by nobody.",
                    "If this server's clock is right: SELECT immbackup.acknowledge_clock('why'), "
                    "which counts for a day.");
    }
    const Time other = stores.value_or(ours);
    const Time later = std::max(ours, other);
    if (later - std::min(ours, other) > kClockBound && !acknowledged) {
        throw Error(ErrorCode::config,
                    fmt::format("no lock is asked for: the store's clock says {}, this server's {}",
                                format_time(other), format_time(ours)),
                    "A lock until a wrong date in the future can be taken back by nobody.",
                    "Set the clock that is wrong. If ours is right: SELECT "
                    "immbackup.acknowledge_clock('why'), which counts for a day.");
    }
    return std::chrono::ceil<std::chrono::seconds>(later) + std::chrono::days(days);
}

LockJudgement judge_lock(const LockTerms& asked, const LockReading& reading) {
    switch (reading.retention) {
        case Reading::none:
            return {LockState::unlocked, "the store says that this version has no retention"};
        case Reading::denied:
            return {LockState::unproven, "these credentials may not read the retention back"};
        case Reading::failed:
            return {LockState::unproven, "the retention could not be read back"};
        case Reading::held:
            break;
    }
    const std::string found = shown(reading.mode, reading.until);
    if (!reading.until || reading.mode != asked.mode) {
        return {LockState::unlocked, fmt::format("the store holds it {}, not {}", found,
                                                 shown(asked.mode, asked.until))};
    }
    // Stores may keep full seconds only.
    if (*reading.until < std::chrono::floor<std::chrono::seconds>(asked.until)) {
        return {LockState::unlocked, fmt::format("the store holds it {}, not {}", found,
                                                 shown(asked.mode, asked.until))};
    }
    if (*reading.until > asked.until + kUntilBound) {
        return {LockState::unproven, fmt::format("the store holds it {}, longer than the {} asked",
                                                 found, format_time(asked.until))};
    }
    // Two answers of one store that contradict each other prove nothing.
    if (reading.head_mode != LockMode::none && reading.head_mode != reading.mode) {
        return {LockState::unproven, fmt::format("GET ?retention says {}, HEAD {}", found,
                                                 shown(reading.head_mode, reading.head_until))};
    }
    return {LockState::locked, {}};
}

}  // namespace immbackup::s3
