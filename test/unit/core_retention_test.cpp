// Tiers, days and anomalies.
#include "core/retention.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using test::kShop;
using namespace std::chrono_literals;

std::string tier(const History& history, const std::string& stem) {
    return history.entry(stem).tier;
}

TEST(Tier, FirstOfTheWeekThenOfTheDay) {
    History history;  // a Thursday
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kWeekly);
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kHourly);  // the day has the weekly one
    history.pass(23h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kDaily);
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kHourly);
    history.pass(Days(3) - 2h);  // Sunday 23:00
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kDaily);
    history.pass(1h);  // Monday
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kWeekly);
}

TEST(Tier, MissedMidnightCostsNothing) {
    History history;
    history.run(kShop);
    history.pass(Days(1) + 9h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kDaily);
}

TEST(Tier, EachDatabaseForItself) {
    History history;
    history.run(kShop);
    history.pass(1h);
    const auto stems = history.run({"other", "shop"});
    EXPECT_EQ(tier(history, stems[0]), kWeekly);
    EXPECT_EQ(tier(history, stems[1]), kHourly);
}

TEST(Tier, WhatIsLostOrAnomalousLeavesItsPlace) {
    History history;
    const auto first = history.run(kShop)[0];
    history.record(event::kArtifactVerified, {{"artifact", first}, {"result", "corrupt"}});
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kWeekly);
    history.pass(Days(7));
    const auto bad = history.run(kShop, 10)[0];
    EXPECT_NE(history.entry(bad).anomaly, "");
    EXPECT_EQ(tier(history, bad), kWeekly);
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop, 10)[0]), kHourly);  // one bad one a week is enough
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kWeekly);
    history.of(event::kArtifactAccepted, bad);
    history.pass(1h);
    EXPECT_EQ(tier(history, history.run(kShop)[0]), kHourly);
}

// ISO weeks across a new year, and local midnights of zones on both sides.
TEST(Tier, DaysAndWeeksAreLocal) {
    struct Case {
        const char* zone;
        const char* time;
        const char* day;
        unsigned weekday;
    };
    for (const auto& [zone, time, day, weekday] :
         {Case{"UTC", "2026-01-04T23:59:59.999Z", "2026-01-04", 6},
          Case{"UTC", "2026-01-05T00:00:00.000Z", "2026-01-05", 0},
          Case{"Europe/Vienna", "2026-01-04T22:59:59.000Z", "2026-01-04", 6},
          Case{"Europe/Vienna", "2026-01-04T23:00:00.000Z", "2026-01-05", 0},
          Case{"America/New_York", "2026-01-05T04:59:00.000Z", "2026-01-04", 6},
          Case{"Pacific/Auckland", "2026-01-04T11:00:00.000Z", "2026-01-05", 0},
          Case{"UTC", "1969-12-31T23:00:00.000Z", "1969-12-31", 2},
          Case{"UTC", "1970-01-01T00:00:00.000Z", "1970-01-01", 3}}) {
        const LocalDate date = local_date(*parse_time(time), zone);
        EXPECT_EQ(date_text(date.day), day) << zone << " " << time;
        EXPECT_EQ(date.weekday, weekday) << zone << " " << time;
        EXPECT_EQ(date.week, date.day - static_cast<long>(weekday));
    }
    EXPECT_THROW(local_date(Time{}, "Mars/Phobos"), Error);
    // 2025-12-29 to 2026-01-04 is one week.
    EXPECT_EQ(local_date(*parse_time("2025-12-29T00:00:00.000Z"), "UTC").week,
              local_date(*parse_time("2026-01-04T00:00:00.000Z"), "UTC").week);
}

TEST(Retention, DaysFallBack) {
    const auto days = [](const SettingTexts& texts) {
        return effective_days(resolve_settings(texts));
    };
    EXPECT_EQ(days({}), (RetentionDays{2, 7, 28}));
    EXPECT_EQ(days({{"retention_days", "9"}}), (RetentionDays{9, 9, 9}));
    EXPECT_EQ(days({{"retention_days", "9"}, {"retention_hourly_days", "3"}}),
              (RetentionDays{3, 9, 9}));
    EXPECT_EQ(days({{"retention_daily_days", "30"}}), (RetentionDays{2, 30, 28}));
    EXPECT_EQ(days({{"retention_weekly_days", "1"}}), (RetentionDays{2, 7, 1}));
    for (const char* name : {"retention_days", "retention_hourly_days", "retention_daily_days",
                             "retention_weekly_days"}) {
        EXPECT_TRUE(setting_problem(*find_setting(name), "0")) << name;
        EXPECT_TRUE(setting_problem(*find_setting(name), "-2")) << name;
    }
}

TEST(Anomaly, MuchLessThanTheLastAcceptedOne) {
    ArtifactEntry baseline;
    baseline.artifact = "before";
    baseline.sql_size = 10'000'000;
    baseline.rows = 100'000;
    struct Case {
        std::uint64_t sql_size, rows;
        int percent;
        bool anomaly;
    };
    for (const auto& [sql_size, rows, percent, anomaly] :
         {Case{10'000'000, 100'000, 50, false}, Case{20'000'000, 900'000, 50, false},
          Case{5'000'000, 50'000, 50, false}, Case{10'000'000, 49'999, 50, true},
          Case{4'999'999, 100'000, 50, true}, Case{0, 0, 50, true}, Case{0, 0, 0, false},
          Case{10'000'000, 89'999, 90, true}, Case{10'000'000, 0, 1, true}}) {
        EXPECT_EQ(find_anomaly(&baseline, sql_size, rows, percent).has_value(), anomaly)
            << sql_size << " " << rows << " " << percent;
    }
    EXPECT_FALSE(find_anomaly(nullptr, 0, 0, 50));
    // Small ones come and go; a table that is emptied is told.
    baseline.sql_size = 5000;
    baseline.rows = 40;
    EXPECT_FALSE(find_anomaly(&baseline, 1000, 3, 50));
    EXPECT_TRUE(find_anomaly(&baseline, 1000, 0, 50));
    baseline.rows = 9;
    EXPECT_FALSE(find_anomaly(&baseline, 1000, 0, 50));
}

// Two bad ones must not become normal.
TEST(Anomaly, TheBaselineIsTheLastAcceptedOne) {
    History history;
    const auto good = history.run(kShop, 100'000)[0];
    for (int i = 0; i < 5; ++i) {
        history.pass(1h);
        const auto bad = history.run(kShop, 100)[0];
        EXPECT_NE(history.entry(bad).anomaly.find(good), std::string::npos) << i;
    }
    history.pass(1h);
    const auto last = history.run(kShop, 100)[0];
    history.of(event::kArtifactAccepted, last);
    history.pass(1h);
    EXPECT_EQ(history.entry(history.run(kShop, 90)[0]).anomaly, "");
}

}  // namespace
}  // namespace immbackup
