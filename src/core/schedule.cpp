#include "core/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/error.h"
#include "core/zone.h"

namespace immbackup {

namespace {

struct FieldRule {
    const char* article;
    const char* name;
    int min;
    int max;
    std::string_view names;  // three-letter names from `min` on, each followed by a space
};

constexpr FieldRule kMinute{"a", "minute", 0, 59, ""};
constexpr FieldRule kHour{"an", "hour", 0, 23, ""};
constexpr FieldRule kDay{"a", "day of month", 1, 31, ""};
constexpr FieldRule kMonth{"a", "month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec "};
constexpr FieldRule kWeekday{"a", "day of week", 0, 7, "sun mon tue wed thu fri sat "};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNicknames{{
    {"@hourly", "0 * * * *"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"},
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
}};

// A sentence about what is wrong; turned into an Error(config) at the border of this file.
struct Bad {
    std::string why;
};

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
    std::vector<std::string_view> out;
    while (true) {
        const auto start = text.find_first_not_of(separators);
        if (start == std::string_view::npos) {
            return out;
        }
        text.remove_prefix(start);
        const auto end = std::min(text.find_first_of(separators), text.size());
        out.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

int parse_value(std::string_view word, const FieldRule& rule) {
    int value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error == std::errc{} && end == word.data() + word.size() && word[0] != '-') {
        if (value < rule.min || value > rule.max) {
            throw Bad{fmt::format("{} is not {} {}: {} to {} are.", value, rule.article, rule.name,
                                  rule.min, rule.max)};
        }
        return value;
    }
    std::string lower(word);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const auto at = lower.size() == 3 ? rule.names.find(lower + " ") : std::string_view::npos;
    if (at == std::string_view::npos || at % 4 != 0) {
        throw Bad{fmt::format("\"{}\" is not {} {}.", word, rule.article, rule.name)};
    }
    return rule.min + static_cast<int>(at / 4);
}

// One element of a list: *, a, a-b, each of * and a-b with /step.
template <std::size_t N>
void parse_element(std::string_view element, const FieldRule& rule, std::bitset<N>& out) {
    const auto slash = element.find('/');
    std::string_view range = element.substr(0, slash);
    int step = 1;
    if (slash != std::string_view::npos) {
        const std::string_view word = element.substr(slash + 1);
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), step);
        if (error != std::errc{} || end != word.data() + word.size() || step < 1 ||
            step > rule.max) {
            throw Bad{fmt::format("\"{}\" is not a step for the {}: 1 to {} are.", word, rule.name,
                                  rule.max)};
        }
    }
    int from = rule.min;
    int to = rule.max;
    if (range != "*") {
        const auto dash = range.find('-');
        from = parse_value(range.substr(0, dash), rule);
        to = from;
        if (dash != std::string_view::npos) {
            to = parse_value(range.substr(dash + 1), rule);
        } else if (slash != std::string_view::npos) {
            throw Bad{fmt::format("The step in \"{}\" needs a range before it, or *.", element)};
        }
        if (to < from) {
            throw Bad{fmt::format("The range \"{}\" of the {} runs backwards.", range, rule.name)};
        }
    }
    for (int value = from; value <= to; value += step) {
        // Day of week 7 is Sunday, too.
        out.set(static_cast<std::size_t>(rule.max == 7 ? value % 7 : value));
    }
}

template <std::size_t N>
void parse_field(std::string_view text, const FieldRule& rule, std::bitset<N>& out) {
    if (text.front() == ',' || text.back() == ',' || text.find(",,") != std::string_view::npos) {
        throw Bad{fmt::format("The list \"{}\" of the {} has an empty element.", text, rule.name)};
    }
    for (const std::string_view element : split(text, ",")) {
        parse_element(element, rule, out);
    }
}

}  // namespace

