// The catalog: what each event does to it, that nothing in a log can make it throw, and that its
// checkpoint is read back as what it was or not at all.
#include "core/catalog.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/events.h"

namespace immbackup {
namespace {

const std::string kSha(64, 'a');

// A catalog with the log it was folded from.
struct FoldedLog {
    Catalog catalog;
    std::vector<std::string> lines;

    FoldedLog& add(const char* event, const std::string& body, const char* origin = "job") {
        const auto seq = catalog.head_seq + 1;
        AuditRecord record{seq,    fmt::format("2026-01-18T12:00:{:02}.000Z", seq),
                           origin, catalog.head_hash,
                           event,  body,
                           ""};
        lines.push_back(format_audit_line(record));
        return line(lines.back());
    }
    FoldedLog& line(const std::string& text) {
        catalog.apply_line(std::string_view(text).substr(0, text.size() - 1), text.size());
        return *this;
    }
};

std::string sealed(const std::string& stem, const std::string& run, const std::string& more = "") {
    return fmt::format(
        R"({{"artifact":"{}","run":"{}","database":"shop","tier":"hourly","taken":"T","size":100,)"
        R"("retain_until":"R","sql_size":1000,"rows":7,"sha256":"{}","seal":"readonly"{}}})",
        stem, run, kSha, more);
}

std::string of_run(const std::string& run, const std::string& more = "") {
    return fmt::format(R"({{"run":"{}"{}}})", run, more);
}

const std::string kError =
    R"(,"error":{"code":"dump","message":"pg_dump failed","detail":"D.","hint":"H"})";

// Every event, so that no member of the catalog is empty.
FoldedLog full_log() {
    FoldedLog log;
    log.add(event::kInstanceCreated, R"({"instance":"11111111-2222-3333-4444-555555555555"})")
        .add(event::kSettingsChanged, R"({"settings":{"host":"","databases":"\u00fc \"x\""}})")
        .add(event::kScheduleChanged, R"({"schedule":"@daily","timezone":"UTC","active":true})")
        .add(event::kRunMissed, R"({"due":"2026-01-17T00:00:00.000Z","reason":"down"})")
        .add(event::kRunRequested,
             of_run("20260118T120000Z", R"(,"trigger":"manual","actor":"anna \u00e9")"
                                        R"(,"due":"2026-01-18T00:00:00.000Z")"))
        .add(event::kRunStarted, of_run("20260118T120000Z"))
        .add(event::kArtifactSealed, sealed("20260118T120000Z.shop", "20260118T120000Z"))
        .add(event::kArtifactSealed,
             sealed("20260118T120000Z.globals", "20260118T120000Z", R"(,"globals":true)"))
        .add(event::kRunFinished, of_run("20260118T120000Z"))
        .add(event::kArtifactVerified, R"({"artifact":"20260118T120000Z.shop","result":"good"})")
        .add(event::kRunRequested, of_run("20260118T130000Z"))
        .add(event::kRunFailed, of_run("20260118T130000Z", kError))
        .add(event::kRunRequested, of_run("20260118T140000Z"))
        .add(event::kAnchorStored, R"({"first":1,"last":7,"state":"unproven"})")
        .add(event::kLocksTried, R"({"problem":"artifact a"})")
        .line("no record\n");
    return log;
}

TEST(Catalog, ARunFromItsRequestToItsEnd) {
    FoldedLog log;
    const std::string id = "20260118T120000Z";
    const RunEntry& run = log.catalog.runs[id];
    log.add(event::kRunRequested, of_run(id, R"(,"trigger":"cli","actor":"anna")"));
    EXPECT_EQ(run.state, "requested");
    EXPECT_EQ(run.trigger, "cli");
    EXPECT_EQ(run.actor, "anna");
    EXPECT_EQ(run.requested, "2026-01-18T12:00:01.000Z");
    EXPECT_TRUE(run.open());
    log.add(event::kRunStarted, of_run(id));
    EXPECT_EQ(run.state, "running");
    EXPECT_EQ(run.started, "2026-01-18T12:00:02.000Z");
    EXPECT_TRUE(run.open());
    log.add(event::kArtifactSealed, sealed(id + ".a", id));
    log.add(event::kArtifactSealed, sealed(id + ".b", id));
    log.add(event::kArtifactSealed, sealed(id + ".b", id));  // told twice, there once
    EXPECT_EQ(run.artifacts, 2U);
    EXPECT_EQ(run.bytes, 200U);
    log.add(event::kRunFinished, of_run(id));
    EXPECT_EQ(run.state, "good");
    EXPECT_EQ(run.finished, "2026-01-18T12:00:06.000Z");
    EXPECT_FALSE(run.open());
    EXPECT_FALSE(run.error);
    EXPECT_EQ(log.catalog.last_run, id);
    EXPECT_EQ(log.catalog.last_success, run.finished);
    EXPECT_EQ(log.catalog.last_success_run, id);
    EXPECT_FALSE(log.catalog.last_error);
    EXPECT_EQ(log.catalog.bad_lines, 0U);
    EXPECT_EQ(log.catalog.head_seq, 6U);
}

