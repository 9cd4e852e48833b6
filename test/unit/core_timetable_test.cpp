// The timetable under a clock that the test moves: every due time is served once or missed,
// whatever the clock and the runs do.
#include "core/timetable.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace immbackup {
namespace {

using namespace std::chrono_literals;

Time day_time(std::string_view text) {
    return *parse_time("2026-01-18T" + std::string(text) + (text.size() == 5 ? ":00Z" : "Z"));
}
Schedule hourly() {
    return Schedule::parse("0 * * * *", "UTC");
}
Schedule every_minute() {
    return Schedule::parse("* * * * *", "UTC");
}
std::string text(const MissedTimes& missed) {
    return format_time(missed.first).substr(11, 5) +
           (missed.last == missed.first ? "" : "-" + format_time(missed.last).substr(11, 5));
}
std::string text(const std::vector<MissedTimes>& missed) {
    std::string out;
    for (const auto& entry : missed) {
        out += (out.empty() ? "" : " ") + text(entry);
    }
    return out;
}
std::string text(const std::optional<Timetable::Due>& due) {
    if (!due) {
        return "nothing";
    }
    return due->trigger + (due->due ? " " + format_time(*due->due).substr(11, 5) : "") +
           (due->missed.empty() ? "" : " missed " + text(due->missed));
}

class Clocked : public testing::Test {
  protected:
    Timetable table{[] { return 0.5; }};  // no jitter
    void good(Time now) { table.ended(Timetable::End::good, true, now); }
    void failed(Time now, bool recorded = true) {
        table.ended(Timetable::End::failed, recorded, now);
    }
};

TEST_F(Clocked, ServesADueTimeOnce) {
    EXPECT_FALSE(table.is_due(day_time("12:00")));
    EXPECT_EQ(table.wake_at(), std::nullopt);
    table.follow(hourly(), day_time("11:30"));
    EXPECT_EQ(table.wake_at(), day_time("12:00"));
    EXPECT_FALSE(table.is_due(day_time("11:59:59")));
    EXPECT_EQ(text(table.take(day_time("11:59:59"))), "nothing");
    ASSERT_TRUE(table.is_due(day_time("12:00")));
    EXPECT_EQ(text(table.take(day_time("12:00"))), "schedule 12:00");
    EXPECT_FALSE(table.is_due(day_time("12:00")));
    good(day_time("12:10"));
    EXPECT_EQ(text(table.take(day_time("12:59"))), "nothing");
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00");
}

TEST_F(Clocked, WhatPassedDuringARunIsOneRunAndTheRestIsMissed) {
    table.follow(every_minute(), day_time("12:00"));
    EXPECT_EQ(text(table.take(day_time("12:01"))), "schedule 12:01");
    good(day_time("12:04:30"));
    EXPECT_EQ(text(table.take(day_time("12:04:30"))), "schedule 12:04 missed 12:02 12:03");
}

TEST_F(Clocked, SetForwardCoalesces) {
    table.follow(hourly(), day_time("01:30"));
    EXPECT_EQ(text(table.take(day_time("05:20"))), "schedule 05:00 missed 02:00 03:00 04:00");
    good(day_time("05:20"));
    EXPECT_EQ(table.wake_at(), day_time("06:00"));
}

TEST_F(Clocked, SetForwardByYearsIsBounded) {
    table.follow(every_minute(), day_time("00:00"));
    const Time far = day_time("00:00") + 24h * 3000;
    const auto due = table.take(far);
    ASSERT_TRUE(due);
    EXPECT_EQ(due->due, far);
    ASSERT_EQ(due->missed.size(), kMaxMissed + 1);
    EXPECT_EQ(due->missed.back().first, day_time("00:00") + 1min * (kMaxMissed + 1));
    EXPECT_EQ(due->missed.back().last, far - 1min);
}

TEST_F(Clocked, SetBackALittleNothingRunsTwice) {
    table.follow(hourly(), day_time("11:30"));
    EXPECT_EQ(text(table.take(day_time("12:00"))), "schedule 12:00");
    good(day_time("12:01"));
    for (const char* time : {"11:00", "11:59", "12:00", "12:30"}) {
        EXPECT_EQ(text(table.take(day_time(time))), "nothing") << time;
    }
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00");
}

TEST_F(Clocked, SetBackFarTheNewTimeCounts) {
    table.follow(hourly(), day_time("11:30"));
    EXPECT_EQ(text(table.take(day_time("12:00"))), "schedule 12:00");
    good(day_time("12:01"));
    ASSERT_TRUE(table.is_due(day_time("08:30")));  // to look at the clock, not to run
    EXPECT_EQ(text(table.take(day_time("08:30"))), "nothing");
    EXPECT_FALSE(table.is_due(day_time("08:31")));
    EXPECT_EQ(table.wake_at(), day_time("09:00"));
    EXPECT_EQ(text(table.take(day_time("09:00"))), "schedule 09:00");
}

TEST_F(Clocked, RetriesBackOffUntilTheNextDueTime) {
    table.follow(hourly(), day_time("11:30"));
    table.take(day_time("12:00"));
    std::vector<std::string> retries;
    Time now = day_time("12:00:10");
    for (;;) {
        failed(now);
        if (!table.retry_at()) {
            break;
        }
        EXPECT_FALSE(table.is_due(*table.retry_at() - 1ms));
        now = *table.retry_at();
        EXPECT_EQ(text(table.take(now)), "retry");  // its due time was served, though badly
        retries.push_back(format_time(now).substr(11, 8));
    }
    EXPECT_EQ(retries, (std::vector<std::string>{"12:01:10", "12:03:10", "12:07:10", "12:15:10",
                                                 "12:30:10", "12:45:10"}));
    EXPECT_EQ(table.wake_at(), day_time("13:00"));
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00");
    failed(day_time("13:00:10"));
    EXPECT_EQ(table.retry_at(), day_time("13:01:10")) << "the back-off begins anew";
    table.take(*table.retry_at());
    good(day_time("13:02"));
    EXPECT_EQ(table.retry_at(), std::nullopt);
    EXPECT_EQ(table.attempts(), 0U);
}

TEST_F(Clocked, NoRetryWhereThePeriodIsTooShortOrTheRunWasCancelled) {
    table.follow(every_minute(), day_time("12:00"));
    table.take(day_time("12:01"));
    failed(day_time("12:01:05"));
    EXPECT_EQ(table.retry_at(), std::nullopt);
    table.follow(hourly(), day_time("12:00"));
    table.take(day_time("13:00"));
    table.ended(Timetable::End::cancelled, true, day_time("13:01"));
    EXPECT_EQ(table.retry_at(), std::nullopt);
}

TEST(Timetable, JitterStaysWithinAFifth) {
    for (const double number : {0.0, 0.25, 1.0}) {
        Timetable table([number] { return number; });
        table.follow(hourly(), day_time("11:30"));
        table.take(day_time("12:00"));
        table.ended(Timetable::End::failed, true, day_time("12:00"));
        EXPECT_EQ(*table.retry_at() - day_time("12:00"),
                  std::chrono::milliseconds(static_cast<int>(48'000 + 24'000 * number)));
    }
}

TEST_F(Clocked, ARunThatCouldNotBeRecordedKeepsItsDueTime) {
    table.follow(hourly(), day_time("10:30"));
    EXPECT_EQ(text(table.take(day_time("12:20"))), "schedule 12:00 missed 11:00");
    failed(day_time("12:20"), false);
    EXPECT_EQ(text(table.take(day_time("12:21"))), "retry 12:00 missed 11:00");
    failed(day_time("12:21"), false);
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00 missed 11:00 12:00");
    good(day_time("13:01"));
    EXPECT_EQ(text(table.take(day_time("14:00"))), "schedule 14:00");
}

TEST_F(Clocked, WhatCannotBeRecordedForLongStaysBounded) {
    table.follow(every_minute(), day_time("00:00"));
    Time now = day_time("00:00");
    for (int i = 0; i < 2000; ++i) {
        now += 1min;
        const auto due = table.take(now);
        ASSERT_TRUE(due);
        ASSERT_LE(due->missed.size(), kMaxMissed + 2);
        failed(now, false);
    }
    now += 1min;
    const auto due = table.take(now);
    EXPECT_EQ(due->missed.front().first, day_time("00:01"));
    EXPECT_EQ(due->missed.back().last, now - 1min);
}

TEST_F(Clocked, CatchingUpComesAtOnceAndOnce) {
    table.follow(hourly(), day_time("12:10"));
    table.catch_up();
    ASSERT_TRUE(table.is_due(day_time("12:10")));
    EXPECT_EQ(text(table.take(day_time("12:10"))), "catch_up");
    good(day_time("12:11"));
    EXPECT_FALSE(table.is_due(day_time("12:12")));
    table.catch_up();
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00") << "a due time is one, too";
    good(day_time("13:01"));
    EXPECT_FALSE(table.is_due(day_time("13:01")));
}

TEST_F(Clocked, PassingServesNothing) {
    table.follow(hourly(), day_time("11:30"));
    table.pass(day_time("12:00"));
    EXPECT_FALSE(table.is_due(day_time("12:30")));
    EXPECT_EQ(text(table.take(day_time("13:00"))), "schedule 13:00");
}

TEST_F(Clocked, NoScheduleNothingIsDue) {
    table.follow(std::nullopt, day_time("11:30"));
    EXPECT_EQ(table.wake_at(), std::nullopt);
    EXPECT_FALSE(table.is_due(day_time("23:30")));
}

// Random clocks, ends and lengths of runs: each due time passed is served or missed exactly once.
TEST(Timetable, EveryDueTimeOnce) {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        std::mt19937 random(seed);
        std::uniform_real_distribution<double> fraction;
        Timetable table([&] { return fraction(random); });
        const Schedule schedule =
            Schedule::parse(seed % 2 == 0 ? "*/7 * * * *" : "3 * * * *", "UTC");
        Time now = day_time("00:00");
        table.follow(schedule, now);
        std::map<Time, int> seen;
        const auto record = [&](const Timetable::Due& due) {
            for (const auto& missed : due.missed) {
                for (auto time = std::optional(missed.first); time && *time <= missed.last;
                     time = schedule.next_after(*time)) {
                    ++seen[*time];
                }
            }
            if (due.due) {
                ++seen[*due.due];
            }
        };
        Time newest = now;
        for (int i = 0; i < 300; ++i) {
            newest = std::max(newest, now);
            switch (random() % 8) {
                case 0:
                    now += std::chrono::minutes(random() % 400);  // suspended, or set forward
                    break;
                case 1:
                    // Set back, and less than what counts as a correction.
                    now = std::max(now - std::chrono::minutes(random() % 170), newest - 170min);
                    break;
                default:
                    now = std::max(now, table.wake_at().value_or(now));
            }
            if (const auto due = table.take(now)) {
                now += std::chrono::seconds(random() % 1200);
                const bool recorded = random() % 4 != 0;
                if (recorded) {
                    record(*due);
                }
                table.ended(
                    recorded && random() % 2 == 0 ? Timetable::End::good : Timetable::End::failed,
                    recorded, now);
            }
        }
        now += 24h;
        if (const auto due = table.take(now)) {
            record(*due);
        }
        Time last = day_time("00:00");
        int count = 0;
        for (auto time = schedule.next_after(last); time && time <= seen.rbegin()->first;
             time = schedule.next_after(*time)) {
            ASSERT_EQ(seen[*time], 1) << "seed " << seed << " at " << format_time(*time);
            ++count;
        }
        ASSERT_GT(count, 24);
    }
}

