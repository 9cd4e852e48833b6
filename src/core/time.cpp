#include "core/time.h"

#include <fmt/format.h>

#include <algorithm>

namespace immbackup {

namespace {

using std::chrono::seconds;
using SysSeconds = std::chrono::sys_time<seconds>;

// Exactly `count` digits at `offset`, or -1.
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

std::optional<SysSeconds> make_time(int year, int month, int day, int hour, int minute,
                                    int second) {
    if (year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year{year},
                                           std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) {
        return std::nullopt;
    }
    return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
           seconds{second};
}

struct Civil {
    int year;
    unsigned month, day;
    int hour, minute, second;
};

Civil civil(SysSeconds time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    return {static_cast<int>(date.year()),
            static_cast<unsigned>(date.month()),
            static_cast<unsigned>(date.day()),
            static_cast<int>(clock.hours().count()),
            static_cast<int>(clock.minutes().count()),
            static_cast<int>(clock.seconds().count())};
}

}  // namespace

std::string format_time(Time time) {
    const auto whole = std::chrono::floor<seconds>(time);
    const Civil c = civil(whole);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", c.year, c.month, c.day, c.hour,
                       c.minute, c.second, (time - whole).count());
}

std::optional<Time> parse_time(std::string_view text) {
    if ((text.size() != 20 && text.size() != 24) || text[4] != '-' || text[7] != '-' ||
        text[10] != 'T' || text[13] != ':' || text[16] != ':' || text.back() != 'Z') {
        return std::nullopt;
    }
    const auto whole = make_time(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2),
                                 digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2));
    if (!whole) {
        return std::nullopt;
    }
    if (text.size() == 20) {
        return Time{*whole};
    }
    const int fraction = digits(text, 20, 3);
    if (text[19] != '.' || fraction < 0) {
        return std::nullopt;
    }
    return *whole + std::chrono::milliseconds{fraction};
}

std::string run_id_at(Time time) {
    const Civil c = civil(std::chrono::floor<seconds>(time));
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", c.year, c.month, c.day, c.hour, c.minute,
                       c.second);
}

std::optional<Time> parse_run_id(std::string_view text) {
    if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') {
        return std::nullopt;
    }
    return make_time(digits(text, 0, 4), digits(text, 4, 2), digits(text, 6, 2), digits(text, 9, 2),
                     digits(text, 11, 2), digits(text, 13, 2));
}

std::string next_run_id(Time now, std::string_view last_id) {
    const auto last = parse_run_id(last_id);
    Time start = std::chrono::floor<seconds>(now);
    if (last) {
        start = std::max(start, *last + seconds{1});
    }
    return run_id_at(start);
}

}  // namespace immbackup