TEST(Catalog, RunsThatEndBadly) {
    for (const auto& [event, state] :
         {std::pair{event::kRunFailed, "failed"}, std::pair{event::kRunCancelled, "cancelled"}}) {
        FoldedLog log;
        log.add(event::kRunRequested, of_run("20260118T120000Z"))
            .add(event::kRunFinished, of_run("20260118T120000Z"))
            .add(event::kRunRequested, of_run("20260118T130000Z"))
            .add(event, of_run("20260118T130000Z", kError));
        const RunEntry& run = log.catalog.runs.at("20260118T130000Z");
        EXPECT_EQ(run.state, state);
        EXPECT_FALSE(run.open());
        ASSERT_TRUE(run.error);
        EXPECT_EQ(run.error->code, "dump");
        ASSERT_TRUE(log.catalog.last_error);
        EXPECT_EQ(log.catalog.last_error->message, "pg_dump failed");
        EXPECT_EQ(log.catalog.last_error->detail, "D.");
        EXPECT_EQ(log.catalog.last_error->hint, "H");
        EXPECT_EQ(log.catalog.last_error_run, "20260118T130000Z");
        // What was good stays told.
        EXPECT_EQ(log.catalog.last_success_run, "20260118T120000Z");
        EXPECT_EQ(log.catalog.last_success, "2026-01-18T12:00:02.000Z");
    }
}

TEST(Catalog, AnArtifactAndWhatVerificationsFind) {
    FoldedLog log;
    log.add(event::kArtifactSealed, sealed("20260118T120000Z.shop", "20260118T120000Z"));
    const ArtifactEntry& entry = log.catalog.artifacts.at("20260118T120000Z.shop");
    EXPECT_EQ(entry.run, "20260118T120000Z");
    EXPECT_EQ(entry.database, "shop");
    EXPECT_FALSE(entry.globals);
    EXPECT_EQ(entry.tier, "hourly");
    EXPECT_EQ(entry.taken, "T");
    EXPECT_EQ(entry.retain_until, "R");
    EXPECT_EQ(entry.size, 100U);
    EXPECT_EQ(entry.sql_size, 1000U);
    EXPECT_EQ(entry.rows, 7U);
    EXPECT_EQ(entry.sha256, kSha);
    EXPECT_EQ(entry.seal, "readonly");
    EXPECT_EQ(entry.state, "good");
    EXPECT_EQ(entry.verified, "");
    EXPECT_EQ(entry.seq, 1U);
    EXPECT_EQ(log.catalog.runs.at("20260118T120000Z").state, "running");

    const auto verified = [&](const char* result) {
        log.add(event::kArtifactVerified,
                fmt::format(R"({{"artifact":"20260118T120000Z.shop","result":"{}"}})", result));
        return entry.state + " " + entry.verified;
    };
    EXPECT_EQ(verified("good"), "good 2026-01-18T12:00:02.000Z");
    EXPECT_EQ(verified("nonsense"), "good 2026-01-18T12:00:02.000Z");
    EXPECT_EQ(verified("missing"), "missing ");
    EXPECT_EQ(verified("corrupt"), "corrupt ");
    EXPECT_EQ(verified("good"), "good 2026-01-18T12:00:06.000Z");
    log.add(event::kArtifactVerified, R"({"artifact":"20260118T120000Z.x","result":"good"})");
    EXPECT_EQ(log.catalog.artifacts.size(), 1U);
}

