// Pruning, inspection and what operators say, on real files.
#include "backup/prune.h"

#include "backup/acts.h"
#include "backup/inspect.h"
#include "backup/records.h"
#include "core/events.h"
#include "store_fixture.h"

namespace immbackup {
namespace {

using test::throws_error;

class Told final : public Progress {
  public:
    void update(const ProgressState& /*state*/) override {}
    void warning(std::string_view text) override { warnings.emplace_back(text); }
    void alarm(std::string_view event, std::string_view /*text*/) override {
        alarms.emplace_back(event);
    }
    std::vector<std::string> warnings;
    std::vector<std::string> alarms;
};

// Artifacts of long ago, "app" each: three newest stay (min_keep), all others may go.
class Pruning : public testing::Test {
  protected:
    Pruning() : store_(open_local_store(directory_.path())), audit_(store_->layout(), "cli") {
        settings_ = resolve_settings({{"directory", directory_.path().string()}});
        for (int day = 10; day < 16; ++day) {
            stems_.push_back("202001" + std::to_string(day) + "T120000Z");
            test::publish_content(*store_, stems_.back(), "content of " + stems_.back());
            const Manifest manifest = store_->read_manifest(stems_.back());
            audit_.append(event::kArtifactSealed,
                          artifact_sealed_body(manifest, store_->stamp(stems_.back())));
        }
    }
    PruneReport prune_now() { return prune(*store_, audit_, settings_, cancel_, told_); }
    void inspect() { inspect_artifacts(*store_, audit_, cancel_, told_); }
    void say(const char* kind, const std::string& subject) {
        record_act(*store_, audit_, {kind, subject, "because", "anna"});
    }
    const ArtifactEntry& entry(const std::string& stem) {
        audit_.refresh();
        return audit_.catalog().artifacts.at(stem);
    }
    std::size_t files() const { return test::names_in(store_->layout().active()).size(); }
    int records(const char* event) const {
        int count = 0;
        read_audit(store_->layout(), 0, [&](const AuditRecord* record, auto, const auto&) {
            count += record != nullptr && record->event == event ? 1 : 0;
            return true;
        });
        return count;
    }
    fs::path artifact(const std::string& stem) const { return store_->layout().artifact(stem); }
    void unseal(const fs::path& path) {
        test::clear_flags(path);
        ::chmod(path.c_str(), 0600);
    }

    test::TemporaryDirectory directory_;
    std::unique_ptr<Store> store_;
    AuditLog audit_;
    Settings settings_;
    CancelToken cancel_;
    Told told_;
    std::vector<std::string> stems_;
};

TEST_F(Pruning, RemovesRecordsAndIsDone) {
    const PruneReport report = prune_now();
    ASSERT_EQ(report.pruned.size(), 3U);
    EXPECT_EQ(report.pruned[0].artifact, stems_[0]);
    EXPECT_GT(report.pruned[0].bytes, 100U);
    EXPECT_EQ(files(), 9U);
    EXPECT_EQ(entry(stems_[0]).state, "pruned");
    EXPECT_EQ(records(event::kPruneIntended), 3);
    EXPECT_EQ(records(event::kArtifactPruned), 3);
    EXPECT_TRUE(prune_now().pruned.empty());
    EXPECT_TRUE(verify_audit_log(store_->layout()).sound());
    // The sweep knows that they are gone, and that the others are not.
    EXPECT_TRUE(store_->sweep({stems_[3], stems_[4], stems_[5]}).empty());
}

TEST_F(Pruning, ForeignFilesStay) {
    test::put(store_->layout().active() / "notes.txt", "mine");
    test::put(store_->layout().active() / "20190101T000000Z.sql.gz", "not in the log");
    prune_now();
    EXPECT_TRUE(fs::exists(store_->layout().active() / "notes.txt"));
    EXPECT_TRUE(fs::exists(store_->layout().active() / "20190101T000000Z.sql.gz"));
}

// What a kill leaves after each of the removals.
TEST_F(Pruning, GoesOnWhereItWasCutOff) {
    audit_.append(event::kPruneIntended, R"({"artifact":")" + stems_[0] + "\"}");
    audit_.append(event::kPruneIntended, R"({"artifact":")" + stems_[1] + "\"}");
    for (const auto& path :
         {store_->layout().manifest(stems_[1]), store_->layout().digest(stems_[1])}) {
        unseal(path);
        fs::remove(path);
    }
    settings_.min_keep =
        100;  // nothing may go any more, but what has lost its manifest is no backup
    const PruneReport report = prune_now();
    ASSERT_EQ(report.pruned.size(), 1U);
    EXPECT_EQ(report.pruned[0].artifact, stems_[1]);
    EXPECT_FALSE(fs::exists(artifact(stems_[1])));
    EXPECT_EQ(entry(stems_[0]).intended, false);
    EXPECT_EQ(records(event::kPruneWithdrawn), 1);
    inspect();
    EXPECT_TRUE(told_.alarms.empty());
}

