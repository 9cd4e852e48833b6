// Due times of random expressions in many zones, around every change of their clocks. What is due
// is found by a walk over all minutes that shares nothing with the implementation: expressions are
// made together with their meaning, and the C library says what the clock on the wall shows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/schedule.h"
#include "sanitized.h"

namespace immbackup {
namespace {

using std::chrono::minutes;

class WalkRandom {
  public:
    explicit WalkRandom(unsigned seed) : engine_(seed) {}
    int operator()(int from, int to) {
        return from + static_cast<int>(engine_() % static_cast<unsigned>(to - from + 1));
    }

  private:
    std::mt19937 engine_;
};

struct WalkField {
    std::string text;
    std::set<int> values;
    bool star = false;  // begins with one
};

// Every kind of element, alone and in lists. Small values are frequent: clocks change at night.
WalkField random_field(WalkRandom& random, int min, int max, std::string_view names = {}) {
    const auto name = [&](int value) {
        const auto at = static_cast<std::size_t>(value - min) * 3;
        return at < names.size() && random(0, 1) == 0 ? std::string(names.substr(at, 3))
                                                      : std::to_string(value);
    };
    WalkField field;
    const int elements = random(0, 2) == 0 ? random(2, 3) : 1;
    for (int i = 0; i < elements; ++i) {
        int from = random(min, random(0, 1) == 0 ? std::min(max, min + 3) : max);
        int to = random(from, max);
        int step = 1;
        std::string text;
        switch (random(0, 3)) {
            case 0:
                text = "*";
                from = min;
                to = max;
                break;
            case 1:
                text = name(from) + "-" + name(to);
                break;
            default:
                text = name(from);
                to = from;
        }
        if (text.find_first_of("*-") != std::string::npos && random(0, 1) == 0) {
            step = random(1, max);
            text += "/" + std::to_string(step);
        }
        field.star = field.star || (i == 0 && text[0] == '*');
        field.text += (i == 0 ? "" : ",") + text;
        for (int value = from; value <= to; value += step) {
            field.values.insert(value);
        }
    }
    return field;
}

// Minutes of a wall clock are counted as if it showed UTC.
struct Expression {
    WalkField minute, hour, day, month, weekday;

