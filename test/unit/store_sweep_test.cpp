// What a sweep does with everything that a dead process, or somebody else, can have left.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include "core/digest.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

const std::string kContent = "the content of a dump";

class SweepTest : public testing::Test {
  protected:
    fs::path root() const { return directory_.path(); }
    Layout layout() const { return Layout{root()}; }
    std::array<fs::path, 3> files(const std::string& stem) const {
        return {layout().artifact(stem), layout().digest(stem), layout().manifest(stem)};
    }
    // The three files as publish() puts them there, before any is sealed.
    void put_unsealed(const std::string& stem) {
        publish_content(*store_, stem, kContent);
        for (const auto& file : files(stem)) {
            clear_flags(file);
            ::chmod(file.c_str(), 0600);
        }
    }
    static std::set<std::string> removed_names(const SweepReport& report) {
        std::set<std::string> names;
        for (const auto& each : report.removed) {
            names.insert(each.file);
        }
        return names;
    }
    static std::set<std::string> set_of(const std::vector<std::string>& list) {
        return {list.begin(), list.end()};
    }

    TemporaryDirectory directory_;
    std::unique_ptr<Store> store_ = open_local_store(directory_.path());
};

TEST_F(SweepTest, NothingToDo) {
    EXPECT_TRUE(store_->sweep({}).empty());
    publish_content(*store_, kStem, kContent);
    EXPECT_TRUE(store_->sweep({kStem}).empty());
}

TEST_F(SweepTest, IncomingIsEmptied) {
    const std::string part = std::string(kStem) + ".sql.gz.part";
    put(layout().incoming() / part, "12345");
    put(layout().incoming() / (std::string(kStem) + ".sql.gz.manifest.json.part"), "");
    put(layout().incoming() / "seal-probe.4711", "");
    const Fd probe = open_file(layout().incoming() / "seal-probe.4711", O_RDONLY);
    set_inode_flag(probe, InodeFlag::immutable, true);  // died in the middle of the try
    const SweepReport report = store_->sweep({});
    EXPECT_EQ(removed_names(report), (std::set<std::string>{"incoming/" + part,
                                                            "incoming/" + std::string(kStem) +
                                                                ".sql.gz.manifest.json.part",
                                                            "incoming/seal-probe.4711"}));
    for (const auto& each : report.removed) {
        EXPECT_EQ(each.bytes, each.file == "incoming/" + part ? 5U : 0U) << each.file;
    }
    EXPECT_TRUE(report.foreign.empty());
    EXPECT_TRUE(names_in(layout().incoming()).empty());
    EXPECT_TRUE(store_->sweep({}).empty());
}

// A publication killed between any two of its steps: how many files are there, and how many of them
// are sealed.
TEST_F(SweepTest, PublicationKilledAtAnyStep) {
    const struct {
        std::size_t present;
        std::size_t sealed;
    } cases[] = {{1, 0}, {2, 0}, {3, 0}, {3, 1}, {3, 2}, {3, 3}};
    for (const auto& each : cases) {
        SCOPED_TRACE(testing::Message()
                     << each.present << " present, " << each.sealed << " sealed");
        put_unsealed(kStem);
        const auto paths = files(kStem);
        for (std::size_t i = 0; i < paths.size(); ++i) {
            if (i >= each.present) {
                fs::remove(paths[i]);
            } else if (i < each.sealed) {
                ::chmod(paths[i].c_str(), 0400);
                set_inode_flag(open_file(paths[i], O_RDONLY), InodeFlag::immutable, true);
            }
        }
        const SweepReport report = store_->sweep({});
        EXPECT_TRUE(report.foreign.empty());
        if (each.present < 3) {
            EXPECT_EQ(report.removed.size(), each.present);
            EXPECT_TRUE(report.completed.empty());
            EXPECT_TRUE(names_in(layout().active()).empty());
        } else {
            EXPECT_TRUE(report.removed.empty());
            EXPECT_EQ(report.completed, std::vector<std::string>{kStem});
            EXPECT_EQ(store_->seal_of(kStem), store_->seal_level());
            EXPECT_EQ(content_of(paths[0]), kContent);
        }
        EXPECT_TRUE(store_->sweep({kStem}).empty());
        for (const auto& path : paths) {
            clear_flags(path);
            fs::remove(path);
        }
    }
}