TEST_F(Pruning, WithdrawnIsSealedAgain) {
    audit_.append(event::kPruneIntended, R"({"artifact":")" + stems_[0] + "\"}");
    for (const auto& path : {artifact(stems_[0]), store_->layout().manifest(stems_[0])}) {
        unseal(path);
    }
    say("hold", stems_[1]);
    settings_.min_keep = 100;
    prune_now();
    EXPECT_EQ(store_->seal_of(stems_[0]), store_->seal_level());
    inspect();
    EXPECT_TRUE(told_.alarms.empty());
    EXPECT_TRUE(told_.warnings.empty());
}

// The order of the records decides between a hold and a prune that meet.
TEST_F(Pruning, HoldsAndIntentionsAreOrdered) {
    say("hold", stems_[0]);
    EXPECT_EQ(prune_now().pruned.size(), 2U);
    EXPECT_TRUE(fs::exists(artifact(stems_[0])));
    audit_.append(event::kPruneIntended, R"({"artifact":")" + stems_[3] + "\"}");
    EXPECT_TRUE(throws_error(ErrorCode::busy, "is being removed", [&] { say("hold", stems_[3]); }));
    say("release", stems_[0]);
    EXPECT_EQ(prune_now().pruned.size(), 0U);  // what was begun does not count, and is one of three
    EXPECT_EQ(entry(stems_[3]).intended, false);
    EXPECT_EQ(prune_now().pruned.size(), 1U);
}

TEST_F(Pruning, ActsAreRefusedWithAReason) {
    using Code = ErrorCode;
    EXPECT_TRUE(throws_error(Code::not_found, "no artifact \"x\"", [&] { say("hold", "x"); }));
    EXPECT_TRUE(throws_error(Code::usage, "a reason is needed", [&] {
        record_act(*store_, audit_, {"hold", stems_[0], " \n", "anna"});
    }));
    say("hold", stems_[0]);
    EXPECT_TRUE(throws_error(Code::exists, "under a hold", [&] { say("hold", stems_[0]); }));
    EXPECT_TRUE(
        throws_error(Code::not_found, "not under a hold", [&] { say("release", stems_[1]); }));
    EXPECT_TRUE(throws_error(Code::usage, "nothing is wrong", [&] { say("accept", stems_[1]); }));
    EXPECT_TRUE(throws_error(Code::not_found, "database \"y\"", [&] { say("retire", "y"); }));
    EXPECT_TRUE(
        throws_error(Code::not_found, "no change", [&] { say("acknowledge_settings", ""); }));
    EXPECT_TRUE(
        throws_error(Code::usage, "nothing that can be", [&] { say("delete", stems_[0]); }));
    prune_now();
    EXPECT_TRUE(throws_error(Code::not_found, "was pruned", [&] { say("hold", stems_[1]); }));
    say("retire", "app");
    EXPECT_TRUE(throws_error(Code::exists, "retired already", [&] { say("retire", "app"); }));
    say("acknowledge_clock", "");
    EXPECT_EQ(prune_now().pruned.size(), 3U);  // all but the one under a hold
}

TEST_F(Pruning, ALongerSettingIsRecordedOnce) {
    settings_.retention_days = 36500;
    EXPECT_EQ(prune_now().extended, 6U);
    EXPECT_EQ(prune_now().extended, 0U);
    EXPECT_EQ(records(event::kRetentionExtended), 1);
    EXPECT_EQ(entry(stems_[0]).retain_until.substr(0, 4), "2119");
}

TEST_F(Pruning, InspectionFindsEachLossOnce) {
    inspect();
    EXPECT_EQ(records(event::kArtifactVerified), 0);  // untouched: not even read
    unseal(artifact(stems_[0]));
    test::put(artifact(stems_[0]), "other content");
    unseal(store_->layout().digest(stems_[1]));
    fs::remove(store_->layout().digest(stems_[1]));
    unseal(store_->layout().manifest(stems_[2]));
    test::put(store_->layout().manifest(stems_[2]), "{");
    for (int i = 0; i < 3; ++i) {
        inspect();
    }
    EXPECT_EQ(entry(stems_[0]).state, "corrupt");
    EXPECT_EQ(entry(stems_[1]).state, "missing");
    EXPECT_EQ(entry(stems_[2]).state, "corrupt");
    EXPECT_EQ(records(event::kArtifactVerified), 3);
    EXPECT_EQ(told_.alarms, std::vector<std::string>(3, event::kAlarmArtifactLost));
    say("accept", stems_[1]);
    EXPECT_TRUE(entry(stems_[1]).accepted);
}

