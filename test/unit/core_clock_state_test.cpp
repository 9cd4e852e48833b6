// What the log's clocks say about whether time may decide.
#include "core/clock_state.h"

#include <gtest/gtest.h>

#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using test::kShop;
using namespace std::chrono_literals;

ClockVerdict judge(const History& history) {
    return history.catalog.clock.judge(history.sample());
}
bool says(const History& history, const char* text) {
    return judge(history).blocked.find(text) != std::string::npos;
}

TEST(Clock, OneBootGoesOnForYears) {
    History history;
    for (int i = 0; i < 1000; ++i) {
        history.run(kShop);
        history.pass(11h);
        history.error += 19s;  // NTP slews by less than one part in two thousand
        EXPECT_EQ(judge(history).blocked, "") << i;
        EXPECT_EQ(judge(history).wait_seq, 0U);
    }
}

TEST(Clock, DowntimeWithinABootIsNoJump) {
    History history;
    history.run(kShop);
    history.pass(Days(300));
    EXPECT_EQ(judge(history).blocked, "");
}

TEST(Clock, JumpsBlockUntilUndoneOrConfirmed) {
    for (const auto jump :
         {std::chrono::milliseconds(3min), std::chrono::milliseconds(Days(400)),
          -std::chrono::milliseconds(3min), -std::chrono::milliseconds(Days(9))}) {
        const bool back = jump < 0ms;
        History history;
        history.run(kShop);
        history.pass(5h);
        history.error += jump;
        const char* text = back ? "" : "set forward";
        EXPECT_NE(judge(history).blocked, "");
        EXPECT_TRUE(says(history, text));
        // It is remembered, whatever happens afterwards.
        for (int i = 0; i < 50; ++i) {
            history.run(kShop);
            history.pass(1h);
            EXPECT_NE(judge(history).blocked, "") << i;
        }
        History undone = history;
        undone.error -= jump;
        // Set back from a wrong future, the newest record lies ahead of the clock.
        EXPECT_EQ(judge(undone).blocked.empty(), back || jump < Days(3));
        history.acknowledge_clock();
        EXPECT_EQ(judge(history).blocked, "");
        history.run(kShop);
        history.pass(1h);
        EXPECT_EQ(judge(history).blocked, "");
        EXPECT_EQ(judge(history).wait_seq, 0U);
    }
}

TEST(Clock, ShortTripsAddUp) {
    History history;
    for (int i = 0; i < 10; ++i) {
        history.run(kShop);
        history.pass(1h);
        history.error += 150s;
    }
    EXPECT_TRUE(says(history, "set forward by 25 min")) << judge(history).blocked;
}

// Steps that are no jump each, up to what anybody who may set the clock would take to get by.
TEST(Clock, SmallStepsAddUp) {
    for (const auto step : {110s, -110s, 30s}) {
        History history;
        history.run(kShop);
        int steps = 0;
        for (; steps < 100 && judge(history).blocked.empty(); ++steps) {
            history.pass(10min);
            history.error += step;
            history.run(kShop);
        }
        EXPECT_LT(steps, 6) << step.count();
    }
}

// What a clock may be slewed by in a long time is not there to be taken at once.
TEST(Clock, QuietTimeIsNoCredit) {
    History history;
    history.run(kShop);
    for (int day = 0; day < 300; ++day) {
        history.pass(Days(1));
        history.run(kShop);
    }
    history.pass(1s);
    history.error += 119s;
    history.run(kShop);
    EXPECT_EQ(judge(history).blocked, "");
    history.pass(1s);
    history.error += 2s;
    EXPECT_TRUE(says(history, "set forward by 2 min")) << judge(history).blocked;
}

TEST(Clock, AClockPutRightOncePerDayIsNoJump) {
    History history;
    for (int day = 0; day < 400; ++day) {
        history.run(kShop);
        history.pass(Days(1));
        history.error += day % 3 == 0 ? 100s : -45s;
        EXPECT_EQ(judge(history).blocked, "") << day;
    }
}

