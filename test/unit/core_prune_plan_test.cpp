// What may be removed: each rule for itself, and a year that agrees with a closed form. Histories
// drawn by lot are in histories_test.cpp.
#include "core/prune_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using test::kShop;
using namespace std::chrono_literals;

PruneRow row_of(const History& history, const std::string& stem) {
    static PrunePlan plan;
    plan = history.plan();
    for (const auto& row : plan.rows) {
        if (row.entry->artifact == stem) {
            return row;
        }
    }
    return {};
}
bool goes(const History& history, const std::string& stem) {
    return row_of(history, stem).action == PruneAction::prune;
}
bool reason_has(const History& history, const std::string& stem, const char* text) {
    return row_of(history, stem).reason.find(text) != std::string::npos;
}

// A week with some of each tier; then so many days pass and new good ones come.
struct Aged : History {
    explicit Aged(std::chrono::milliseconds age) {
        for (int i = 0; i < 40; ++i) {
            stems.push_back(run(kShop)[0]);
            pass(5h);
        }
        pass(age);
        for (int i = 0; i < 3; ++i) {
            run(kShop);
            pass(1h);
        }
    }
    std::vector<std::string> stems;
};

TEST(PrunePlan, KeepsUntilTheDayThenRemoves) {
    History history;
    const auto first = history.run(kShop)[0];
    for (int i = 0; i < 5; ++i) {
        history.pass(1h);
        history.run(kShop);
    }
    history.pass(Days(28) - 5h - 1ms);
    EXPECT_FALSE(goes(history, first));
    EXPECT_TRUE(reason_has(history, first, "It is kept until 2026-01-29T00:00:00.000Z."));
    history.pass(1ms);
    EXPECT_TRUE(goes(history, first));
}

TEST(PrunePlan, NewestAndMinKeepStayForEver) {
    History history;
    std::vector<std::string> stems;
    for (int i = 0; i < 6; ++i) {
        stems.push_back(history.run(kShop)[0]);
        history.pass(1h);
    }
    history.pass(Days(4000));
    for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_EQ(goes(history, stems[i]), i < 3) << i;
    }
    EXPECT_TRUE(reason_has(history, stems[5], "newest good one of database \"shop\""));
    EXPECT_TRUE(reason_has(history, stems[3], "min_keep"));
    history.prune();
    EXPECT_EQ(history.present(), 3U);
    history.rules.min_keep = 1;
    history.prune();
    EXPECT_EQ(history.present(), 1U);
    // Of a database that is gone.
    history.record(event::kDatabaseRetired, {{"database", "shop"}});
    EXPECT_TRUE(goes(history, stems[5]));
    history.run(kShop);  // it is back
    EXPECT_FALSE(history.catalog.retired.contains("shop"));
}

TEST(PrunePlan, CountsAreOfEachDatabase) {
    History history;
    const auto other = history.run({"other"})[0];
    for (int i = 0; i < 5; ++i) {
        history.run(kShop);
        history.pass(1h);
    }
    history.pass(Days(100));
    EXPECT_FALSE(goes(history, other));
}

TEST(PrunePlan, OrderIsThatOfTheLogNotOfTheNames) {
    History history;
    history.error = Days(50);
    const auto ahead = history.run(kShop)[0];  // named as of a time to come
    history.error = 0ms;
    history.acknowledge_clock();
    std::vector<std::string> later;
    for (int i = 0; i < 3; ++i) {
        history.pass(1h);
        later.push_back(history.run(kShop)[0]);
    }
    history.pass(Days(300));
    EXPECT_TRUE(goes(history, ahead));
    for (const auto& stem : later) {
        EXPECT_FALSE(goes(history, stem));
    }
}

TEST(PrunePlan, HoldsHoldUntilReleased) {
    Aged history(Days(60));
    const auto& held = history.stems[0];
    ASSERT_TRUE(goes(history, held));
    history.of(event::kArtifactHeld, held);
    EXPECT_FALSE(goes(history, held));
    EXPECT_TRUE(reason_has(history, held, "hold: because"));
    history.record(event::kDatabaseRetired, {{"database", "shop"}});
    EXPECT_FALSE(goes(history, held));
    history.of(event::kArtifactReleased, held);
    EXPECT_TRUE(goes(history, held));
}

