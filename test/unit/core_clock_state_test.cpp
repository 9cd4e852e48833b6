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

// However long it took until somebody set the clock back.
TEST(Clock, AJumpIsUndoneWhenItIsSetBack) {
    for (const auto jump : {std::chrono::milliseconds(130s), std::chrono::milliseconds(-10min)}) {
        History history;
        history.run(kShop);
        history.pass(1h);
        history.error = jump;
        history.run(kShop);
        history.pass(1h);
        EXPECT_NE(judge(history).blocked, "");
        history.error = 0ms;
        history.pass(Days(7));
        EXPECT_EQ(judge(history).blocked, "") << jump.count();
        history.run(kShop);
        EXPECT_EQ(judge(history).blocked, "") << jump.count();
        history.pass(Days(1));
        EXPECT_EQ(judge(history).blocked, "") << jump.count();
    }
}

// A boot that was spent with a wrong clock leaves nothing to the next one, and no boot leaves so
// much that the next one need not show anything.
TEST(Clock, WhatABootLeavesToTheNext) {
    History history;
    history.run(kShop);
    history.reboot(10min);
    history.run(kShop);
    history.pass(1min);
    history.error = Days(30);
    history.run(kShop);
    history.pass(ClockState::kSteady - 2min);
    history.run(kShop);
    history.reboot(10min);
    history.run(kShop);
    history.pass(ClockState::kSteady - 2min);
    EXPECT_TRUE(says(history, "restarted"));
    history.pass(3min);
    EXPECT_EQ(judge(history).blocked, "");

    history = History();
    history.run(kShop);
    history.reboot(10min);
    history.run(kShop);
    history.pass(ClockState::kSteady - 1min);
    history.run(kShop);
    history.reboot(10min);
    history.error = Days(30);  // of a machine without a battery
    history.run(kShop);
    history.pass(ClockState::kSteady / 2 - 1min);
    EXPECT_TRUE(says(history, "restarted"));
    history.pass(2min);
    EXPECT_EQ(judge(history).blocked, "");
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
        EXPECT_NE(clock.judge(sample).blocked.find("which boot"), std::string::npos) << hour;
        // Nobody's word would change that, so that nobody is asked.
        EXPECT_EQ(clock.judge(sample).hint.find("acknowledge"), std::string::npos);
        EXPECT_FALSE(clock.waits_after_restart(sample));
        // And no other boot is that one.
        EXPECT_NE(clock.judge({"a", sample.monotonic_ms, time}).blocked, "") << hour;
        clock.observe(sample, static_cast<std::uint64_t>(hour) + 1);
        clock.record(time);
        if (hour == 25) {
            clock.confirm(sample);
        }
    }
}

TEST(Clock, ABootWithoutANameForgetsNoJump) {
    History history;
    history.run(kShop);
    history.pass(1h);
    history.error = Days(30);
    history.run(kShop);
    ClockState clock = history.catalog.clock;
    ClockSample sample = history.sample();
    sample.boot_id.clear();
    clock.observe(sample, 1000);
    history.pass(ClockState::kSteady * 2);
    EXPECT_NE(clock.judge(history.sample()).blocked.find("set forward"), std::string::npos);
}

// A machine that went back to a snapshot of its memory: nothing is known, as after a restart.
TEST(Clock, BackToASnapshot) {
    History history;
    history.run(kShop);
    history.pass(Days(5));
    history.run(kShop);
    history.up -= Days(3);
    history.truth += 1h;
    EXPECT_TRUE(says(history, "restarted")) << judge(history).blocked;
    history.run(kShop);
    history.pass(ClockState::kSteady + 1min);
    EXPECT_EQ(judge(history).blocked, "");
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
    // And so a jump is not forgotten where the monotonic clock of one boot goes back a little.
    history.up -= 1min;
    history.truth += 2min;
    EXPECT_TRUE(says(history, "set forward by 3 min")) << judge(history).blocked;
    history.run(kShop);
    history.up -= 1min;
    history.run(kShop);
    history.pass(24h);
    EXPECT_TRUE(says(history, "set forward by")) << judge(history).blocked;
}

// A record gets its time when it is written, up to two minutes after its sample was taken.
TEST(Clock, RecordsThatWaitedForTheirTurn) {
    History history;
    history.run(kShop);
    for (const auto wait : {0s, 20s, 110s, 1s, 60s, 118s}) {
        history.pass(Days(1));
        history.error = wait;  // of the record alone
        history.run(kShop);
        history.error = 0ms;
        history.pass(wait + 1min);
        history.run(kShop);
        EXPECT_EQ(judge(history).blocked, "") << wait.count();
    }
}

TEST(Clock, FieldsThatNoHistoryGivesAreRefused) {
    using Fields = ClockState::Fields;
    const std::string time = "2026-01-01T00:00:00.000Z";
    const Fields good{"a", 1000, time, 200'000, -5, time, 3, 1000};
    EXPECT_TRUE(ClockState().restore(good));
    EXPECT_TRUE(ClockState().restore({}));
    const auto refuses = [&](auto change) {
        Fields fields = good;
        change(fields);
        ClockState state;
        return !state.restore(fields) && state.fields() == Fields{};
    };
    EXPECT_TRUE(refuses([](Fields& f) { f.drift_ms = 130'000; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.jumped_ms = INT64_MIN; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.jumped_ms = INT64_MAX; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.steady_ms = INT64_MAX; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.steady_ms = UINT64_MAX; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.wall = "yesterday"; }));
    EXPECT_TRUE(refuses([](Fields& f) { f.newest = "2026"; }));
}

// Monotonic clocks of hostile records lead nowhere.
TEST(Clock, ImpossibleMonotonicClocks) {
    const Time start = *parse_time("2026-01-01T00:00:00.000Z");
    for (const std::uint64_t at : {UINT64_MAX, std::uint64_t{INT64_MAX}, UINT64_MAX / 2 + 1}) {
        ClockState clock;
        clock.observe({"a", at, start}, 1);
        EXPECT_NE(clock.judge({"a", 1'000, start}).blocked, "");
        clock.observe({"a", 1'000, start}, 2);
        EXPECT_NE(clock.judge({"a", at, start}).blocked, "");
    }
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