Schedule::Expression Schedule::parse_expression(std::string_view text) {
    const auto words = split(text, " \t");
    if (words.size() == 1 && words[0].front() == '@') {
        for (const auto& [nickname, meaning] : kNicknames) {
            if (words[0] == nickname) {
                return parse_expression(meaning);
            }
        }
        throw Bad{
            words[0] == "@reboot"
                ? std::string(
                      "@reboot is not supported: a backup at every server start is not a schedule.")
                : fmt::format("\"{}\" is not a known nickname.", words[0])};
    }
    if (words.size() != 5) {
        throw Bad{
            fmt::format("\"{}\" has {} fields; a schedule has five: minute, hour, day of month, "
                        "month, day of week.",
                        text, words.size())};
    }
    Expression out;
    parse_field(words[0], kMinute, out.minutes);
    parse_field(words[1], kHour, out.hours);
    parse_field(words[2], kDay, out.days);
    parse_field(words[3], kMonth, out.months);
    parse_field(words[4], kWeekday, out.weekdays);
    out.every_real_minute = words[0].front() == '*' || words[1].front() == '*';
    out.any_day = words[2].front() == '*';
    out.any_weekday = words[4].front() == '*';
    if (out.any_weekday) {
        // The day of month alone decides: is there a month that has such a day?
        constexpr std::array<unsigned, 13> kDays{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool possible = false;
        for (std::size_t month = 1; month <= 12; ++month) {
            for (std::size_t day = 1; day <= kDays[month]; ++day) {
                possible = possible || (out.months[month] && out.days[day]);
            }
        }
        if (!possible) {
            throw Bad{fmt::format("\"{}\" would never run: no such month has such a day.", text)};
        }
    }
    return out;
}

Schedule Schedule::parse(std::string_view text, std::string_view timezone) {
    Schedule out;
    out.timezone_ = std::string(timezone);
    if (const auto problem = timezone_problem(timezone)) {
        throw Error(ErrorCode::config, fmt::format("invalid time zone \"{}\"", timezone), *problem,
                    "Write a name such as Europe/Vienna.");
    }
    try {
        for (const std::string_view part : split(text, ";")) {
            if (part.find_first_not_of(" \t") != std::string_view::npos) {
                out.expressions_.push_back(parse_expression(part));
            }
        }
        if (out.expressions_.empty()) {
            throw Bad{"The schedule is empty."};
        }
    } catch (const Bad& bad) {
        throw Error(ErrorCode::config, fmt::format("invalid schedule \"{}\"", text), bad.why,
                    "Write it as in crontab(5): \"0 * * * *\" is every full hour.");
    }
    return out;
}

bool Schedule::date_matches(const Expression& e, unsigned month, unsigned day, unsigned weekday) {
    const bool day_fits = e.days[day];
    const bool weekday_fits = e.weekdays[weekday];
    const bool both = e.any_day || e.any_weekday;
    return e.months[month] && (both ? day_fits && weekday_fits : day_fits || weekday_fits);
}

namespace {

struct ScheduleDate {
    unsigned month, day, weekday;
};

ScheduleDate date_of(date::local_days day) {
    const date::year_month_day ymd{day};
    return {static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
            date::weekday{day}.c_encoding()};
}

constexpr int kMaxDays = 40 * 366;

}  // namespace

std::optional<Time> Schedule::next_real_minute(const Expression& e, Time time) const {
    using namespace std::chrono;
    const Zone zone(timezone_);
    const auto matches = [&](date::local_days day) {
        const ScheduleDate d = date_of(day);
        return date_matches(e, d.month, d.day, d.weekday);
    };
    auto minute = floor<minutes>(time) + minutes{1};
    // A day of UTC touches at most three local dates: skip it where none of them matches.
    for (int i = 0; i < kMaxDays; ++i) {
        const auto end = minute + hours{24};
        const auto first = date::floor<date::days>(zone.to_local(minute)) - date::days{1};
        if (matches(first) || matches(first + date::days{1}) || matches(first + date::days{2}) ||
            matches(first + date::days{3})) {
            for (; minute < end; minute += minutes{1}) {
                const auto local = date::floor<minutes>(zone.to_local(minute));
                const auto day = date::floor<date::days>(local);
                const auto of_day = (local - day).count();
                if (e.minutes[static_cast<std::size_t>(of_day % 60)] &&
                    e.hours[static_cast<std::size_t>(of_day / 60)] && matches(day)) {
                    return minute;
                }
            }
        }
        minute = end;
    }
    return std::nullopt;
}

std::optional<Time> Schedule::next_fixed_time(const Expression& e, Time time) const {
    using namespace std::chrono;
    const Zone zone(timezone_);
    const auto day_before =
        date::floor<date::days>(zone.to_local(floor<seconds>(time))) - date::days{1};
    for (int i = 0; i < kMaxDays; ++i) {
        const auto day = day_before + date::days{i};
        const ScheduleDate d = date_of(day);
        if (!date_matches(e, d.month, d.day, d.weekday)) {
            continue;
        }
        // Within a day local order is the order of instants, since each time maps to its first.
        for (std::size_t hour = 0; hour < 24; ++hour) {
            for (std::size_t minute = 0; e.hours[hour] && minute < 60; ++minute) {
                if (!e.minutes[minute]) {
                    continue;
                }
                const auto instant = zone.first_instant(day + hours{hour} + minutes{minute});
                if (instant > time) {
                    return Time{instant};
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<Time> Schedule::next_after(Time time) const {
    std::optional<Time> next;
    for (const Expression& expression : expressions_) {
        const auto candidate = expression.every_real_minute ? next_real_minute(expression, time)
                                                            : next_fixed_time(expression, time);
        if (candidate && (!next || *candidate < *next)) {
            next = candidate;
        }
    }
    return next;
}

std::optional<std::string> schedule_problem(std::string_view text) {
    try {
        static_cast<void>(Schedule::parse(text, ""));
        return std::nullopt;
    } catch (const Error& error) {
        return error.detail();
    }
}

std::optional<std::string> timezone_problem(std::string_view name) {
    // Names only: no path, no POSIX rule, nothing that could make the library open another file.
    const bool plausible = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '+' || c == '/';
    });
    if (plausible &&
        (name.empty() || (name.front() != '/' && name.find("//") == std::string_view::npos))) {
        try {
            static_cast<void>(Zone(name));
            return std::nullopt;
        } catch (const std::exception&) {
            // Falls through to the one message: the library says only that it did not find it.
        }
    }
    return fmt::format("\"{}\" is not a time zone of this system's database.", name);
}

}  // namespace immbackup