TEST(Clock, BehindTheNewestRecord) {
    History history;
    history.error = Days(30);
    history.run(kShop);
    history.reboot(1h);
    history.error = 0ms;
    EXPECT_TRUE(says(history, "behind the newest record")) << judge(history).blocked;
    history.run(kShop);
    history.pass(Days(29));
    EXPECT_TRUE(says(history, "behind the newest record"));
    history.pass(Days(2));
    EXPECT_EQ(judge(history).blocked, "");  // it has caught up
}

TEST(Clock, ARestartIsTrustedAfterSteadyHours) {
    History history;
    history.run(kShop);
    history.reboot(10min);
    EXPECT_TRUE(says(history, "restarted"));
    history.run(kShop);
    history.pass(ClockState::kSteady - 1min);
    EXPECT_TRUE(says(history, "another 1 min")) << judge(history).blocked;
    history.pass(2min);
    EXPECT_EQ(judge(history).blocked, "");
    EXPECT_GT(judge(history).wait_seq, 0U);  // each database still needs its run
    history.acknowledge_clock();
    EXPECT_EQ(judge(history).wait_seq, 0U);
}

TEST(Clock, AMachineThatIsNeverUpForLong) {
    History history;
    history.run(kShop);
    bool trusted = false;
    for (int day = 0; day < 5; ++day) {
        history.reboot(22h);
        history.run(kShop);
        history.pass(2h);
        history.run(kShop);
        trusted = trusted || judge(history).blocked.empty();
    }
    EXPECT_TRUE(trusted);
}

TEST(Clock, AJumpAfterARestartBeginsTheWaitAnew) {
    History history;
    history.run(kShop);
    history.reboot(10min);
    history.run(kShop);
    history.pass(3h);
    history.error = Days(30);
    history.run(kShop);
    history.pass(9h);
    EXPECT_TRUE(says(history, "set forward"));
}

// Boots that have no name cannot be told apart: any sample may come after a restart.
TEST(Clock, BootsWithoutANameAreNeverTheSame) {
    const Time start = *parse_time("2026-01-01T00:00:00.000Z");
    ClockState clock;
    clock.observe({"", 1'000, start}, 1);
    clock.record(start);
    for (int hour = 1; hour < 50; ++hour) {
        const Time time = start + std::chrono::hours(hour);
        const ClockSample sample{"", 1'000 + static_cast<std::uint64_t>(hour) * 3'600'000, time};
        EXPECT_NE(clock.judge(sample).blocked.find("restarted"), std::string::npos) << hour;
        clock.observe(sample, static_cast<std::uint64_t>(hour) + 1);
        clock.record(time);
        if (hour == 25) {
            clock.confirm(sample);
        }
    }
}

// Two that write at once take their samples in one order, and may write them in the other.
TEST(Clock, RecordsInTheOtherOrderAreNoRestart) {
    History history;
    history.run(kShop);
    for (int i = 0; i < 100; ++i) {
        history.pass(1h);
        History other = history;
        history.pass(40s);
        history.run(kShop);
        other.catalog = history.catalog;
        other.run(kShop);
        history.catalog = other.catalog;
        ASSERT_EQ(judge(other).blocked, "") << i;
        ASSERT_EQ(judge(history).blocked, "") << i;
        ASSERT_EQ(judge(history).wait_seq, 0U) << i;
    }
    // And so a jump is not forgotten where the monotonic clock of one boot goes back.
    history.up -= 1min;
    history.truth += 2min;
    EXPECT_TRUE(says(history, "set forward by 3 min")) << judge(history).blocked;
    history.run(kShop);
    history.up -= 1h;
    history.run(kShop);
    history.pass(24h);
    EXPECT_TRUE(says(history, "set forward by 63 min")) << judge(history).blocked;
}

TEST(Clock, NothingIsKnownOfAnEmptyLog) {
    EXPECT_EQ(ClockState().judge({"boot", 1, Time{}}).blocked, "");
}

TEST(Clock, TheCheckpointKeepsAll) {
    History history;
    history.run(kShop);
    history.pass(5h);
    history.error = Days(3);
    history.run(kShop);
    const auto read = catalog_from_checkpoint(catalog_to_checkpoint(history.catalog));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->clock.fields(), history.catalog.clock.fields());
    EXPECT_EQ(read->clock.judge(history.sample()).blocked, judge(history).blocked);
}

}  // namespace
}  // namespace immbackup