TEST(Overdue, OnePeriodOrAnHourAfterTheDueTime) {
    const auto daily = Schedule::parse("0 2 * * *", "UTC");
    const auto shown = [](std::optional<Time> time) {
        return time ? format_time(*time).substr(0, 16) : "never";
    };
    EXPECT_EQ(shown(overdue_at(hourly(), day_time("12:00:01"))), "2026-01-18T14:00");
    EXPECT_EQ(shown(overdue_at(every_minute(), day_time("12:00:01"))), "2026-01-18T12:02");
    EXPECT_EQ(shown(overdue_at(daily, day_time("02:00:01"))), "2026-01-19T03:00");
    // A long run that serves the due time is not overdue by itself, but not for ever either.
    EXPECT_EQ(shown(overdue_at(daily, day_time("01:00"), day_time("02:00:01"))),
              "2026-01-19T03:00");
    EXPECT_EQ(shown(overdue_at(daily, day_time("01:00"), day_time("01:30"))), "2026-01-18T03:00");
}

TEST(OlderThanAPeriod, ByTheShorterOfTheTwoPeriods) {
    const auto office = Schedule::parse("0 9-17 * * 1-5", "UTC");  // 2026-01-18 is a Sunday
    const Time friday = day_time("16:00:02") - 24h * 2;
    EXPECT_TRUE(older_than_a_period(office, friday, day_time("18:00") - 24h * 2))
        << "17:00 was missed";
    EXPECT_FALSE(older_than_a_period(office, friday, day_time("16:40") - 24h * 2));
    EXPECT_TRUE(older_than_a_period(hourly(), day_time("11:00:05"), day_time("12:00:01")))
        << "a late start";
    EXPECT_FALSE(older_than_a_period(hourly(), day_time("11:50"), day_time("12:10")))
        << "a backup by hand";
    EXPECT_FALSE(older_than_a_period(hourly(), day_time("12:00:01"), day_time("12:59")));
}

TEST(LatestDue, InAnyWindow) {
    for (const auto& [expression, days] :
         std::vector<std::pair<const char*, int>>{{"* * * * *", 2},
                                                  {"0 * * * *", 3},
                                                  {"0 2 * * *", 40},
                                                  {"0 0 1 * *", 100},
                                                  {"0 0 29 2 *", 1500}}) {
        const auto schedule = Schedule::parse(expression, "Europe/Vienna");
        const Time from = day_time("00:00") - 24h * 366 * 9;
        std::optional<Time> last;
        for (auto time = schedule.next_after(day_time("00:00") - 24h * days);
             time && *time <= day_time("12:34"); time = schedule.next_after(*time)) {
            last = time;
        }
        ASSERT_TRUE(last);
        EXPECT_EQ(latest_due(schedule, from, day_time("12:34")), last) << expression;
        EXPECT_EQ(latest_due(schedule, *last, day_time("12:34")), std::nullopt);
        EXPECT_EQ(latest_due(schedule, *last - 1ms, day_time("12:34")), last);
    }
}

}  // namespace
}  // namespace immbackup