TEST(Catalog, WhatTheVaultSaysAndDoes) {
    FoldedLog log;
    const std::string stem = "20260118T120000Z.shop";
    const auto about = [&](const std::string& more) {
        return R"({"artifact":")" + stem + "\"" + more + "}";
    };
    log.add(event::kVaultChecked,
            R"({"level":"vault-dac","reason":"no flag","clock":"waiting","version":"1"})");
    EXPECT_EQ(log.catalog.vault, (Catalog::Vault{"vault-dac", "no flag", "waiting", "", "1"}));
    // Its own attestation comes before the job's record of the artifact, and alone makes none.
    log.add(event::kVaultSealed, about(R"(,"retain_until":"2026-02-01T00:00:00.000Z")"), "vault");
    EXPECT_TRUE(log.catalog.artifacts.empty());
    const auto between = catalog_from_checkpoint(catalog_to_checkpoint(log.catalog));
    ASSERT_TRUE(between);
    EXPECT_EQ(between->attested, log.catalog.attested);
    std::string body = sealed(stem, "20260118T120000Z");
    body.replace(body.find("\"R\""), 3, "\"2026-01-20T00:00:00.000Z\"");
    log.add(event::kArtifactSealed, body);
    EXPECT_TRUE(log.catalog.attested.empty());
    const ArtifactEntry& entry = log.catalog.artifacts.at(stem);
    EXPECT_EQ(entry.vault_until, "2026-02-01T00:00:00.000Z");
    EXPECT_EQ(entry.retain_until, "2026-01-20T00:00:00.000Z");
    log.add(event::kPruneRefused, about(R"(,"reason":"it is held")"));
    EXPECT_EQ(entry.refused, "it is held");
    EXPECT_TRUE(entry.exists());
    const auto kept = catalog_from_checkpoint(catalog_to_checkpoint(log.catalog));
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->vault, log.catalog.vault);
    EXPECT_EQ(kept->artifacts.at(stem).refused, "it is held");
    log.add(event::kArtifactReleased, about(R"(,"actor":"anna","reason":"over")"), "vault");
    EXPECT_EQ(entry.refused, "");
    log.add(event::kArtifactImported,
            about(R"(,"seal":"vault","retain_until":"2026-02-01T00:00:00.000Z","stamp":"s")"));
    EXPECT_EQ(entry.seal, "vault");
    EXPECT_EQ(entry.stamp, "s");
    log.add(event::kVaultSealed, about(R"(,"retain_until":"2026-03-01T00:00:00.000Z")"), "vault");
    log.add(event::kVaultSealed, about(R"(,"retain_until":"2026-01-01T00:00:00.000Z")"), "vault");
    EXPECT_EQ(entry.vault_until, "2026-03-01T00:00:00.000Z");
    EXPECT_EQ(entry.retain_until, "2026-02-01T00:00:00.000Z");
    EXPECT_EQ(log.catalog.bad_lines, 0U);
}

// What only the vault does is believed of nobody else, where the vault has the artifact.
// A log of a vault that was taken down, and that a new one took over.
TEST(Catalog, AVaultSaysNothingForTheOneBefore) {
    FoldedLog log;
    const std::string stem = "20260118T120000Z.shop";
    const std::string about = R"({"artifact":")" + stem + R"(","actor":"x","reason":"y"})";
    const std::string attested =
        R"({"artifact":")" + stem + R"(","retain_until":"2026-02-01T00:00:00.000Z"})";
    log.add(event::kVaultSealed, attested, "vault");
    log.add(event::kArtifactSealed, sealed(stem, "20260118T120000Z"));
    const ArtifactEntry& entry = log.catalog.artifacts.at(stem);
    log.add(event::kLogAdopted, "{}");
    EXPECT_EQ(entry.vault_until, "2026-02-01T00:00:00.000Z");
    log.add(event::kLogAdopted, "{}", "vault");
    EXPECT_EQ(entry.vault_until, "");
    EXPECT_TRUE(entry.good());
    log.add(event::kArtifactPruned, about);
    EXPECT_FALSE(entry.exists());
}