TEST_F(SweepTest, WhatTheLogKnowsIsNeverTouched) {
    put_unsealed(kStem);
    for (const auto& file : files(kStem)) {
        fs::remove(file);
        EXPECT_TRUE(store_->sweep({kStem}).empty());
        for (const auto& other : files(kStem)) {
            EXPECT_EQ(mode_of(other), fs::exists(other) ? 0600U : 0U);
        }
    }
    put_unsealed(kStem);
    put(layout().artifact(kStem), "not the content");
    EXPECT_TRUE(store_->sweep({kStem}).empty());
    EXPECT_EQ(content_of(layout().artifact(kStem)), "not the content");
}

// With a manifest or a seal something was a backup once, even where the log has lost it.
TEST_F(SweepTest, DamagedBackupsStay) {
    const struct {
        const char* what;
        std::function<void(const std::array<fs::path, 3>&)> damage;
    } cases[] = {
        {"artifact changed", [](const auto& f) { put(f[0], "something else"); }},
        {"artifact missing", [](const auto& f) { fs::remove(f[0]); }},
        {"digest missing", [](const auto& f) { fs::remove(f[1]); }},
        {"digest of another", [](const auto& f) { put(f[1], std::string(64, '0') + "  x\n"); }},
        {"manifest cut", [](const auto& f) { fs::resize_file(f[2], 20); }},
        {"manifest empty", [](const auto& f) { put(f[2], ""); }},
        {"manifest missing, rest sealed",
         [](const auto& f) {
             fs::remove(f[2]);
             ::chmod(f[0].c_str(), 0400);
             ::chmod(f[1].c_str(), 0400);
         }},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        put_unsealed(kStem);
        each.damage(files(kStem));
        const auto before = names_in(layout().active());
        const SweepReport report = store_->sweep({});
        EXPECT_TRUE(report.removed.empty());
        EXPECT_TRUE(report.completed.empty());
        EXPECT_EQ(names_in(layout().active()), before);
        EXPECT_EQ(report.foreign.size(), before.size());
        for (const auto& file : files(kStem)) {
            fs::remove(file);
        }
    }
}

TEST_F(SweepTest, ForeignFilesAreReportedAndStay) {
    const TemporaryDirectory elsewhere;
    put(elsewhere.path() / "target", "target");
    const std::string stem = kStem;
    const std::vector<std::string> active = {"notes.txt",
                                             "a\nb",
                                             "..hidden",
                                             "20260118T120000Z.sql",
                                             "x.sql.gz",
                                             "\xff\xfe",
                                             stem + ".SQL.GZ",
                                             stem + ".sql.gz.sha256.old",
                                             stem + ".sql.gz~",
                                             "$(reboot)",
                                             "-rf",
                                             stem + ".a%2.sql.gz",
                                             "%s%n",
                                             std::string(255, 'n')};
    for (const auto& name : active) {
        put(layout().active() / name, name);
    }
    // Names of ours, but not our files.
    fs::create_directory(layout().active() / (stem + ".sql.gz"));
    put(layout().active() / (stem + ".sql.gz") / "inside", "inside");
    fs::create_symlink(elsewhere.path() / "target", layout().active() / (stem + ".sql.gz.sha256"));
    ASSERT_EQ(::mkfifo((layout().active() / (stem + ".sql.gz.manifest.json")).c_str(), 0600), 0);
    fs::create_symlink(elsewhere.path() / "target", layout().incoming() / (stem + ".sql.gz.part"));
    fs::create_directory(layout().incoming() / "seal-probe.1");
    put(layout().incoming() / "seal-probe.", "");
    put(layout().incoming() / "seal-probe.1x", "");
    put(layout().incoming() / "x.part", "");
    ASSERT_EQ(::mkfifo((layout().incoming() / "20260118T120001Z.sql.gz.part").c_str(), 0600), 0);

    const auto in_active = names_in(layout().active());
    const auto in_incoming = names_in(layout().incoming());
    std::set<std::string> expected;
    for (const auto& name : in_active) {
        expected.insert("active/" + name);
    }
    for (const auto& name : in_incoming) {
        expected.insert("incoming/" + name);
    }
    const SweepReport report = store_->sweep({});
    EXPECT_EQ(set_of(report.foreign), expected);
    EXPECT_TRUE(report.removed.empty());
    EXPECT_TRUE(report.completed.empty());
    EXPECT_EQ(names_in(layout().active()), in_active);
    EXPECT_EQ(names_in(layout().incoming()), in_incoming);
    EXPECT_EQ(content_of(elsewhere.path() / "target"), "target");
    EXPECT_EQ(mode_of(elsewhere.path() / "target"), 0600U);
}

