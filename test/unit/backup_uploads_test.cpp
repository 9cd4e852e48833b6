// When what is pending is tried next, and what a pass that was stopped does to it.
#include <gtest/gtest.h>

#include "backup/uploads.h"

namespace immbackup {
namespace {

using namespace std::chrono_literals;

Time at(const char* text) {
    return parse_time(text).value();
}

ArtifactEntry pending(std::uint64_t tries, const char* tried) {
    ArtifactEntry entry;
    entry.artifact = "20260118T120000Z";
    entry.state = "good";
    entry.upload = "pending";
    entry.upload_tries = tries;
    entry.upload_tried = tried;
    return entry;
}

TEST(Uploads, TriesAreFurtherAndFurtherApart) {
    struct Case {
        std::uint64_t tries;
        std::chrono::minutes pause;
    };
    for (const auto& [tries, pause] :
         {Case{1, 1min}, {2, 2min}, {3, 4min}, {6, 32min}, {7, 60min}, {1000, 60min}}) {
        EXPECT_EQ(next_try(pending(tries, "2026-01-18T12:00:00.000Z")),
                  at("2026-01-18T12:00:00Z") + pause)
            << tries;
    }
    EXPECT_EQ(next_try(pending(0, "")), Time{}) << "at once";
}

TEST(Uploads, ForgottenOnesAreToldByTheirRuns) {
    Catalog catalog;
    catalog.runs["20260118T120000Z"];
    for (const auto& [name, artifact] :
         {std::pair("20260118T120000Z.shop.sql.gz", "20260118T120000Z.shop"),
          {"20260118T120000Z.shop.sql.zst", "20260118T120000Z.shop"},
          {"20260118T120000Z.shop~1a2b3c4d.sql.zst", "20260118T120000Z.shop"},
          {".immbackup-probe-1", ".immbackup-probe-1"}}) {
        EXPECT_EQ(own_upload(catalog, name), artifact) << name;
    }
    for (const char* name : {"20260118T120001Z.shop.sql.gz", "20260118T120001Z.shop.sql.zst",
                             "20260118T120000Z.shop.sql", "20260118T120000Z.shop.sql.zst.x",
                             "20260118T120000Z.shop.receipt.json", "shop.sql.zst", ".sql.gz", ""}) {
        EXPECT_FALSE(own_upload(catalog, name)) << name;
    }
}

ArtifactEntry locked(const char* until, const char* kept) {
    ArtifactEntry entry;
    entry.artifact = "20260118T120000Z";
    entry.state = "good";
    entry.upload = "locked";
    entry.upload_tried = "2026-01-18T12:00:00.000Z";
    entry.locked_until = until;
    entry.retain_until = kept;
    entry.objects = R"({"f":{"key":"k","version_id":"v"}})";
    return entry;
}

struct Locks : testing::Test {
    Locks() {
        settings.s3.bucket = "backups";
        settings.s3.object_lock_days = 30;
        // Each run anchors, which must not put off what else is to be done.
        catalog.anchored = "2026-01-20T00:00:00.000Z";
    }
    std::optional<Time> next() const { return pending_uploads(catalog, settings, now).next; }
    Settings settings;
    Catalog catalog;
    Time now = at("2026-01-20T00:00:00Z");
    Time anchor = now + 24h;
};

TEST_F(Locks, AreDueForExtensionBeforeTheyEnd) {
    ArtifactEntry& entry = catalog.artifacts["a"] =
        locked("2026-01-23T06:00:00.000Z", "2026-01-23T06:00:00.000Z");
    EXPECT_EQ(next(), anchor) << "kept no longer than locked";
    entry.retain_until = "2026-06-01T00:00:00.000Z";
    EXPECT_EQ(next(), at("2026-01-20T06:00:00Z")) << "three days before";
    now = at("2026-01-22T00:00:00Z");
    catalog.anchored = "2026-01-22T00:00:00.000Z";
    EXPECT_EQ(next(), now) << "however short ago a run has anchored";
    settings.s3.extend_locks = false;
    EXPECT_EQ(next(), now + 24h);
    settings.s3.extend_locks = true;
    entry.retain_until = entry.locked_until;
    entry.hold = "case 1";
    EXPECT_EQ(next(), now) << "held";
    entry.state = "pruned";
    EXPECT_EQ(next(), now + 24h);
    entry.state = "good";
    EXPECT_TRUE(pending_uploads(catalog, settings, now).next);
    EXPECT_EQ(pending_uploads(catalog, settings, now).count, 0U);
}

TEST_F(Locks, OfFewDaysAreNotExtendedAllTheTime) {
    settings.s3.object_lock_days = 1;
    catalog.artifacts["a"] = locked("2026-01-20T23:00:00.000Z", "2026-06-01T00:00:00.000Z");
    EXPECT_EQ(next(), at("2026-01-20T05:00:00Z")) << "when that gains a quarter";
    catalog.artifacts["a"].retain_until = "2026-01-21T00:30:00.000Z";
    EXPECT_EQ(next(), at("2026-01-20T00:30:00Z")) << "when it can be held to its end";
    settings.s3.object_lock_days = 2;
    EXPECT_EQ(next(), now) << "more days were set";
    // Acknowledged are only as many:
    catalog.lock_days = 1;
    EXPECT_EQ(next(), at("2026-01-20T00:30:00Z"));
}

TEST_F(Locks, ThatAreNotProvenAreLookedAtAgain) {
    for (const char* state : {"unproven", "unlocked"}) {
        ArtifactEntry& entry = catalog.artifacts["a"] = locked("", "2026-06-01T00:00:00.000Z");
        entry.upload = state;
        EXPECT_EQ(next(), now) << state;
        entry.upload_tried = "2026-01-19T23:50:00.000Z";
        EXPECT_EQ(next(), now + 50min) << "an hour after its upload";
        entry.objects.clear();
        EXPECT_EQ(next(), anchor);
    }
}

TEST_F(Locks, ThatAreOverArePrunedWhereThatIsWanted) {
    ArtifactEntry& entry = catalog.artifacts["a"] =
        locked("2026-01-20T02:00:00.000Z", "2026-01-19T00:00:00.000Z");
    settings.s3.prune = true;
    EXPECT_EQ(next(), anchor) << "it is still here";
    entry.state = "pruned";
    EXPECT_EQ(next(), now + 2h);
    entry.legal_hold = true;
    EXPECT_EQ(next(), anchor);
    entry.legal_hold = false;
    settings.s3.prune = false;
    EXPECT_EQ(next(), anchor);
}

TEST_F(Locks, WhatFailedWaitsAnHour) {
    catalog.artifacts["a"] = locked("2026-01-20T01:00:00.000Z", "2026-06-01T00:00:00.000Z");
    EXPECT_EQ(next(), now);
    catalog.locks_tried = "2026-01-20T00:00:00.000Z";
    EXPECT_EQ(next(), now + 1h);
    now += 1h;
    EXPECT_EQ(next(), now);
    EXPECT_EQ(pending_uploads(catalog, settings, now, true).next, now + 60min) << "stopped";
}

TEST(Uploads, APassThatWasStoppedIsNotRepeatedAtOnce) {
    const Time now = at("2026-01-18T13:00:00Z");
    Settings settings;
    Catalog catalog;
    EXPECT_FALSE(pending_uploads(catalog, settings, now, true).next) << "no bucket";
    settings.s3.bucket = "backups";
    EXPECT_FALSE(pending_uploads(catalog, settings, now, true).next) << "nothing to do";

    // An anchor that is due waits for an hour.
    catalog.anchored = "2026-01-17T12:00:00.000Z";
    EXPECT_EQ(pending_uploads(catalog, settings, now).next, now);
    EXPECT_EQ(pending_uploads(catalog, settings, now, true).next, now + 60min);

    // Artifacts as long as the one that was tried most often.
    catalog.artifacts["a"] = pending(0, "");
    EXPECT_EQ(pending_uploads(catalog, settings, now).next, now);
    EXPECT_EQ(pending_uploads(catalog, settings, now, true).next, now + 1min);
    catalog.artifacts["b"] = pending(3, "2026-01-18T12:00:00.000Z");
    EXPECT_EQ(pending_uploads(catalog, settings, now).next, now);
    EXPECT_EQ(pending_uploads(catalog, settings, now, true).next, now + 4min);
    EXPECT_EQ(pending_uploads(catalog, settings, now, true).count, 2U);
}

}  // namespace
}  // namespace immbackup
