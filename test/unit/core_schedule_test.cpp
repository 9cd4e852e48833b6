// Cron expressions: the syntax of crontab(5), daylight saving time by Vixie's rule in both
// directions, and a brute-force walk over minutes that knows nothing of the implementation.
#include "core/schedule.h"

#include <date/tz.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "sanitized.h"

namespace immbackup {
namespace {

using namespace std::chrono_literals;

Time utc(const std::string& text) {  // 2026-03-29T00:00Z
    const auto time = parse_time(text.substr(0, 16) + ":00Z");
    EXPECT_TRUE(time) << text;
    return time.value_or(Time{});
}

std::vector<std::string> runs(const char* expression, const char* zone, const char* from,
                              int count) {
    const Schedule schedule = Schedule::parse(expression, zone);
    std::vector<std::string> out;
    std::optional<Time> time = utc(from);
    while (count-- > 0 && (time = schedule.next_after(*time))) {
        out.push_back(format_time(*time).substr(0, 16) + "Z");
    }
    return out;
}

struct DueCase {
    const char* expression;
    const char* zone;
    const char* from;  // exclusive
    std::vector<std::string> want;
};

void check_due(const std::vector<DueCase>& cases) {
    for (const auto& [expression, zone, from, want] : cases) {
        EXPECT_EQ(runs(expression, zone, from, static_cast<int>(want.size())), want)
            << expression << " in " << zone << " from " << from;
    }
}

TEST(Schedule, Syntax) {
    check_due({
        {"* * * * *", "", "2026-01-01T00:00Z", {"2026-01-01T00:01Z", "2026-01-01T00:02Z"}},
        {"0 * * * *", "", "2026-01-01T00:00Z", {"2026-01-01T01:00Z", "2026-01-01T02:00Z"}},
        {"*/20 * * * *",
         "",
         "2026-01-01T00:00Z",
         {"2026-01-01T00:20Z", "2026-01-01T00:40Z", "2026-01-01T01:00Z"}},
        {"5-59/25 3 * * *",
         "",
         "2026-01-01T00:00Z",
         {"2026-01-01T03:05Z", "2026-01-01T03:30Z", "2026-01-01T03:55Z", "2026-01-02T03:05Z"}},
        {"1,3,2 0 1 1 *",
         "",
         "2025-06-01T00:00Z",
         {"2026-01-01T00:01Z", "2026-01-01T00:02Z", "2026-01-01T00:03Z", "2027-01-01T00:01Z"}},
        {"0 0 * jan,MAR *", "", "2026-01-31T00:00Z", {"2026-03-01T00:00Z"}},
        {"0 0 * * mon-wed",
         "",
         "2026-01-01T00:00Z",
         {"2026-01-05T00:00Z", "2026-01-06T00:00Z", "2026-01-07T00:00Z", "2026-01-12T00:00Z"}},
        {"0 0 * * 7", "", "2026-01-01T00:00Z", {"2026-01-04T00:00Z", "2026-01-11T00:00Z"}},
        {"0 0 * * 0", "", "2026-01-01T00:00Z", {"2026-01-04T00:00Z"}},
        {"0 0 * * 5-7",
         "",
         "2026-01-01T00:00Z",
         {"2026-01-02T00:00Z", "2026-01-03T00:00Z", "2026-01-04T00:00Z", "2026-01-09T00:00Z"}},
        // Both day fields restricted: either is enough.
        {"0 0 13 * fri",
         "",
         "2026-02-01T00:00Z",
         {"2026-02-06T00:00Z", "2026-02-13T00:00Z", "2026-02-20T00:00Z", "2026-02-27T00:00Z",
          "2026-03-06T00:00Z", "2026-03-13T00:00Z"}},
        // One begins with a star: both must match.
        {"0 0 */2 * mon", "", "2026-01-01T00:00Z", {"2026-01-05T00:00Z", "2026-01-19T00:00Z"}},
        {"@hourly", "", "2026-01-01T00:30Z", {"2026-01-01T01:00Z"}},
        {"@daily", "", "2026-01-01T00:30Z", {"2026-01-02T00:00Z"}},
        {"@midnight", "", "2026-01-01T00:30Z", {"2026-01-02T00:00Z"}},
        {"@weekly", "", "2026-01-01T00:30Z", {"2026-01-04T00:00Z"}},
        {"@monthly", "", "2026-01-01T00:30Z", {"2026-02-01T00:00Z"}},
        {"@yearly", "", "2026-01-01T00:30Z", {"2027-01-01T00:00Z"}},
        {"@annually", "", "2026-01-01T00:30Z", {"2027-01-01T00:00Z"}},
        {"0 2 * * 1-5; 0 4 * * 6 ;0 2 * * fri",
         "",
         "2026-01-01T12:00Z",
         {"2026-01-02T02:00Z", "2026-01-03T04:00Z", "2026-01-05T02:00Z"}},
        {" 0\t0  1 1 * ", "", "2025-06-01T00:00Z", {"2026-01-01T00:00Z"}},
    });
}

TEST(Schedule, DatesThatAreRare) {
    check_due({
        {"0 0 29 2 *", "", "2026-01-01T00:00Z", {"2028-02-29T00:00Z", "2032-02-29T00:00Z"}},
        {"0 0 29 2 *", "", "2097-01-01T00:00Z", {"2104-02-29T00:00Z"}},  // 2100 is no leap year
        {"0 0 31 * *",
         "",
         "2026-01-31T00:00Z",
         {"2026-03-31T00:00Z", "2026-05-31T00:00Z", "2026-07-31T00:00Z", "2026-08-31T00:00Z"}},
        {"59 23 28-31 2 *",
         "",
         "2027-12-31T00:00Z",
         {"2028-02-28T23:59Z", "2028-02-29T23:59Z", "2029-02-28T23:59Z"}},
    });
}

// In each zone: a fixed time in the gap, one in the overlap, and every-half-an-hour through both.
TEST(Schedule, DaylightSavingTime) {
    check_due({
        // Vienna: 02:00 -> 03:00 on 2026-03-29 (01:00Z), 03:00 -> 02:00 on 2026-10-25 (01:00Z)
        {"30 2 * * *",
         "Europe/Vienna",
         "2026-03-28T12:00Z",
         {"2026-03-29T01:00Z", "2026-03-30T00:30Z"}},
        {"0,30 2 * * *",
         "Europe/Vienna",
         "2026-03-28T12:00Z",
         {"2026-03-29T01:00Z", "2026-03-30T00:00Z"}},
        {"30 2 * * *",
         "Europe/Vienna",
         "2026-10-24T12:00Z",
         {"2026-10-25T00:30Z", "2026-10-26T01:30Z"}},
        {"*/30 * * * *",
         "Europe/Vienna",
         "2026-03-29T00:00Z",
         {"2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"}},
        {"0 * * * *",
         "Europe/Vienna",
         "2026-10-24T23:00Z",
         {"2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"}},
        {"*/30 2 * * *",
         "Europe/Vienna",
         "2026-03-28T12:00Z",
         {"2026-03-30T00:00Z"}},  // the hour does not occur
        {"*/30 2 * * *",
         "Europe/Vienna",
         "2026-10-24T12:00Z",
         {"2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z",
          "2026-10-26T01:00Z"}},
        // New York: gap 2026-03-08 07:00Z, overlap 2026-11-01 06:00Z
        {"15 2 * * *",
         "America/New_York",
         "2026-03-07T12:00Z",
         {"2026-03-08T07:00Z", "2026-03-09T06:15Z"}},
        {"15 1 * * *",
         "America/New_York",
         "2026-10-31T12:00Z",
         {"2026-11-01T05:15Z", "2026-11-02T06:15Z"}},
        // Lord Howe moves by half an hour: overlap 2026-04-05 02:00 -> 01:30 (15:00Z the day
        // before), gap 2026-10-04 02:00 -> 02:30 (15:30Z)
        {"45 1 * * *",
         "Australia/Lord_Howe",
         "2026-04-04T00:00Z",
         {"2026-04-04T14:45Z", "2026-04-05T15:15Z"}},
        {"15 2 * * *",
         "Australia/Lord_Howe",
         "2026-10-03T00:00Z",
         {"2026-10-03T15:30Z", "2026-10-04T15:15Z"}},
        // Havana changes at midnight: gap 2024-03-10 00:00 -> 01:00 (05:00Z), overlap 2024-11-03
        // 01:00 -> 00:00 (05:00Z)
        {"30 0 * * *",
         "America/Havana",
         "2024-03-09T12:00Z",
         {"2024-03-10T05:00Z", "2024-03-11T04:30Z"}},
        {"@daily",
         "America/Havana",
         "2024-03-09T12:00Z",
         {"2024-03-10T05:00Z", "2024-03-11T04:00Z"}},
        {"0 0 * * *",
         "America/Havana",
         "2024-11-02T12:00Z",
         {"2024-11-03T04:00Z", "2024-11-04T05:00Z"}},
        // Beirut, too: gap 2026-03-29 00:00 -> 01:00 (22:00Z the day before)
        {"10 0 * * *",
         "Asia/Beirut",
         "2026-03-28T00:00Z",
         {"2026-03-28T22:00Z", "2026-03-29T21:10Z"}},
        // Apia left out 2011-12-30: the gap of a whole day is one time.
        {"0 3 * * *",
         "Pacific/Apia",
         "2011-12-29T00:00Z",
         {"2011-12-29T13:00Z", "2011-12-30T10:00Z", "2011-12-30T13:00Z"}},
        // Several times in one gap, of several expressions: one run.
        {"10 2 * * *; 20 2 * * *",
         "Europe/Vienna",
         "2026-03-28T12:00Z",
         {"2026-03-29T01:00Z", "2026-03-30T00:10Z", "2026-03-30T00:20Z"}},
    });
}

TEST(Schedule, StrictlyAfterToTheMillisecond) {
    const Time two = utc("2026-01-18T02:00Z");
    for (const auto& [text, period] :
         {std::pair{"0 * * * *", 60min}, std::pair{"0 2 * * *", 24 * 60min}}) {
        const Schedule schedule = Schedule::parse(text, "");
        EXPECT_EQ(schedule.next_after(two - 1ms), two) << text;
        EXPECT_EQ(schedule.next_after(two), two + period) << text;
        EXPECT_EQ(schedule.next_after(two + 1ms), two + period) << text;
    }
}

TEST(Schedule, RefusalsSayWhichFieldAndWhy) {
    for (const auto& [text, reason] : std::vector<std::pair<const char*, const char*>>{
             {"", "empty"},
             {" ; ;", "empty"},
             {"* * * *", "4 fields"},
             {"* * * * * *", "6 fields"},
             {"0 2 * * *; 0 3 * *", "4 fields"},
             {"60 * * * *", "60 is not a minute"},
             {"* 24 * * *", "24 is not an hour"},
             {"* * 0 * *", "0 is not a day of month"},
             {"* * 32 * *", "32 is not a day of month"},
             {"* * * 0 *", "0 is not a month"},
             {"* * * 13 *", "13 is not a month"},
             {"* * * * 8", "8 is not a day of week"},
             {"-1 * * * *", "not a minute"},
             {"+1 * * * *", "not a minute"},
             {"1.5 * * * *", "not a minute"},
             {"99999999999999999999 * * * *", "not a minute"},
             {"a * * * *", "not a minute"},
             {"mon * * * *", "not a minute"},
             {"? * * * *", "not a minute"},
             {"* * L * *", "not a day of month"},
             {"* * * jan-foo *", "\"foo\" is not a month"},
             {"* * * * jan", "not a day of week"},
             {"* * * * unm", "not a day of week"},
             {"30-10 * * * *", "backwards"},
             {"* * * * fri-mon", "backwards"},
             {"1-2-3 * * * *", "not a minute"},
             {"1--2 * * * *", "not a minute"},
             {"1- * * * *", "not a minute"},
             {"*-5 * * * *", "not a minute"},
             {"*5 * * * *", "not a minute"},
             {"/5 * * * *", "not a minute"},
             {"5/10 * * * *", "needs a range"},
             {"*/0 * * * *", "not a step"},
             {"*/-5 * * * *", "not a step"},
             {"*/60 * * * *", "not a step"},
             {"*/ * * * *", "not a step"},
             {"*/5/5 * * * *", "not a step"},
             {"1,,2 * * * *", "empty element"},
             {",1 * * * *", "empty element"},
             {"1, * * * *", "empty element"},
             {"0 0 31 2 *", "would never run"},
             {"0 0 30,31 feb *", "would never run"},
             {"0 0 31 2,4,6,9,11 *", "would never run"},
             {"0 0 31 2 */2", "would never run"},
             {"@reboot", "@reboot is not supported"},
             {"0 0 * * *; @reboot", "@reboot is not supported"},
             {"@sometimes", "@sometimes"},
             {"@daily @daily", "2 fields"}}) {
        try {
            static_cast<void>(Schedule::parse(text, ""));
            ADD_FAILURE() << "taken: " << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::config);
            EXPECT_NE(error.message().find(text), std::string::npos) << error.message();
            EXPECT_NE(error.detail().find(reason), std::string::npos) << error.detail();
            EXPECT_EQ(schedule_problem(text), error.detail());
        }
    }
    EXPECT_FALSE(schedule_problem("*/59 */23 */31 */12 */7"));
}

TEST(Schedule, TimeZonesAreNamesOfTheDatabase) {
    for (const char* good : {"", "UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires",
                             "Etc/GMT+5", "America/Port-au-Prince"}) {
        EXPECT_FALSE(timezone_problem(good)) << good;
        EXPECT_TRUE(Schedule::parse("@daily", good).next_after(Time{})) << good;
    }
    for (const char* bad :
         {"Mars/Olympus", "/etc/localtime", "/usr/share/zoneinfo/UTC", ":UTC", "../UTC",
          "../../etc/passwd", "Europe/../UTC", "Europe//Vienna", "Europe", "Europe/",
          "Asia/Kol kata", "CET-1CEST,M3.5.0,M10.5.0/3", "zone.tab", "+", "-"}) {
        EXPECT_TRUE(timezone_problem(bad)) << bad;
        EXPECT_THROW(static_cast<void>(Schedule::parse("@daily", bad)), Error) << bad;
    }
}

// ------------------------------------------------------------------------------------ the walk

// One field as sets of numbers, written and judged here alone.
struct Field {
    std::string text;
    std::set<unsigned> values;
    bool star = false;
};

Field random_field(std::mt19937& random, unsigned low, unsigned high, int star_weight) {
    const auto number = [&](unsigned from, unsigned to) {
        return std::uniform_int_distribution<unsigned>(from, to)(random);
    };
    Field field;
    if (static_cast<int>(number(0, 9)) < star_weight) {
        field.star = true;
        const unsigned step = number(0, 2) == 0 ? number(2, 20) : 1;
        field.text = step == 1 ? "*" : "*/" + std::to_string(step);
        for (unsigned v = low; v <= high; v += step) {
            field.values.insert(v);
        }
        return field;
    }
    for (unsigned part = number(1, 3); part > 0; --part) {
        const unsigned first = number(low, high);
        const unsigned last = number(0, 1) == 0 ? first : number(first, high);
        const unsigned step = last > first && number(0, 2) == 0 ? number(1, 5) : 1;
        field.text += (field.text.empty() ? "" : ",") + std::to_string(first) +
                      (last > first ? "-" + std::to_string(last) : "") +
                      (step > 1 ? "/" + std::to_string(step) : "");
        for (unsigned v = first; v <= last; v += step) {
            field.values.insert(v);
        }
    }
    return field;
}

struct Random {
    Field minute, hour, day, month, weekday;
    explicit Random(std::mt19937& random)
        : minute(random_field(random, 0, 59, 2)),
          hour(random_field(random, 0, 23, 5)),
          day(random_field(random, 1, 31, 6)),
          month(random_field(random, 1, 12, 7)),
          weekday(random_field(random, 0, 6, 6)) {}
    std::string text() const {
        return minute.text + " " + hour.text + " " + day.text + " " + month.text + " " +
               weekday.text;
    }
    bool matches(date::local_time<std::chrono::minutes> local) const {
        const auto midnight = date::floor<date::days>(local);
        const date::year_month_day ymd(midnight);
        const auto of_day = static_cast<unsigned>((local - midnight).count());
        const bool day_fits = day.values.contains(static_cast<unsigned>(ymd.day()));
        const bool weekday_fits = weekday.values.contains(date::weekday(midnight).c_encoding());
        const bool either = !day.star && !weekday.star;
        return minute.values.contains(of_day % 60) && hour.values.contains(of_day / 60) &&
               month.values.contains(static_cast<unsigned>(ymd.month())) &&
               (either ? day_fits || weekday_fits : day_fits && weekday_fits);
    }
};

// Every due time in (from, from + days], minute by minute.
std::vector<Time> walk(const Random& expression, const date::time_zone* zone, Time from, int days) {
    using std::chrono::minutes;
    std::set<Time> due;
    const auto begin = date::floor<minutes>(from);
    const bool real = expression.minute.star || expression.hour.star;
    const auto end = begin + date::days(days);
    if (real) {
        for (auto time = begin + 1min; time <= end; time += 1min) {
            if (expression.matches(date::floor<minutes>(zone->to_local(time)))) {
                due.insert(Time(time));
            }
        }
    } else {
        // Local minutes, each once: in a gap the first instant after it, in an overlap the first of
        // the two.
        const auto local_end = date::floor<minutes>(zone->to_local(end)) + date::days(2);
        for (auto local = date::floor<minutes>(zone->to_local(begin)) - date::days(2);
             local <= local_end; local += 1min) {
            if (!expression.matches(local)) {
                continue;
            }
            const auto info = zone->get_info(local);
            const auto time = info.result == date::local_info::nonexistent
                                  ? date::sys_seconds(info.first.end)
                                  : date::sys_seconds(local.time_since_epoch() - info.first.offset);
            if (time > begin && time <= end) {
                due.insert(Time(time));
            }
        }
    }
    return {due.begin(), due.end()};
}

TEST(Schedule, AgreesWithAWalkOverEveryMinute) {
    std::mt19937 random(20260118);
    const std::vector<std::string> zones{"UTC",
                                         "Europe/Vienna",
                                         "America/New_York",
                                         "Australia/Lord_Howe",
                                         "America/Havana",
                                         "Asia/Beirut",
                                         "Asia/Kathmandu",
                                         "Pacific/Apia",
                                         "America/St_Johns",
                                         "Africa/Casablanca"};
    int compared = 0;
    for (int i = 0; i < (test::kSanitized ? 60 : 400); ++i) {
        const Random expression(random);
        if (schedule_problem(expression.text())) {
            continue;  // an impossible date
        }
        const std::string& name = zones[static_cast<std::size_t>(i) % zones.size()];
        const date::time_zone* zone = date::locate_zone(name);
        const Schedule schedule = Schedule::parse(expression.text(), name);
        // Around a change of the clock, if there is one, half of the time.
        auto from = date::sys_days(date::year(1990 + static_cast<int>(random() % 60)) / 1 / 1) +
                    date::days(random() % 365);
        date::sys_seconds begin = from;
        if (i % 2 == 0) {
            const auto info = zone->get_info(begin);
            if (info.end < begin + date::days(400)) {
                begin = info.end - date::days(3);
            }
        }
        constexpr int kDays = 10;
        const auto want = walk(expression, zone, Time(begin), kDays);
        std::vector<Time> have;
        for (auto time = schedule.next_after(Time(begin));
             time && *time <= Time(begin) + date::days(kDays); time = schedule.next_after(*time)) {
            ASSERT_TRUE(have.empty() || *time > have.back()) << expression.text();
            have.push_back(*time);
        }
        compared += static_cast<int>(want.size());
        ASSERT_EQ(have, want) << expression.text() << " in " << name << " from "
                              << format_time(Time(begin));
    }
    EXPECT_GT(compared, test::kSanitized ? 1'500 : 10'000);
}

}  // namespace
}  // namespace immbackup