TEST(PrunePlan, ALongerSettingLengthensAShorterOneDoesNotShorten) {
    Aged history(1h);
    const auto weekly = history.stems[0];
    const auto until = history.entry(weekly).retain_until;
    history.rules.days = {1, 1, 1};
    EXPECT_EQ(row_of(history, weekly).action, PruneAction::keep);
    history.rules.days = {2, 7, 100};
    EXPECT_EQ(row_of(history, weekly).action, PruneAction::extend);
    history.prune();
    EXPECT_GT(history.entry(weekly).retain_until, until);
    EXPECT_EQ(row_of(history, weekly).action, PruneAction::keep);
    history.rules.days = {1, 1, 1};
    history.pass(Days(60));
    EXPECT_FALSE(goes(history, weekly));
    history.pass(Days(40));
    EXPECT_TRUE(goes(history, weekly));
    // A record cannot shorten either.
    const auto now = history.entry(weekly).retain_until;
    history.record(event::kRetentionExtended,
                   {{"artifacts", {{weekly, "2020-01-01T00:00:00.000Z"}}}});
    EXPECT_EQ(history.entry(weekly).retain_until, now);
}

TEST(PrunePlan, PendingUploadsWaitTheirTime) {
    Aged history(Days(60));
    const auto& stem = history.stems[0];
    history.catalog.artifacts.at(stem).upload = "pending";
    const Time until = *parse_time(history.entry(stem).retain_until);
    history.rules.pending_max_days = 0;
    EXPECT_FALSE(goes(history, stem));
    history.rules.pending_max_days = 100;
    EXPECT_TRUE(reason_has(history, stem, "waits for its upload"));
    history.pass(until + Days(100) - history.wall());
    EXPECT_TRUE(goes(history, stem));
    EXPECT_TRUE(reason_has(history, stem, "its upload never succeeded"));
}

// One that was parked is not in the bucket either, and can be tried again by hand.
TEST(PrunePlan, FailedUploadsWaitAsLong) {
    Aged history(Days(60));
    const auto& stem = history.stems[0];
    history.catalog.artifacts.at(stem).upload = "failed";
    const Time until = *parse_time(history.entry(stem).retain_until);
    history.rules.pending_max_days = 100;
    EXPECT_TRUE(reason_has(history, stem, "Its upload has failed"));
    EXPECT_FALSE(goes(history, stem));
    history.pass(until + Days(100) - history.wall());
    EXPECT_TRUE(goes(history, stem));
    EXPECT_TRUE(reason_has(history, stem, "its upload never succeeded"));
}

TEST(PrunePlan, WhatAVaultHasSealedForLongerStays) {
    Aged history(Days(40));
    const std::string stem = history.stems[0];
    ASSERT_TRUE(goes(history, stem));
    ArtifactEntry& entry = history.catalog.artifacts.at(stem);
    entry.vault_until = format_time(history.wall() + 1h);
    EXPECT_FALSE(goes(history, stem));
    EXPECT_TRUE(reason_has(history, stem, "The vault keeps it until"));
    entry.vault_until = format_time(history.wall() - 1h);
    EXPECT_TRUE(goes(history, stem));
    // Once refused for another reason, that is told until it goes.
    entry.refused = "it is one of the newest 50 of its database";
    EXPECT_TRUE(goes(history, stem));
    EXPECT_TRUE(reason_has(history, stem, "The vault refused to remove it: it is one"));
}

TEST(PrunePlan, AnAnomalyKeepsTheAcceptedOnes) {
    Aged history(Days(60));
    const auto bad = history.run(kShop, 10)[0];
    ASSERT_TRUE(!history.entry(bad).anomaly.empty());
    for (const auto& stem : history.stems) {
        EXPECT_FALSE(goes(history, stem)) << stem;
    }
    EXPECT_GT(history.plan().anomaly_bytes, 0U);
    EXPECT_TRUE(reason_has(history, history.stems[0], "is an anomaly"));
    History normal = history;
    normal.pass(1h);
    normal.run(kShop);
    EXPECT_TRUE(goes(normal, history.stems[0]));
    history.of(event::kArtifactAccepted, bad);
    EXPECT_TRUE(goes(history, history.stems[0]));
}

