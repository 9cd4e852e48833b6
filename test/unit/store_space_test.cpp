// A disk that is full, or read-only, at every step. Each test mounts a small file system in a mount
// namespace of its own, which goes with its process.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cstring>

#include "io/process.h"
#include "store/audit_log.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

constexpr int kNoMount = 77;

class SpaceTest : public testing::Test {
  protected:
    fs::path root() const { return directory_.path() / "small"; }
    Layout layout() const { return Layout{root()}; }

    static bool enter_namespace() {
        return ::unshare(CLONE_NEWNS) == 0 &&
               ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    }
    bool mount_tmpfs(const char* options) const {
        return enter_namespace() && ::mount("tmpfs", root().c_str(), "tmpfs", 0, options) == 0 &&
               ::chmod(root().c_str(), 0700) == 0;
    }
    // ext4, where the reserve of the audit log and the flags are real.
    bool mount_ext4() const {
        const fs::path image = directory_.path() / "image";
        put(image, "");
        fs::resize_file(image, 16 * 1024 * 1024);
        return run("/sbin/mkfs.ext4", {"-q", "-m", "0", image}) && enter_namespace() &&
               run("/bin/mount", {"-o", "loop", image, root()}) &&
               ::chmod(root().c_str(), 0700) == 0;
    }
    static bool run(const char* program, std::vector<std::string> arguments) {
        SpawnOptions options;
        options.program = program;
        options.arguments = std::move(arguments);
        try {
            return run_program(options, CancelToken()).status.success();
        } catch (const Error&) {
            return false;
        }
    }
    // Runs `act` with the file system mounted; skips where nothing may be mounted.
    void with(const std::function<bool()>& mounted, const std::function<void()>& act) const {
        fs::create_directory(root());
        const int status = in_child([&] {
            if (!mounted()) {
                ::_exit(kNoMount);
            }
            act();
        });
        if (WIFEXITED(status) && WEXITSTATUS(status) == kNoMount) {
            GTEST_SKIP() << "needs root, and the right to mount";
        }
        EXPECT_TRUE(succeeded(status));
    }
    // Fills the file system, then leaves `left` bytes of it.
    void fill(std::uint64_t left) const {
        const Fd fd = open_file(root() / "filler", O_WRONLY | O_CREAT | O_TRUNC);
        const std::string block(4096, 'f');
        std::uint64_t size = 0;
        while (::write(fd.get(), block.data(), block.size()) ==
               static_cast<ssize_t>(block.size())) {
            size += block.size();
        }
        ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size - std::min(size, left))), 0);
    }

  private:
    TemporaryDirectory directory_;
};

TEST_F(SpaceTest, FullWhileStaging) {
    with([&] { return mount_tmpfs("size=1m"); },
         [&] {
             const auto store = open_local_store(root());
             const std::string content(2 * 1024 * 1024, 'x');
             EXPECT_TRUE(throws_error(ErrorCode::no_space, "write to file",
                                      [&] { stage_content(*store, kStem, content); }));
             EXPECT_TRUE(names_in(layout().incoming()).empty());
             EXPECT_TRUE(names_in(layout().active()).empty());
             publish_content(*store, kStem, content.substr(0, 1000));  // the space is free again
         });
}