TEST_F(Pruning, WhatComesBackIsGoodAgain) {
    const fs::path digest = store_->layout().digest(stems_[0]);
    const std::string content = test::content_of(digest);
    unseal(digest);
    fs::remove(digest);
    inspect();
    EXPECT_EQ(entry(stems_[0]).state, "missing");
    test::put(digest, content, 0600);
    inspect();
    EXPECT_EQ(entry(stems_[0]).state, "good");
    EXPECT_EQ(store_->seal_of(stems_[0]), store_->seal_level());
    ASSERT_EQ(told_.warnings.size(), 1U);
    EXPECT_NE(told_.warnings[0].find("seal had been lifted"), std::string::npos);
    inspect();
    EXPECT_EQ(records(event::kArtifactVerified), 2);
}

TEST_F(Pruning, WhatCannotBeRemovedIsToldAndTriedAgain) {
    if (!test::can_set_flags()) {
        GTEST_SKIP() << "no inode flags here";
    }
    const Fd folder(::open(store_->layout().active().c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(set_inode_flag(folder, InodeFlag::immutable, true));
    EXPECT_EQ(prune_now().failed.size(), 3U);
    EXPECT_EQ(told_.alarms, std::vector<std::string>(3, event::kAlarmPruneFailed));
    ASSERT_TRUE(set_inode_flag(folder, InodeFlag::immutable, false));
    EXPECT_EQ(prune_now().pruned.size(), 3U);
    EXPECT_EQ(records(event::kPruneIntended), 3);
}

// A folder where a file was: nothing can unlink it.
TEST_F(Pruning, OneThatIsStuckDoesNotKeepTheOthers) {
    for (const auto& stem : {stems_[0], stems_[1]}) {
        audit_.append(event::kPruneIntended, R"({"artifact":")" + stem + "\"}");
    }
    // Of the first, the removal was begun; the second one is to stay now, and lacks a file.
    for (const auto& path : {store_->layout().manifest(stems_[0]), artifact(stems_[0]),
                             store_->layout().digest(stems_[1])}) {
        unseal(path);
        fs::remove(path);
    }
    fs::create_directory(artifact(stems_[0]));
    audit_.append(event::kArtifactHeld,
                  R"({"artifact":")" + stems_[1] + R"(","reason":"x","actor":"a"})");
    const PruneReport report = prune_now();
    EXPECT_EQ(report.failed, (std::vector<std::string>{stems_[0], stems_[1]}));
    ASSERT_EQ(report.pruned.size(), 1U);
    EXPECT_EQ(report.pruned[0].artifact, stems_[2]);
    fs::remove(artifact(stems_[0]));
    EXPECT_EQ(prune_now().pruned.size(), 1U);
}

// What cannot be opened at all must not keep runs from taking backups.
TEST_F(Pruning, InspectionSurvivesWhatItCannotRead) {
    for (const auto& stem : {stems_[1], stems_[2]}) {
        unseal(artifact(stem));
        fs::remove(artifact(stem));
    }
    fs::create_symlink(artifact(stems_[3]), artifact(stems_[1]));
    fs::create_directory(artifact(stems_[2]));
    inspect();
    EXPECT_EQ(told_.alarms, std::vector<std::string>(2, event::kAlarmArtifactLost));
    EXPECT_NE(entry(stems_[1]).state, "good");
    EXPECT_NE(entry(stems_[2]).state, "good");
}

// SIGKILL at random moments, again and again, until nothing is left to do.
TEST_F(Pruning, KilledAtAnyMoment) {
    settings_.min_keep = 1;
    for (int round = 0; round < 40; ++round) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            AuditLog audit(store_->layout(), "cli");
            prune(*store_, audit, settings_, cancel_, told_);
            ::_exit(0);
        }
        ::usleep(static_cast<useconds_t>(50 * round));
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        // Whatever the moment: a manifest stands for a whole artifact.
        for (const auto& stem : store_->list()) {
            EXPECT_FALSE(store_->problem_of(stem, cancel_)) << stem;
        }
    }
    prune_now();
    EXPECT_EQ(files(), 3U);
    EXPECT_TRUE(verify_audit_log(store_->layout()).sound());
    EXPECT_EQ(entry(stems_[5]).state, "good");
}

}  // namespace
}  // namespace immbackup
