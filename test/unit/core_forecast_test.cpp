// Looking ahead agrees with what then happens.
#include "core/forecast.h"

#include <gtest/gtest.h>

#include "history.h"

namespace immbackup {
namespace {

using test::Days;
using test::History;
using test::kShop;
using namespace std::chrono_literals;

TEST(Preview, AgreesWithWhatThenHappens) {
    std::vector<RetentionDays> changes{{2, 7, 28}, {1, 3, 14}, {5, 9, 90}};
    changes.resize(test::kSanitized ? 1 : changes.size());
    for (const RetentionDays& after : changes) {
        History history;
        history.record(event::kScheduleChanged,
                       {{"schedule", "@hourly"}, {"timezone", "UTC"}, {"active", true}});
        for (int hour = 0; hour < 24 * 40; ++hour) {
            history.run(kShop);
            history.prune();
            history.pass(1h);
        }
        const auto rows = preview_retention(history.catalog, Schedule::parse("@hourly", "UTC"),
                                            "UTC", history.rules.days, after,
                                            history.rules.min_keep, history.wall() - 1ms);
        ASSERT_EQ(rows.size(), 3U);
        const Time now = history.wall() - 1ms;
        history.rules.days = after;
        for (const auto& row : rows) {
            while (history.wall() <= now + Days(row.in_days)) {
                history.run(kShop);
                history.prune();
                history.pass(1h);
            }
            // Just before the last hour's run the same stand as were foreseen for that moment.
            History then = history;
            then.truth = now + Days(row.in_days);
            then.up -= 1h;
            std::size_t points = 0;
            for (const auto& each : history.plan().rows) {
                points += each.kept_until > now + Days(row.in_days) || !each.expired ? 1 : 0;
            }
            EXPECT_EQ(row.after, points) << row.in_days << " " << after.weekly;
            EXPECT_LE(row.oldest_after.value(), now + Days(row.in_days));
        }
    }
}

TEST(Preview, SaysWhatIsLostMost) {
    History history;
    for (int hour = 0; hour < 24 * 30; ++hour) {
        history.run(kShop);
        history.prune();
        history.pass(1h);
    }
    const auto preview = [&](const RetentionDays& after) {
        return preview_text(preview_retention(history.catalog, Schedule::parse("@hourly", "UTC"),
                                              "UTC", history.rules.days, after, 3, history.wall()));
    };
    EXPECT_EQ(preview({2, 7, 28}), "");
    const std::string text = preview({1, 7, 28});
    EXPECT_NE(text.find("restore points of database \"shop\" instead of 57"), std::string::npos)
        << text;
    EXPECT_NE(preview({2, 7, 14}).find("in 28 days"), std::string::npos);
}

TEST(Preview, WithoutScheduleNothingNewComes) {
    History history;
    history.run(kShop);
    const auto rows = preview_retention(history.catalog, std::nullopt, "UTC", {2, 7, 28},
                                        {2, 7, 60}, 1, history.wall());
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[2].before, 1U);  // min_keep
    EXPECT_EQ(rows[2].after, 1U);
    EXPECT_TRUE(preview_retention(Catalog{}, std::nullopt, "UTC", {}, {}, 1, Time{}).empty());
}

TEST(DaysUntilFull, GrowthAgainstWhatRetentionFrees) {
    History history;
    for (int hour = 0; hour < 24 * 40; ++hour) {
        history.run(kShop, 1'000'000);
        history.prune();
        history.pass(1h);
    }
    const auto full = [&](std::uint64_t available) {
        return days_until_full(history.catalog, history.rules.days, history.wall(), available);
    };
    // It is in balance: as much goes as comes.
    EXPECT_FALSE(full(20'000'000));
    // Three times the window of the hourly ones needs 4 × 24 MB more.
    history.rules.days.hourly = 6;
    const auto days = full(48'000'000);
    ASSERT_TRUE(days);
    EXPECT_GE(*days, 2);
    EXPECT_LE(*days, 4);
    EXPECT_FALSE(full(200'000'000));
    EXPECT_FALSE(days_until_full(Catalog{}, {}, history.wall(), 0));
}

TEST(Coverage, CountsDaysAndGaps) {
    History history;
    history.record(event::kScheduleChanged,
                   {{"schedule", "0 */6 * * *"}, {"timezone", "UTC"}, {"active", true}});
    history.pass(6h);
    for (int i = 1; i < 20; ++i) {
        history.run(kShop, 100'000, i % 5 != 0);  // 30, 60, 90 hours after the start
        history.pass(6h);
    }
    const auto rows = coverage(history.catalog, "UTC", 4, history.wall());
    ASSERT_EQ(rows.size(), 6U);  // the newest day has no backup yet
    std::uint64_t made = 0;
    std::uint64_t due = 0;
    std::uint64_t missed = 0;
    for (const auto& row : rows) {
        made += row.made;
        due += row.due.value_or(0);
        missed += row.missed;
        EXPECT_EQ(row.present, row.made);
    }
    EXPECT_EQ(made, 16U);
    EXPECT_EQ(due, 20U);    // with the one of this moment
    EXPECT_EQ(missed, 4U);  // three that failed, and that one
    EXPECT_EQ(date_text(rows.back().day), "2026-01-01");
    EXPECT_EQ(rows.back().oldest, parse_time("2026-01-01T06:00:00.000Z"));
}

TEST(Coverage, BeforeAPromiseNothingWasDue) {
    History history;
    history.run(kShop);
    const auto rows = coverage(history.catalog, "UTC", 1, history.wall());
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_FALSE(rows[0].due);
    EXPECT_EQ(rows[0].made, 1U);
    EXPECT_TRUE(coverage(Catalog{}, "UTC", 4, history.wall()).empty());
}

}  // namespace
}  // namespace immbackup