TEST(Catalog, TheVaultsEventsCannotBeForged) {
    FoldedLog log;
    const std::string stem = "20260118T120000Z.shop";
    const std::string about = R"({"artifact":")" + stem + R"(","actor":"x","reason":"y"})";
    const std::string attested =
        R"({"artifact":")" + stem + R"(","retain_until":"2026-02-01T00:00:00.000Z"})";
    log.add(event::kVaultSealed, attested);
    EXPECT_TRUE(log.catalog.attested.empty());
    log.add(event::kArtifactSealed, sealed(stem, "20260118T120000Z"));
    const ArtifactEntry& entry = log.catalog.artifacts.at(stem);
    EXPECT_EQ(entry.vault_until, "");
    // In the plain store the jobs do all of it.
    log.add(event::kArtifactHeld, about).add(event::kPruneIntended, about);
    EXPECT_EQ(entry.hold, "y");
    EXPECT_TRUE(entry.intended);
    log.add(event::kPruneWithdrawn, about).add(event::kArtifactReleased, about);
    EXPECT_EQ(entry.hold, "");
    log.add(event::kVaultSealed, attested);
    EXPECT_EQ(entry.vault_until, "");
    log.add(event::kVaultSealed, attested, "vault");
    EXPECT_EQ(entry.vault_until, "2026-02-01T00:00:00.000Z");
    for (const char* origin : {"job", "worker", "cli"}) {
        log.add(event::kArtifactPruned, about, origin)
            .add(event::kPruneIntended, about, origin)
            .add(event::kArtifactHeld, about, origin);
        EXPECT_TRUE(entry.good()) << origin;
        EXPECT_EQ(entry.hold, "") << origin;
    }
    log.add(event::kArtifactHeld, about, "vault").add(event::kArtifactReleased, about);
    EXPECT_EQ(entry.hold, "y");
    const std::string longer = R"({"artifacts":{")" + stem + R"(":"2027-01-01T00:00:00.000Z"}})";
    log.add(event::kRetentionExtended, longer);
    EXPECT_EQ(entry.vault_until, "2026-02-01T00:00:00.000Z");
    log.add(event::kRetentionExtended, longer, "vault");
    EXPECT_EQ(entry.vault_until, "2027-01-01T00:00:00.000Z");
    log.add(event::kArtifactReleased, about, "vault");
    EXPECT_EQ(entry.hold, "");
    log.add(event::kPruneIntended, about, "vault").add(event::kArtifactPruned, about, "vault");
    EXPECT_FALSE(entry.exists());
}

TEST(Catalog, SettingsAreTheLastRecordedOnes) {
    FoldedLog log;
    log.add(event::kSettingsChanged, R"({"settings":{"host":"a","port":"1","nice":5}})")
        .add(event::kSettingsChanged, R"({"settings":{"host":"b"}})");
    EXPECT_EQ(log.catalog.settings.size(), 1U);
    EXPECT_EQ(log.catalog.settings["host"], "b");
    log.add(event::kSettingsChanged, R"({"settings":["host"]})").add(event::kSettingsChanged, "{}");
    EXPECT_EQ(log.catalog.settings["host"], "b");
}

TEST(Catalog, OnlyWhatIsProvenLockedIsAnchored) {
    FoldedLog log;
    log.add(event::kAnchorStored, R"({"first":1,"last":7,"state":"locked"})");
    EXPECT_EQ(log.catalog.anchored_seq, 7U);
    for (const char* state : {"unlocked", "unproven", ""}) {
        log.add(event::kAnchorStored, fmt::format(R"({{"first":8,"last":9,"state":"{}"}})", state));
        EXPECT_EQ(log.catalog.anchored_seq, 7U) << state;
        EXPECT_EQ(log.catalog.anchor_state, state);
        EXPECT_EQ(log.catalog.anchored,
                  fmt::format("2026-01-18T12:00:{:02}.000Z", log.catalog.head_seq));
    }
    log.add(event::kAnchorStored, R"({"first":8,"last":11,"state":"locked"})");
    EXPECT_EQ(log.catalog.anchored_seq, 11U);
}

TEST(Catalog, ALockThatIsProvenLater) {
    const std::string stem = "20260118T120000Z.shop";
    FoldedLog log;
    log.add(event::kArtifactSealed, sealed(stem, "20260118T120000Z"))
        .add(event::kArtifactUploaded,
             R"({"artifact":"20260118T120000Z.shop","state":"unproven","reason":"no right",)"
             R"("objects":{"f":{"key":"k","version_id":"v"}}})");
    const ArtifactEntry before = log.catalog.artifacts.at(stem);
    EXPECT_EQ(before.upload, "unproven");
    log.add(event::kLockProven,
            R"({"artifact":"20260118T120000Z.shop","state":"locked","mode":"GOVERNANCE",)"
            R"("locked_until":"2026-02-18T12:00:00.000Z"})");
    const ArtifactEntry& after = log.catalog.artifacts.at(stem);
    EXPECT_EQ(after.upload, "locked");
    EXPECT_EQ(after.upload_error, "");
    EXPECT_EQ(after.lock_mode, "GOVERNANCE");
    EXPECT_EQ(after.locked_until, "2026-02-18T12:00:00.000Z");
    EXPECT_EQ(after.objects, before.objects);
    EXPECT_EQ(after.upload_tried, before.upload_tried) << "the date that was asked for hangs on it";
}

