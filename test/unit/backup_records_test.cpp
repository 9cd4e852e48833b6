// The bodies of audit records: what they say, and that nothing makes one too long to be written.
#include "backup/records.h"

#include <gtest/gtest.h>

#include "backup/bodies.h"
#include "core/audit_record.h"
#include "core/catalog.h"
#include "core/events.h"

namespace immbackup {
namespace {

const std::string kRun = "20260118T120000Z";
const std::string kWorst(20000, '\x01');  // six bytes each in JSON

std::size_t json_size(const std::string& text) {
    return body_text(Body(text)).size() - 2;
}

Body parsed(const std::string& body) {
    return Body::parse(body);
}

// A record with this body, as the log takes it.
void expect_writable(const char* event, const std::string& body) {
    AuditRecord record{1, "2026-01-18T12:00:00.000Z", "job", std::string(kZeroHash), event, body,
                       {}};
    EXPECT_NO_THROW(format_audit_line(record)) << event << " of " << body.size() << " bytes";
}

TEST(BoundedText, CutsBetweenCharactersWithinTheLimit) {
    struct {
        const char* text;
        std::size_t limit;
        const char* expected;
    } const cases[] = {
        {"", 0, ""},
        {"abc", 3, "abc"},
        {"abcdefghij", 10, "abcdefghij"},
        {"abcdefghijk", 10, "abcd…"},
        {"a\n", 7, "a\n"},
        {"a\nbcdef", 11, "a…"},
        {"ää", 18, "ä…"},
        {"ää", 24, "ää"},
        {"a\"b", 8, "a\"b"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(bounded_text(c.text, c.limit), c.expected) << c.text << " " << c.limit;
    }
    for (std::size_t limit = 6; limit < 60; ++limit) {
        for (const char* text :
             {"größe größe größe größe", "\x01\x02\x03\"\"\\\\\x7f and more",
              "plain text that is longer than any of the limits here are, yes"}) {
            const std::string cut = bounded_text(text, limit);
            EXPECT_LE(json_size(cut), limit) << cut;
            EXPECT_EQ(body_text(Body(cut)).find("\\ufffd"), std::string::npos) << cut;
        }
    }
}

TEST(BoundedList, SaysHowManyMoreThereWere) {
    EXPECT_EQ(bounded_list({"a", "b"}).dump(), R"(["a","b"])");
    const Body cut = bounded_list({"aaaa", "bbbb", "cccc", "dddd"}, 100, 20);
    EXPECT_EQ(cut.dump(), R"(["aaaa","bbbb","… and 2 more"])");
    const std::vector<std::string> empty(100'000);
    EXPECT_LT(bounded_list(empty, 10, 3000).dump().size(), 3100U);
}

TEST(Records, SayWhatTheCatalogReads) {
    Catalog catalog;
    std::uint64_t seq = 0;
    const auto apply = [&](const char* event, const std::string& body) {
        catalog.apply({++seq, "2026-01-18T12:00:00.000Z", "job", {}, event, body, {}});
    };
    apply(event::kRunRequested, run_requested_body(kRun, "manual", "alice", {}));
    EXPECT_EQ(catalog.runs[kRun].state, "requested");
    EXPECT_EQ(catalog.runs[kRun].actor, "alice");
    EXPECT_EQ(catalog.runs[kRun].trigger, "manual");
    apply(event::kRunStarted, run_started_body(kRun, {"shop"}, true));
    EXPECT_EQ(catalog.runs[kRun].state, "running");

    Manifest manifest;
    manifest.run = kRun;
    manifest.artifact = kRun + ".shop";
    manifest.database.name = "shop";
    manifest.size = 10;
    manifest.rows = 3;
    manifest.sha256 = std::string(64, 'a');
    manifest.seal = "readonly";
    apply(event::kArtifactSealed, artifact_sealed_body(manifest, "0123456789abcdef"));
    const ArtifactEntry& entry = catalog.artifacts[manifest.artifact];
    EXPECT_EQ(entry.database, "shop");
    EXPECT_EQ(entry.size, 10U);
    EXPECT_EQ(entry.rows, 3U);
    EXPECT_EQ(entry.seal, "readonly");

    RunTotals totals;
    totals.seconds = 1.23456;
    const std::string failed = run_failed_body(
        kRun, totals, Error(ErrorCode::dump, "pg_dump failed", "Why.", "Do."),
        {{"shop", Error(ErrorCode::dump, "x")}, {std::nullopt, Error(ErrorCode::dump, "y")}});
    EXPECT_EQ(parsed(failed)["seconds"], 1.234);
    EXPECT_EQ(parsed(failed)["failed"][0]["database"], "shop");
    EXPECT_TRUE(parsed(failed)["failed"][1]["database"].is_null());
    apply(event::kRunFailed, failed);
    EXPECT_EQ(catalog.runs[kRun].state, "failed");
    ASSERT_TRUE(catalog.last_error);
    EXPECT_EQ(catalog.last_error->code, "dump");
    EXPECT_EQ(catalog.last_error->hint, "Do.");

    apply(event::kRunCancelled,
          run_cancelled_body(kRun, totals, Error(ErrorCode::cancelled, "stopped"), {"b"}));
    EXPECT_EQ(catalog.runs[kRun].state, "cancelled");
    apply(event::kRunFinished, run_finished_body(kRun, totals, {"w"}));
    EXPECT_EQ(catalog.runs[kRun].state, "good");
    EXPECT_EQ(catalog.bad_lines, 0U);
}

TEST(Records, DatabasesAndGlobalsAreToldApart) {
    EXPECT_FALSE(parsed(run_requested_body(kRun, "cli", "a", {})).contains("databases"));
    EXPECT_EQ(parsed(run_requested_body(kRun, "cli", "a", {"x"}))["databases"].dump(), R"(["x"])");
    const Error error(ErrorCode::dump, "no");
    const Body one = parsed(artifact_failed_body(kRun, {"shop", error}));
    EXPECT_EQ(one["database"], "shop");
    EXPECT_EQ(one["globals"], false);
    const Body globals = parsed(artifact_failed_body(kRun, {std::nullopt, error}));
    EXPECT_FALSE(globals.contains("database"));
    EXPECT_EQ(globals["globals"], true);
    Manifest manifest;
    manifest.globals = true;
    EXPECT_FALSE(parsed(artifact_sealed_body(manifest, "0123456789abcdef")).contains("database"));
}

TEST(Records, NothingMakesOneTooLong) {
    const Error error(ErrorCode::dump, kWorst, kWorst, kWorst);
    const std::vector<std::string> texts(300, kWorst);
    const std::vector<FailedDump> failed(300, FailedDump{kWorst, error});
    Manifest manifest;
    manifest.warnings = texts;
    SweepReport sweep;
    sweep.removed.assign(5000, {std::string(255, '\x01'), 1});
    sweep.completed = sweep.foreign = texts;
    expect_writable(event::kRunRequested, run_requested_body(kRun, "cli", kWorst, texts));
    expect_writable(event::kRunStarted, run_started_body(kRun, texts, true));
    expect_writable(event::kArtifactSealed, artifact_sealed_body(manifest, "0123456789abcdef"));
    expect_writable(event::kArtifactFailed, artifact_failed_body(kRun, failed[0]));
    expect_writable(event::kRunFinished, run_finished_body(kRun, {}, texts));
    expect_writable(event::kRunFailed, run_failed_body(kRun, {}, error, failed));
    expect_writable(event::kRunFailed,
                    run_failed_body(kRun, {}, run_error(failed, failed.size()), failed));
    expect_writable(event::kRunCancelled, run_cancelled_body(kRun, {}, error, texts));
    expect_writable(event::kSweep, sweep_body(sweep));
    SettingTexts longest;
    for (const auto& definition : setting_definitions()) {
        longest[definition.name] = std::string(8192, '\xe4');
    }
    SettingTexts before = longest;
    for (auto& [name, value] : before) {
        value[0] = 'x';
    }
    expect_writable(event::kSettingsChanged, *settings_changed_body(before, longest, "reload"));
}

TEST(SettingsChanged, HoldsTheDifferenceAndTheWhole) {
    EXPECT_FALSE(settings_changed_body({{"nice", "5"}}, {{"nice", "5"}}, "start"));
    const auto body = settings_changed_body({{"nice", "5"}, {"port", "1"}},
                                            {{"nice", "6"}, {"port", "1"}}, "reload");
    ASSERT_TRUE(body);
    EXPECT_EQ(parsed(*body)["at"], "reload");
    EXPECT_EQ(parsed(*body)["changes"].dump(), R"({"nice":{"from":"5","to":"6"}})");
    EXPECT_EQ(parsed(*body)["settings"].dump(), R"({"nice":"6","port":"1"})");
    const auto first = settings_changed_body({}, {{"nice", "5"}}, "start");
    ASSERT_TRUE(first);
    EXPECT_TRUE(parsed(*first)["changes"]["nice"]["from"].is_null());
}

// What a record cannot hold of a text, by its length or its bytes, is no change each time it is
// compared.
TEST(SettingsChanged, ALongValueIsRecordedOnce) {
    for (const char byte : {'\x01', '\xe4', 'x'}) {
        const SettingTexts settings{{"databases", std::string(8000, byte)}};
        const auto first = settings_changed_body({}, settings, "start");
        ASSERT_TRUE(first);
        const SettingTexts recorded{{"databases", parsed(*first)["settings"]["databases"]}};
        EXPECT_FALSE(settings_changed_body(recorded, settings, "start"));
    }
}

TEST(RunError, OneSaysWhatItSaidSeveralAreNamed) {
    const FailedDump shop{"shop", Error(ErrorCode::dump, "pg_dump failed", "D.", "H.")};
    const FailedDump globals{std::nullopt, Error(ErrorCode::timeout, "too slow")};
    const Error one = run_error({shop}, 3);
    EXPECT_EQ(one.message(), "database \"shop\": pg_dump failed");
    EXPECT_EQ(one.detail(), "D.");
    EXPECT_EQ(one.hint(), "H.");
    const FailedDump named{"shop", Error(ErrorCode::connect, "could not open database \"shop\"")};
    EXPECT_EQ(run_error({named}, 1).message(), "could not open database \"shop\"");
    const Error both = run_error({globals, shop}, 3);
    EXPECT_EQ(both.code(), ErrorCode::timeout);
    EXPECT_EQ(both.message(), "2 of 3 dumps failed: the globals, database \"shop\"");
    EXPECT_EQ(both.detail(), "the globals: too slow\ndatabase \"shop\": pg_dump failed: D.");
}

}  // namespace
}  // namespace immbackup