// The file system has room for so many pages more: for none of the small files, for a part of one,
// for one of them.
TEST_F(SpaceTest, FullWhilePublishing) {
    with([&] { return mount_tmpfs("size=2m"); },
         [&] {
             const auto store = open_local_store(root());
             int failed = 0;
             for (std::uint64_t pages = 0; pages < 40; ++pages) {
                 auto staged = stage_content(*store, kStem, std::string(10'000, 'x'));
                 Manifest manifest =
                     manifest_of(kStem, *staged, seal_level_name(store->seal_level()));
                 for (int i = 0; i < 500; ++i) {  // a manifest of several pages
                     manifest.tables.push_back({"public.table_" + std::to_string(i), 1, 2});
                 }
                 fill(pages * 4096);
                 try {
                     store->publish(std::move(staged), manifest);
                     break;
                 } catch (const Error& error) {
                     EXPECT_EQ(error.code(), ErrorCode::no_space) << error.message();
                     EXPECT_TRUE(names_in(layout().active()).empty());
                     EXPECT_TRUE(names_in(layout().incoming()).empty());
                     ++failed;
                 }
                 fs::remove(root() / "filler");
             }
             EXPECT_GT(failed, 2);
             EXPECT_EQ(store->list(), std::vector<std::string>{kStem});
             EXPECT_TRUE(store->sweep({kStem}).empty());
         });
}

TEST_F(SpaceTest, TheReserveTakesRecordsOfAFullDisk) {
    with([&] { return mount_ext4(); },
         [&] {
             open_local_store(root());
             AuditLog audit(layout(), "job");
             EXPECT_TRUE(audit.append_only());
             fill(0);
             ASSERT_TRUE(throws_error(ErrorCode::no_space, "", [&] {
                 create_durable(root() / "other", std::string(100'000, 'x'), 0600);
             }));
             const std::string body = "{\"a\":\"" + std::string(1000, 'a') + "\"}";
             for (int i = 0; i < 100; ++i) {
                 audit.append("note", body);
             }
             // The reserve has an end; the log is told so, and keeps every record that it took.
             int more = 0;
             EXPECT_TRUE(throws_error(ErrorCode::no_space, "audit log", [&] {
                 for (; more < 1000; ++more) {
                     audit.append("note", body);
                 }
             }));
             EXPECT_TRUE(verify_audit_log(layout()).sound());
             fs::remove(root() / "filler");
             audit.append("note", "{}");
             const ChainReport report = verify_audit_log(layout());
             EXPECT_TRUE(report.sound()) << report.problem;
             EXPECT_GE(report.records, 102U + static_cast<std::uint64_t>(more));
         });
}

// As above, in every position within a page: a write that was cut by a full disk is a torn line.
TEST_F(SpaceTest, RecordCutByAFullDisk) {
    with([&] { return mount_tmpfs("size=1m"); },
         [&] {
             open_local_store(root());
             AuditLog audit(layout(), "job");
             std::uint64_t torn = 0;
             for (std::size_t round = 0; round < 12; ++round) {
                 fill(0);
                 // tmpfs has no page left, nor has the reserve after so many records.
                 EXPECT_TRUE(throws_error(ErrorCode::no_space, "audit log", [&] {
                     while (true) {
                         audit.append("note",
                                      "{\"a\":\"" + std::string(700 + 50 * round, 'a') + "\"}");
                     }
                 }));
                 torn += verify_audit_log(layout()).torn_tail ? 1 : 0;
                 fs::remove(root() / "filler");
                 const std::uint64_t before = verify_audit_log(layout()).records;
                 audit.append("note", "{}");
                 const ChainReport report = verify_audit_log(layout());
                 ASSERT_TRUE(report.sound()) << report.problem;
                 EXPECT_EQ(report.torn_lines, torn);
                 EXPECT_GE(report.records, before + 1);
                 EXPECT_EQ(AuditLog(layout(), "cli").catalog().head_seq, report.head_seq);
             }
             EXPECT_GT(torn, 0U);
         });
}

TEST_F(SpaceTest, ReadOnly) {
    with([&] { return mount_tmpfs("size=1m"); },
         [&] {
             const auto store = open_local_store(root());
             { const AuditLog audit(layout(), "job"); }
             publish_content(*store, kStem, "content");
             ASSERT_EQ(::mount("none", root().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0)
                 << std::strerror(errno);
             EXPECT_TRUE(throws_error(ErrorCode::permission, "Read-only file system", [&] {
                 store->stage({"20260118T120001Z", DumpFormat::gzip, {}, {}});
             }));
             EXPECT_TRUE(throws_error(ErrorCode::config, "Read-only file system",
                                      [&] { open_local_store(root()); }));
             EXPECT_TRUE(
                 throws_error(ErrorCode::audit, "", [&] { const AuditLog log(layout(), "cli"); }));
             // What is there can be read.
             const auto reading = open_store_for_reading(root());
             EXPECT_EQ(reading->list(), std::vector<std::string>{kStem});
             EXPECT_EQ(reading->read_manifest(kStem).size, 7U);
             EXPECT_EQ(read_catalog(layout()).head_seq, 1U);
         });
}

}  // namespace
}  // namespace immbackup::test