TEST(PrunePlan, WhereNoneIsGoodNothingGoes) {
    History history;
    const auto first = history.run(kShop)[0];
    const auto second = history.run(kShop)[0];
    history.record(event::kArtifactVerified, {{"artifact", first}, {"result", "corrupt"}});
    history.record(event::kArtifactVerified, {{"artifact", second}, {"result", "missing"}});
    history.pass(Days(400));
    EXPECT_TRUE(reason_has(history, first, "there is no good artifact"));
    history.run(kShop);
    EXPECT_TRUE(goes(history, first));
    EXPECT_TRUE(goes(history, second));
}

TEST(PrunePlan, DatesThatCannotBeReadKeep) {
    Aged history(Days(60));
    const auto& stem = history.stems[0];
    history.catalog.artifacts.at(stem).retain_until = "soon";
    EXPECT_FALSE(goes(history, stem));
    EXPECT_TRUE(reason_has(history, stem, "does not say"));
}

TEST(PrunePlan, AClockThatIsNotTrustedBlocksAll) {
    History history;
    std::vector<std::string> stems;
    for (int i = 0; i < 9; ++i) {
        stems.push_back(history.run(kShop)[0]);
        history.pass(1h);
    }
    history.error = Days(900);
    history.run(kShop);
    EXPECT_TRUE(history.prune().empty());
    EXPECT_NE(history.plan().blocked, "");
    EXPECT_GT(history.plan().blocked_bytes, 0U);
}

TEST(PrunePlan, AfterARestartEachDatabaseWaitsForItsOwnRun) {
    History history;
    std::vector<std::string> shop;
    std::vector<std::string> other;
    for (int i = 0; i < 9; ++i) {
        const auto stems = history.run({"shop", "other"});
        shop.push_back(stems[0]);
        other.push_back(stems[1]);
        history.pass(1h);
    }
    history.reboot(Days(400));
    const std::string id = next_run_id(history.wall(), history.catalog.last_run);
    history.record(event::kRunRequested, {{"run", id}, {"databases", {"shop"}}});
    history.record(event::kRunStarted, history.with_clocks({{"run", id}}));
    history.seal(id, "shop", 100'000);
    history.record(event::kRunFinished, {{"run", id}});
    history.pass(ClockState::kSteady + 1min);
    EXPECT_EQ(history.plan().blocked, "");
    EXPECT_TRUE(goes(history, shop[0]));
    EXPECT_FALSE(goes(history, other[0]));
    EXPECT_TRUE(reason_has(history, other[0], "After the restart"));
    history.run(kShop);  // a complete run that has no such database any more
    EXPECT_TRUE(goes(history, other[0]));
}

// Hourly for a year: what stands at each age is what the days of the tiers say.
TEST(PrunePlan, AYearOfHourlyRuns) {
    constexpr int kDays = test::kSanitized ? 50 : 365;
    History history;
    for (int hour = 0; hour < kDays * 24; ++hour) {
        history.run(kShop);
        history.prune();
        if (hour >= 28 * 24 && hour % 97 == 0) {
            std::map<std::string, int> have;
            for (const auto& row : history.plan().rows) {
                ++have[row.entry->tier];
                EXPECT_LT(history.wall() - *parse_time(row.entry->taken),
                          history.rules.days.of(row.entry->tier));
            }
            // So many midnights lie in the last 28, 7 and 2 days; one in seven is weekly.
            EXPECT_EQ(have[kWeekly], 4) << hour;
            EXPECT_EQ(have[kDaily], 6) << hour;
            EXPECT_EQ(have[kHourly], 46) << hour;
        }
        history.pass(1h);
    }
    std::map<long, std::map<std::string, int>> ages;
    for (const auto& row : history.plan().rows) {
        ++ages[(history.wall() - *parse_time(row.entry->taken)) / Days(1)][row.entry->tier];
    }
    for (auto& [days, tiers] : ages) {
        fmt::print("{:2} days old: {:2} hourly, {} daily, {} weekly\n", days, tiers[kHourly],
                   tiers[kDaily], tiers[kWeekly]);
    }
}

}  // namespace
}  // namespace immbackup
