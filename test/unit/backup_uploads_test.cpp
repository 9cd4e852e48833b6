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
