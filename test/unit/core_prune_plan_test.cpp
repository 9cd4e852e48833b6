// What may be removed: each rule for itself, a year that agrees with a closed form, and thousands
// of random histories in which the rules must hold.
#include "core/prune_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using namespace std::chrono_literals;

const std::vector<std::string> kShop{"shop"};

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

// ------------------------------------------------------------------------- random histories

class Chaos {
  public:
    explicit Chaos(unsigned seed) : random_(seed) {}

    void live(int steps) {
        for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            step();
            check_prune();
        }
    }
    // Calm days, and what an operator does: then everything that is over is gone.
    void settle() {
        world_.error = 0ms;
        world_.acknowledge_clock();
        for (const auto& [stem, entry] : Catalog(world_.catalog).artifacts) {
            if (entry.exists() && !entry.hold.empty()) {
                world_.of(event::kArtifactReleased, stem);
            }
        }
        for (const auto& database : dropped_) {
            world_.record(event::kDatabaseRetired, {{"database", database}});
        }
        // Retention may have been long, and a wrong clock may have dated artifacts far ahead.
        Time last = world_.wall();
        for (const auto& row : world_.plan().rows) {
            last = std::max(last, row.kept_until);
        }
        world_.rules.days = {2, 7, 28};
        world_.pass(last - world_.wall() + Days(29));
        for (int day = 0; day < 40; ++day) {
            world_.pass(Days(1));
            world_.run(live_, 100'000);
            check_prune();
        }
        ASSERT_EQ(world_.plan().blocked, "");
        for (const auto& row : world_.plan().rows) {
            ASSERT_TRUE(!row.expired || row.reason.find("min_keep") != std::string::npos ||
                        row.reason.find("newest good") != std::string::npos)
                << row.entry->artifact << " " << row.reason;
            ASSERT_LT(world_.wall() - *parse_time(row.entry->taken), Days(29));
        }
    }

  private:
    int dice(int sides) { return std::uniform_int_distribution<int>(1, sides)(random_); }
    std::string any() {
        auto it = world_.catalog.artifacts.begin();
        std::advance(it, dice(static_cast<int>(world_.catalog.artifacts.size())) - 1);
        return it->first;
    }

    void step() {
        world_.pass(std::chrono::minutes(dice(60 * 20)));
        const int what = dice(100);
        if (what <= 55) {
            world_.run(live_, 100'000 + static_cast<std::uint64_t>(dice(1000)));
        } else if (what <= 62) {
            world_.run(live_, 100, true);  // an anomaly
        } else if (what <= 70) {
            world_.run(live_, 0, false);  // space, connection: the run fails
        } else if (what <= 74) {
            world_.reboot(std::chrono::hours(dice(200)));
        } else if (what <= 77) {
            const auto jump = std::chrono::hours(dice(2000)) * (dice(2) == 1 ? 1 : -1);
            world_.error += jump;
            jumped_ = true;
        } else if (what <= 80) {
            world_.rules.days = {dice(5), dice(20), dice(60)};
        } else if (what <= 81) {
            world_.acknowledge_clock();
            jumped_ = false;
        } else if (world_.catalog.artifacts.empty()) {
            return;
        } else if (what <= 86) {
            hold(any());
        } else if (what <= 92) {
            if (const auto stem = any(); !world_.entry(stem).hold.empty()) {
                world_.of(event::kArtifactReleased, stem);
            }
        } else if (what <= 95) {
            world_.of(event::kArtifactAccepted, any());
        } else if (what <= 97) {
            world_.record(event::kArtifactVerified,
                          {{"artifact", any()}, {"result", dice(2) == 1 ? "missing" : "corrupt"}});
        } else if (live_.size() > 1) {
            dropped_.push_back(live_.back());
            live_.pop_back();
            if (dice(2) == 1) {
                world_.record(event::kDatabaseRetired, {{"database", dropped_.back()}});
            }
        }
    }
    void hold(const std::string& stem) {
        if (world_.entry(stem).exists()) {
            world_.of(event::kArtifactHeld, stem);
        }
    }

    // The rules, stated once more and in other words than the planner's.
    void check_prune() {
        const Catalog before = world_.catalog;
        const auto gone = world_.prune();
        std::map<std::string, int> sound;
        std::map<std::string, const ArtifactEntry*> newest;
        for (const auto& [stem, entry] : before.artifacts) {
            if (entry.exists() && entry.state == "good") {
                const ArtifactEntry*& known = newest[entry.database];
                known = known == nullptr || known->seq < entry.seq ? &entry : known;
                sound[entry.database] += entry.anomaly.empty() || entry.accepted ? 1 : 0;
            }
        }
        for (const auto& stem : gone) {
            const ArtifactEntry& entry = before.artifacts.at(stem);
            ASSERT_EQ(entry.hold, "") << stem;
            ASSERT_LE(*parse_time(entry.retain_until), world_.wall()) << stem;
            if (before.retired.contains(entry.database)) {
                continue;
            }
            ASSERT_TRUE(newest.contains(entry.database)) << stem;
            ASSERT_NE(newest[entry.database]->artifact, stem);
            const ArtifactEntry& top = *newest[entry.database];
            const bool accepted = entry.anomaly.empty() || entry.accepted;
            if (entry.state == "good" && accepted) {
                ASSERT_TRUE(top.anomaly.empty() || top.accepted) << stem;
                ASSERT_GE(--sound[entry.database], world_.rules.min_keep) << stem;
            }
        }
        // A jump within one boot that nobody has acknowledged or undone.
        const auto& clock = world_.catalog.clock.fields();
        if (std::abs(clock.jumped_ms) > 3'600'000) {
            ASSERT_TRUE(gone.empty());
        }
        if (!gone.empty()) {
            // The order of removal never matters: what is left can be planned again, and is
            // settled.
            ASSERT_TRUE(world_.prune().empty());
        }
    }

    std::mt19937 random_;
    History world_;
    std::vector<std::string> live_{"alpha", "beta", "gamma"};
    std::vector<std::string> dropped_;
    bool jumped_ = false;
};

class RandomHistories : public testing::TestWithParam<unsigned> {};

TEST_P(RandomHistories, KeepTheRulesAndNothingIsStuck) {
    constexpr unsigned kHistories = test::kSanitized ? 25 : 500;
    const unsigned first = 1 + GetParam() * kHistories;
    for (unsigned seed = first; seed < first + kHistories && !HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        Chaos chaos(seed);
        chaos.live(60);
        chaos.settle();
    }
}
INSTANTIATE_TEST_SUITE_P(PrunePlan, RandomHistories, testing::Range(0U, 4U));

// Without a jump nobody is needed: after any restarts it goes on by itself.
TEST(PrunePlan, RestartsAloneNeedNoOperator) {
    for (unsigned seed = 1; seed <= (test::kSanitized ? 60U : 300U); ++seed) {
        std::mt19937 random(seed);
        const auto dice = [&](int sides) {
            return std::uniform_int_distribution<int>(1, sides)(random);
        };
        History history;
        for (int i = 0; i < 40; ++i) {
            if (dice(4) == 1) {
                history.reboot(std::chrono::hours(dice(100)));
            }
            history.run(kShop);
            history.prune();
            history.pass(std::chrono::minutes(dice(600)));
        }
        history.run(kShop);
        history.pass(ClockState::kSteady);
        EXPECT_EQ(history.plan().blocked, "") << seed;
        EXPECT_EQ(history.plan().blocked_bytes, 0U) << seed;
    }
}

}  // namespace
}  // namespace immbackup