TEST(Catalog, TheGreatestRunIdIsKept) {
    FoldedLog log;
    log.add(event::kRunRequested, of_run("20260118T130000Z"))
        .add(event::kRunRequested, of_run("20260118T120000Z"));
    EXPECT_EQ(log.catalog.last_run, "20260118T130000Z");
}

// What cannot be used is passed over or counted, and never adds a run or an artifact.
TEST(Catalog, HostileBodies) {
    const std::string deep(100'000, '[');
    const std::string deep_good = deep + std::string(deep.size(), ']');
    struct Case {
        const char* event;
        std::string body;
        std::uint64_t bad_lines;
    };
    for (const auto& [event, body, bad_lines] : std::vector<Case>{
             {event::kRunRequested, "{}", 0},
             {event::kRunRequested, R"({"run":5})", 0},
             {event::kRunRequested, R"({"run":"../../etc"})", 0},
             {event::kRunRequested, R"({"run":["20260118T120000Z"]})", 0},
             {event::kRunFinished, R"({"run":"20261318T120000Z"})", 0},
             {event::kRunFailed, R"({"run":null,"error":7})", 0},
             {event::kArtifactSealed, "{}", 1},
             {event::kArtifactSealed, sealed("../x", "20260118T120000Z"), 1},
             {event::kArtifactSealed, sealed("20260118T120000Z.a/b", "20260118T120000Z"), 1},
             {event::kArtifactSealed,
              R"({"artifact":"20260118T120000Z.a","run":"20260118T120000Z","sha256":"00"})", 1},
             {event::kArtifactVerified, R"({"artifact":[],"result":{}})", 0},
             {event::kSettingsChanged, R"({"settings":null})", 0},
             {event::kInstanceCreated, R"({"instance":[]})", 0},
             {"event_of_the_future", R"({"run":"20260118T120000Z"})", 0},
             {event::kRunStarted, "{not json}", 1},
             {event::kRunStarted, R"({"run":"20260118T120000Z"}})", 1},
             {event::kRunStarted, R"({"run":"\ud800"})", 1},
             {event::kRunStarted, R"({"run":"20260118T120000Z","pid":1e999})", 1},
             {event::kRunStarted, R"({"run":"20260118T120000Z","x":)" + deep + "}", 1},
             {event::kRunStarted, R"({"run":"20260118T120000Z","x":)" + deep_good + "}", 1},
         }) {
        FoldedLog log;
        const std::string text = log.add(event, body).lines.back();
        EXPECT_EQ(log.catalog.bad_lines, bad_lines) << event << " " << body.substr(0, 80);
        EXPECT_TRUE(log.catalog.runs.empty()) << body.substr(0, 80);
        EXPECT_TRUE(log.catalog.artifacts.empty()) << body.substr(0, 80);
        // The record is part of the chain all the same.
        EXPECT_EQ(log.catalog.head_seq, 1U);
        EXPECT_EQ(log.catalog.offset, text.size());
        EXPECT_TRUE(catalog_from_checkpoint(catalog_to_checkpoint(log.catalog)));
    }
}

TEST(Catalog, NumbersThatAreNoneAreZero) {
    for (const char* size : {"-1", "1.5", "true", "\"7\"", "null", "18446744073709551616", "{}"}) {
        FoldedLog log;
        log.add(event::kArtifactSealed,
                fmt::format(R"({{"artifact":"20260118T120000Z.a","sha256":"{}","size":{}}})", kSha,
                            size));
        ASSERT_EQ(log.catalog.artifacts.size(), 1U) << size;
        EXPECT_EQ(log.catalog.artifacts.begin()->second.size, 0U) << size;
    }
}

TEST(Catalog, LinesThatAreNoRecordsAreCounted) {
    FoldedLog log;
    log.add(event::kRunRequested, of_run("20260118T120000Z"));
    const auto seq = log.catalog.head_seq;
    const auto offset = log.catalog.offset;
    std::string changed = log.lines[0];
    changed[20] = static_cast<char>(changed[20] ^ 1);
    std::uint64_t bytes = 0;
    for (const std::string& text : {std::string("\n"), std::string("{}\n"), changed,
                                    std::string("\xff\xfe\n"), std::string(1'000'000, '[')}) {
        log.line(text);
        bytes += text.size();
    }
    EXPECT_EQ(log.catalog.bad_lines, 5U);
    EXPECT_EQ(log.catalog.head_seq, seq);
    EXPECT_EQ(log.catalog.offset, offset + bytes);
}

TEST(CatalogCheckpoint, RoundTrip) {
    const Catalog catalog = full_log().catalog;
    ASSERT_EQ(catalog.runs.size(), 3U);
    ASSERT_EQ(catalog.artifacts.size(), 2U);
    const std::string text = catalog_to_checkpoint(catalog);
    const auto read = catalog_from_checkpoint(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(catalog_to_checkpoint(*read), text);
    EXPECT_EQ(read->instance, "11111111-2222-3333-4444-555555555555");
    EXPECT_EQ(read->offset, catalog.offset);
    EXPECT_EQ(read->head_seq, 15U);
    EXPECT_EQ(read->anchor_state, "unproven");
    EXPECT_EQ(read->lock_problem, "artifact a");
    EXPECT_EQ(read->locks_tried, "2026-01-18T12:00:15.000Z");
    EXPECT_EQ(read->served, "2026-01-18T00:00:00.000Z");
    EXPECT_EQ(read->last_full_run, "20260118T120000Z");
    EXPECT_EQ(read->covered, catalog.runs.at("20260118T120000Z").requested);
    EXPECT_EQ(read->failures, 1U);
    EXPECT_EQ(read->promise.schedule, "@daily");
    EXPECT_TRUE(read->promise.active);
    EXPECT_EQ(read->promise.since, catalog.promise.since);
    EXPECT_EQ(read->head_hash, catalog.head_hash);
    EXPECT_EQ(read->bad_lines, 1U);
    EXPECT_EQ(read->last_run, "20260118T140000Z");
    EXPECT_EQ(read->last_success, catalog.last_success);
    EXPECT_EQ(read->last_success_run, "20260118T120000Z");
    EXPECT_EQ(read->last_error->detail, "D.");
    EXPECT_EQ(read->last_error_run, "20260118T130000Z");
    EXPECT_EQ(read->settings, catalog.settings);
    EXPECT_EQ(read->settings.at("databases"), "\xc3\xbc \"x\"");
    EXPECT_EQ(read->runs.at("20260118T120000Z").actor, "anna \xc3\xa9");
    EXPECT_FALSE(read->runs.at("20260118T120000Z").error);
    EXPECT_TRUE(read->runs.at("20260118T140000Z").open());
    EXPECT_TRUE(read->artifacts.at("20260118T120000Z.globals").globals);
    EXPECT_NE(read->artifacts.at("20260118T120000Z.shop").verified, "");
    EXPECT_TRUE(catalog_from_checkpoint(catalog_to_checkpoint(Catalog{})));
}

// Wherever the log was cut, checkpoint and tail give what the whole log gives.
TEST(CatalogCheckpoint, FoldGoesOnFromIt) {
    const FoldedLog whole = full_log();
    for (std::size_t cut = 0; cut <= whole.lines.size(); ++cut) {
        FoldedLog part;
        for (std::size_t i = 0; i < whole.lines.size(); ++i) {
            if (i == cut) {
                part.catalog = catalog_from_checkpoint(catalog_to_checkpoint(part.catalog)).value();
            }
            part.line(whole.lines[i]);
        }
        part.line("no record\n");
        EXPECT_EQ(catalog_to_checkpoint(part.catalog), catalog_to_checkpoint(whole.catalog)) << cut;
    }
}

// Offset, number and hash of the head are compared with the log by whoever loads the checkpoint;
// the digest covers everything else.
TEST(CatalogCheckpoint, EveryChangedByteIsRefusedOrNamesAnotherHead) {
    const Catalog catalog = full_log().catalog;
    const std::string text = catalog_to_checkpoint(catalog);
    const auto head_begin = std::string_view("immbackup-catalog 6 ").size();
    const auto head_end = text.find(catalog.head_hash) + 64;
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (unsigned bit = 1; bit <= 128; bit *= 2) {
            std::string changed = text;
            changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ bit);
            auto read = catalog_from_checkpoint(changed);
            if (at < head_begin || at >= head_end) {
                ASSERT_FALSE(read) << "byte " << at << " flipped by " << bit;
            } else if (read) {
                ASSERT_TRUE(read->offset != catalog.offset || read->head_seq != catalog.head_seq ||
                            read->head_hash != catalog.head_hash)
                    << "byte " << at << " flipped by " << bit;
                read->offset = catalog.offset;
                read->head_seq = catalog.head_seq;
                read->head_hash = catalog.head_hash;
                ASSERT_EQ(catalog_to_checkpoint(*read), text);
            }
        }
    }
}

TEST(CatalogCheckpoint, EveryTruncationAndEveryAdditionIsRefused) {
    const std::string text = catalog_to_checkpoint(full_log().catalog);
    for (std::size_t length = 0; length < text.size(); ++length) {
        ASSERT_FALSE(catalog_from_checkpoint(std::string_view(text).substr(0, length))) << length;
    }
    for (const char* more : {"\n", " ", "x", "{}"}) {
        EXPECT_FALSE(catalog_from_checkpoint(text + more)) << more;
        EXPECT_FALSE(catalog_from_checkpoint(more + text)) << more;
    }
}

// With a right digest: whoever can write the file can compute one.
TEST(CatalogCheckpoint, HostileTexts) {
    const std::string zero(kZeroHash);
    const auto with = [&](const std::string& rest, const std::string& head) {
        return catalog_from_checkpoint("immbackup-catalog " + head + " " + sha256_hex(rest) + "\n" +
                                       rest);
    };
    const std::string empty = "end\n";
    ASSERT_TRUE(with(empty, "6 0 0 " + zero));
    for (const std::string& head :
         {"1 0 0 " + zero, "5 0 0 " + zero, "6 -1 0 " + zero, "6 x 0 " + zero, "6 0x1 0 " + zero,
          "6 18446744073709551616 0 " + zero, "6 0 1.5 " + zero, "6 0 " + zero, "6 0 0  " + zero,
          "6  0 0 " + zero, "6 0 0 0 " + zero, "6 0 0 " + std::string(64, 'A'),
          "6 0 0 " + zero + "0", std::string("6 0 0 ")}) {
        EXPECT_FALSE(with(empty, head)) << head;
    }
    // Each kind of line: whole, with a field too few or too many, with a field that is not of its
    // kind, with what is no name.
    const std::string text = catalog_to_checkpoint(full_log().catalog);
    std::size_t lines = 0;
    for (std::size_t at = text.find('\n') + 1; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (line == "end") {
            break;
        }
        ++lines;
        EXPECT_TRUE(with(line + "\nend\n", "6 0 0 " + zero)) << line;
        EXPECT_FALSE(with(line + "\tx\nend\n", "6 0 0 " + zero)) << line;
        EXPECT_FALSE(with(line.substr(0, line.rfind('\t')) + "\nend\n", "6 0 0 " + zero)) << line;
        EXPECT_FALSE(with("x" + line + "\nend\n", "6 0 0 " + zero)) << line;
        EXPECT_FALSE(with(line + "%0g\nend\n", "6 0 0 " + zero)) << line;
        EXPECT_FALSE(with(line + "%\nend\n", "6 0 0 " + zero)) << line;
    }
    EXPECT_GT(lines, 8U);
    for (const std::string& rest :
         {std::string(), std::string("end"), std::string("\nend\n"), std::string("end\nend\n"),
          std::string("setting\tname\nend\n"), std::string("clock\t\t-1\t\t0\t0\t\t0\t0\nend\n"),
          std::string("clock\t\t0\t\t0\t120001\t\t0\t0\nend\n"),
          std::string("clock\t\t0\t\t9223372036854775807\t0\t\t0\t0\nend\n"),
          std::string("retired\ta\tb\nend\n"), std::string(1'000'000, '\t')}) {
        EXPECT_FALSE(with(rest, "6 0 0 " + zero)) << rest.substr(0, 80);
    }
}

}  // namespace
}  // namespace immbackup