// Somebody else's flag on a leftover is no reason to take no backups any more.
TEST_F(SweepTest, WhatCannotBeRemovedIsReported) {
    if (!can_set_flags()) {
        GTEST_SKIP() << "needs CAP_LINUX_IMMUTABLE and a file system with inode flags";
    }
    const std::string name = std::string(kStem) + ".sql.gz.part";
    put(layout().incoming() / name, "12345");
    set_inode_flag(open_file(layout().incoming() / name, O_RDONLY), InodeFlag::immutable, true);
    EXPECT_TRUE(succeeded(in_child([&] {
        drop_flag_capability();
        const SweepReport report = open_local_store(root())->sweep({});
        EXPECT_EQ(report.foreign, std::vector<std::string>{"incoming/" + name});
        EXPECT_TRUE(report.removed.empty());
    })));
    EXPECT_EQ(removed_names(store_->sweep({})), std::set<std::string>{"incoming/" + name});
}

// A process that publishes one artifact after another is killed 60 times. Whatever the moment was:
// after the sweep, everything below active/ is a whole, sealed backup.
TEST_F(SweepTest, KilledAnywhere) {
    std::vector<std::string> known;
    int completed = 0;
    for (int round = 0; round < 60; ++round) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            for (int i = 0; i < 10'000; ++i) {
                publish_content(*store_,
                                run_id_at(*parse_run_id("20260101T000000Z") +
                                          std::chrono::seconds(round * 10'000 + i)),
                                kContent);
            }
            ::_exit(0);
        }
        // Not before so many more files are there; the exact moment is left to chance.
        const std::size_t enough = 3 * known.size() + static_cast<std::size_t>(round % 7);
        while (names_in(layout().active()).size() < enough) {
            std::this_thread::sleep_for(std::chrono::microseconds(100 + 37 * round));
        }
        ::kill(pid, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        ASSERT_TRUE(WIFSIGNALED(status));

        const SweepReport report = store_->sweep(known);
        EXPECT_TRUE(report.foreign.empty()) << report.foreign.front();
        completed += static_cast<int>(report.completed.size());
        EXPECT_TRUE(names_in(layout().incoming()).empty());
        known = store_->list();
        std::set<std::string> expected;
        for (const auto& stem : known) {
            for (const auto& file : files(stem)) {
                expected.insert(file.filename());
            }
            EXPECT_EQ(store_->seal_of(stem), store_->seal_level()) << stem;
            EXPECT_EQ(sha256_hex(content_of(layout().artifact(stem))),
                      store_->read_manifest(stem).sha256);
        }
        EXPECT_EQ(names_in(layout().active()), expected);
        EXPECT_TRUE(store_->sweep(known).empty());
    }
    EXPECT_GT(completed, 0);
}

}  // namespace
}  // namespace immbackup::test
