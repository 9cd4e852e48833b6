// What may be removed, by chance: thousands of random histories in which the rules must hold. A
// program of its own, which is compiled optimized.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/prune_plan.h"
#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using test::kShop;
using namespace std::chrono_literals;

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
INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistories, testing::Range(0U, 4U));

// Without a jump nobody is needed: after any restarts it goes on by itself.
TEST(Histories, RestartsAloneNeedNoOperator) {
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