    explicit Expression(WalkRandom& random)
        : minute(random_field(random, 0, 59)), hour(random_field(random, 0, 23)) {
        // A second chance for a star, and a third for the month: most expressions shall be due in
        // most windows.
        const auto date = [&](int min, int max, std::string_view names = {}) {
            WalkField field = random_field(random, min, max, names);
            return field.star ? field : random_field(random, min, max, names);
        };
        day = date(1, 31);
        month = date(1, 12, "janfebmarAprmayJUNjulaugsepoctnovdec");
        weekday = date(0, 7, "sunmontueWedthuFRIsat");
        if (random(0, 1) == 0) {
            month = {"*", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, true};
        }
    }
    std::string text() const {
        return fmt::format("{} {} {} {} {}", minute.text, hour.text, day.text, month.text,
                           weekday.text);
    }
    bool matches(long wall) const {
        const std::time_t seconds = wall * 60;
        std::tm tm{};
        gmtime_r(&seconds, &tm);
        const bool day_fits = day.values.contains(tm.tm_mday);
        const bool weekday_fits =
            weekday.values.contains(tm.tm_wday) || (tm.tm_wday == 0 && weekday.values.contains(7));
        return minute.values.contains(tm.tm_min) && hour.values.contains(tm.tm_hour) &&
               month.values.contains(tm.tm_mon + 1) &&
               (day.star || weekday.star ? day_fits && weekday_fits : day_fits || weekday_fits);
    }
};

// What the wall shows in each minute of UTC from `first` on.
std::vector<long> wall_minutes(const char* zone, long first, long count) {
    setenv("TZ", zone, 1);
    tzset();
    std::vector<long> wall;
    for (long minute = first; minute < first + count; ++minute) {
        const std::time_t seconds = minute * 60;
        std::tm tm{};
        localtime_r(&seconds, &tm);
        wall.push_back(minute + tm.tm_gmtoff / 60);
    }
    return wall;
}

// The minutes of UTC that are due, among those of `wall` from `lead` on.
std::vector<long> walk(const Expression& e, long first, const std::vector<long>& wall, long lead) {
    const bool every_real_minute = e.minute.star || e.hour.star;
    std::vector<long> due;
    long shown = wall[0];  // the latest the wall has shown so far
    for (std::size_t i = 1; i < wall.size(); ++i) {
        bool now = every_real_minute && e.matches(wall[i]);
        // What the wall shows for the first time, and what it has jumped over.
        while (shown < wall[i]) {
            ++shown;
            now = now || (!every_real_minute && e.matches(shown));
        }
        if (now && static_cast<long>(i) >= lead) {
            due.push_back(first + static_cast<long>(i));
        }
    }
    return due;
}

// How many due times were compared.
std::size_t compare(const Expression& e, const char* zone, long first,
                    const std::vector<long>& wall) {
    constexpr long kLead = 2 * 1440;  // enough to have seen what an overlap repeats
    constexpr std::size_t kMost = 300;
    const auto due = walk(e, first, wall, kLead);
    const std::string what = fmt::format("\"{}\" in {}", e.text(), zone);
    std::optional<Schedule> schedule;
    try {
        schedule = Schedule::parse(e.text(), zone);
    } catch (const Error& error) {
        EXPECT_NE(error.detail().find("never run"), std::string::npos) << error.detail();
        EXPECT_TRUE(due.empty()) << what << " would run";
        return 0;
    }
    const Time end{minutes{first + static_cast<long>(wall.size())}};
    Time time{minutes{first + kLead} - std::chrono::milliseconds{1}};
    for (std::size_t i = 0; i < std::min(due.size() + 1, kMost); ++i) {
        const auto got = schedule->next_after(time);
        if (!got || *got <= time) {
            ADD_FAILURE() << what << ": nothing, or not later, after " << format_time(time);
            return i;
        }
        const bool good = i == due.size() ? *got >= end : *got == Time{minutes{due[i]}};
        if (!good) {
            ADD_FAILURE() << what << ": " << format_time(*got) << " after " << format_time(time)
                          << ", not "
                          << (i == due.size() ? "so early" : format_time(Time{minutes{due[i]}}));
            return i;
        }
        time = *got;
    }
    return due.size();
}

struct Year {
    const char* zone;
    int year;
    std::size_t changes;  // of the clock
};

TEST(ScheduleWalk, NextAfterAgrees) {
    constexpr int kExpressions = test::kSanitized ? 8 : 40;
    WalkRandom random(20260118);
    std::size_t compared = 0;
    // Years that are over: what is announced for a year to come is changed again and again.
    for (const auto& [zone, year, changes] : std::vector<Year>{
             {"UTC", 2024, 0},
             {"Europe/Vienna", 2024, 2},
             {"Europe/Dublin", 2024, 2},  // winter is the exception there
             {"America/New_York", 2024, 2},
             {"America/St_Johns", 2010, 2},     // at one minute past midnight
             {"Australia/Lord_Howe", 2024, 2},  // half an hour
             {"America/Havana", 2024, 2},       // from midnight on, and back to it
             {"Asia/Beirut", 2024, 2},          // from midnight on, and back from it
             {"America/Sao_Paulo", 2018, 2},
             {"Antarctica/Troll", 2024, 2},   // two hours
             {"Africa/Casablanca", 2024, 2},  // Ramadan
             {"Asia/Kathmandu", 2024, 0},
             {"Pacific/Chatham", 2024, 2},
             {"Pacific/Apia", 2011, 3},  // a whole day is left out
             {"Pacific/Kwajalein", 1993, 1},
             {"Asia/Pyongyang", 2018, 1},
             {"America/Caracas", 2016, 1},
         }) {
        const auto new_year = parse_time(fmt::format("{}-01-01T00:00:00Z", year));
        const long first = new_year->time_since_epoch() / minutes{1};
        const auto wall = wall_minutes(zone, first, 365L * 1440);
        std::vector<long> centers{random(10, 350) * 1440L};
        for (std::size_t i = 1; i < wall.size(); ++i) {
            if (wall[i] != wall[i - 1] + 1) {
                centers.push_back(static_cast<long>(i));
            }
        }
        EXPECT_EQ(centers.size(), changes + 1) << zone;
        for (const long center : centers) {
            const long begin = std::max(center - 4 * 1440L, 0L);
            const long end = std::min(center + 3 * 1440L, static_cast<long>(wall.size()));
            const std::vector<long> window(wall.begin() + begin, wall.begin() + end);
            for (int i = 0; i < kExpressions && !HasFailure(); ++i) {
                compared += compare(Expression(random), zone, first + begin, window);
            }
        }
    }
    EXPECT_GT(compared, 1'250U * kExpressions);
}

}  // namespace
}  // namespace immbackup
