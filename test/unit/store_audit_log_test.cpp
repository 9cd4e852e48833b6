// Writing the audit log: the chain over processes and threads, crashes, torn lines, hostile files.
#include "store/audit_log.h"

#include <gtest/gtest.h>

#include <sys/file.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "core/digest.h"
#include "core/events.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

class AuditLogTest : public testing::Test {
  protected:
    AuditLogTest() { fs::create_directory(layout().logs()); }
    Layout layout() const { return Layout{directory_.path()}; }
    fs::path log() const { return layout().audit_log(); }
    AuditLog open() const { return AuditLog(layout(), "job"); }
    ChainReport verify() const { return verify_audit_log(layout()); }
    // Takes the append-only flag off, so that the test can do damage.
    void loosen() const { clear_flags(log()); }
    void set_content(std::string_view content) const {
        loosen();
        put(log(), content);
    }
    std::vector<std::string> events() const {
        std::vector<std::string> out;
        read_audit(layout(), 0,
                   [&out](const AuditRecord* record, std::uint64_t, const std::string&) {
                       out.push_back(record != nullptr ? record->event : "(bad)");
                       return true;
                   });
        return out;
    }

    TemporaryDirectory directory_;
};

TEST_F(AuditLogTest, FirstRecordMakesTheInstance) {
    AuditLog audit = open();
    const Catalog& catalog = audit.catalog();
    EXPECT_EQ(catalog.head_seq, 1U);
    EXPECT_EQ(catalog.instance.size(), 36U);
    EXPECT_EQ(events(), std::vector<std::string>{"instance_created"});
    EXPECT_EQ(mode_of(log()), 0600U);
    EXPECT_EQ(audit.append_only(), can_set_flags());
    const std::string instance = catalog.instance;
    AuditLog again = open();
    EXPECT_EQ(again.catalog().instance, instance);
    EXPECT_EQ(again.catalog().head_seq, 1U);
}

TEST_F(AuditLogTest, AppendsAChain) {
    AuditLog audit = open();
    std::string previous = audit.catalog().head_hash;
    for (std::uint64_t seq = 2; seq <= 20; ++seq) {
        const AuditRecord record = audit.append("note", R"({"n":1})");
        EXPECT_EQ(record.seq, seq);
        EXPECT_EQ(record.prev, previous);
        EXPECT_EQ(record.origin, "job");
        EXPECT_EQ(audit.catalog().head_hash, record.hash);
        EXPECT_EQ(audit.catalog().offset, fs::file_size(log()));
        previous = record.hash;
    }
    const ChainReport report = verify();
    EXPECT_TRUE(report.sound());
    EXPECT_EQ(report.records, 20U);
    EXPECT_EQ(report.head_hash, previous);
}

TEST_F(AuditLogTest, RefusesWhatIsNoRecord) {
    AuditLog audit = open();
    for (const char* body : {"", "[]", "{\n}", "{\"a\":\"\xc3\xa4\"}", "text"}) {
        EXPECT_TRUE(throws_error(ErrorCode::internal, "", [&] { audit.append("note", body); }));
    }
    EXPECT_TRUE(throws_error(ErrorCode::internal, "", [&] { audit.append("Bad Event", "{}"); }));
    const std::string huge = "{\"a\":\"" + std::string(kMaxAuditLine, 'a') + "\"}";
    EXPECT_TRUE(throws_error(ErrorCode::internal, "", [&] { audit.append("note", huge); }));
    EXPECT_EQ(audit.append("note", "{}").seq, 2U);
    EXPECT_TRUE(verify().sound());
}

TEST_F(AuditLogTest, SeesWhatOthersAppend) {
    AuditLog one = open();
    AuditLog other(layout(), "cli");
    one.append("note", "{}");
    EXPECT_EQ(other.append("note", "{}").seq, 3U);
    EXPECT_EQ(one.catalog().head_seq, 2U);
    one.refresh();
    EXPECT_EQ(one.catalog().head_seq, 3U);
    EXPECT_EQ(one.catalog().head_hash, other.catalog().head_hash);
}

TEST_F(AuditLogTest, ProcessesAndThreadsAppendOneChain) {
    constexpr int kEach = 500;
    const auto child = [&](const char* origin) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            int code = 1;
            try {
                AuditLog audit(layout(), origin);  // who comes first makes the file
                for (int i = 0; i < kEach; ++i) {
                    audit.append("note", R"({"n":1})");
                }
                code = 0;
            } catch (const Error& error) {
                std::fprintf(stderr, "%s\n", error.what());
            }
            ::_exit(code);
        }
        return pid;
    };
    const std::vector<pid_t> children = {child("one"), child("other")};
    for (const pid_t pid : children) {
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        EXPECT_TRUE(succeeded(status));
    }
    AuditLog audit = open();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&audit] {
            for (int i = 0; i < 50; ++i) {
                audit.append("note", "{}");
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    const ChainReport report = verify();
    EXPECT_TRUE(report.sound()) << report.problem;
    EXPECT_EQ(report.records, 1U + 2 * kEach + 200U);
    EXPECT_EQ(report.torn_lines, 0U);
}

// Readers without a lock never see a break while others write long lines.
TEST_F(AuditLogTest, ReadersBesideAWriter) {
    AuditLog audit = open();
    const std::string body = "{\"a\":\"" + std::string(100'000, 'a') + "\"}";
    const pid_t pid = ::fork();
    if (pid == 0) {
        for (int i = 0; i < 200; ++i) {
            audit.append("note", body);
        }
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
        const ChainReport report = verify();
        EXPECT_TRUE(report.sound()) << report.problem;
        const Catalog catalog = read_catalog(layout());
        EXPECT_EQ(catalog.bad_lines, 0U);
        EXPECT_LE(catalog.head_seq, 201U);
    }
    EXPECT_TRUE(succeeded(status));
    EXPECT_EQ(verify().records, 201U);
    EXPECT_FALSE(verify().torn_tail);
}

TEST_F(AuditLogTest, KilledWriters) {
    open();
    std::uint64_t acknowledged = 1;
    for (int round = 0; round < 40; ++round) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t pid = ::fork();
        if (pid == 0) {
            AuditLog audit = open();
            while (true) {
                const std::uint64_t seq = audit.append("note", R"({"n":1})").seq;
                [[maybe_unused]] const auto sent = ::write(ends[1], &seq, sizeof seq);
            }
        }
        ::close(ends[1]);
        const Fd answers(ends[0]);
        std::uint64_t seq = 0;
        for (int i = 0; i <= round % 5; ++i) {
            ASSERT_EQ(::read(answers.get(), &seq, sizeof seq), static_cast<ssize_t>(sizeof seq));
        }
        ::kill(pid, SIGKILL);
        while (::read(answers.get(), &acknowledged, sizeof acknowledged) > 0) {
        }
        acknowledged = std::max(acknowledged, seq);
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        const ChainReport report = verify();
        EXPECT_TRUE(report.sound()) << report.problem;
        EXPECT_GE(report.head_seq, acknowledged);
    }
    EXPECT_TRUE(verify().sound());
}

// A write may have been cut off at any length, also the write that explains another cut.
TEST_F(AuditLogTest, TornAtEveryLength) {
    std::string whole;
    std::string line;
    {
        AuditLog audit = open();
        whole = content_of(log());
        audit.append("note", R"({"text":"a record that is cut off somewhere"})");
        line = content_of(log()).substr(whole.size());
    }
    for (std::size_t length = 1; length < line.size(); ++length) {
        SCOPED_TRACE(length);
        set_content(whole + line.substr(0, length));
        const ChainReport before = verify();
        EXPECT_TRUE(before.torn_tail);
        EXPECT_TRUE(before.sound());
        EXPECT_EQ(read_catalog(layout()).head_seq, 1U);
        {
            AuditLog audit = open();
            EXPECT_EQ(content_of(log()).substr(0, whole.size() + length),
                      whole + line.substr(0, length));  // it stays
            audit.append("note", "{}");
        }
        const ChainReport report = verify();
        EXPECT_TRUE(report.sound()) << report.problem;
        EXPECT_FALSE(report.torn_tail);
        // Without its newline only, it is whole; with anything less it is explained.
        const bool complete = length + 1 == line.size();
        EXPECT_EQ(report.torn_lines, complete ? 0U : 1U);
        EXPECT_EQ(report.records, 3U);
        EXPECT_EQ(events().back(), "note");
    }
}

TEST_F(AuditLogTest, TornExplanationAtEveryLength) {
    std::string torn;
    std::string explanation;
    {
        AuditLog audit = open();
        loosen();
        torn = content_of(log()) + R"({"seq":2,"time":"20)";
    }
    set_content(torn);
    open();
    explanation = content_of(log()).substr(torn.size());
    ASSERT_EQ(explanation.front(), '\n');
    for (std::size_t length = 1; length <= explanation.size(); ++length) {
        SCOPED_TRACE(length);
        set_content(torn + explanation.substr(0, length));
        AuditLog audit = open();
        audit.append("note", "{}");
        const ChainReport report = verify();
        EXPECT_TRUE(report.sound()) << report.problem << "\n" << content_of(log());
        EXPECT_EQ(report.torn_lines, 1U);
        EXPECT_EQ(report.records, 3U);
        // A second look at the same log finds nothing to explain.
        const auto size = fs::file_size(log());
        open();
        EXPECT_EQ(fs::file_size(log()), size);
    }
}

TEST_F(AuditLogTest, TornFirstRecord) {
    std::string line;
    {
        open();
        line = content_of(log());
    }
    for (const std::size_t length : {std::size_t{1}, line.size() / 2, line.size() - 1}) {
        set_content(line.substr(0, length));
        AuditLog audit = open();
        EXPECT_EQ(audit.catalog().instance.size(), 36U);
        EXPECT_TRUE(verify().sound()) << verify().problem;
    }
}

TEST_F(AuditLogTest, TwoWritersMeetAMissingNewline) {
    AuditLog one = open();
    AuditLog other = open();
    one.append("note", "{}");
    loosen();
    fs::resize_file(log(), fs::file_size(log()) - 1);
    // The process that saw the whole line cannot trust the log any more; a fresh one repairs it.
    EXPECT_TRUE(
        throws_error(ErrorCode::audit, "became shorter", [&] { one.append("note", "{}"); }));
    EXPECT_EQ(other.append("note", "{}").seq, 3U);
    AuditLog fresh = open();
    EXPECT_EQ(fresh.append("note", "{}").seq, 4U);
    EXPECT_EQ(other.append("note", "{}").seq, 5U);
    EXPECT_TRUE(verify().sound()) << verify().problem;
    EXPECT_EQ(verify().torn_lines, 0U);
}

// What somebody changed must not pass for torn, however the chain goes on.
TEST_F(AuditLogTest, ChangedRecordsStayBroken) {
    std::string whole;
    {
        AuditLog audit = open();
        for (int i = 0; i < 3; ++i) {
            audit.append("note", R"({"n":1})");
        }
        whole = content_of(log());
    }
    const auto last = whole.rfind("\n{") + 1;
    for (const std::size_t at :
         {std::size_t{5}, whole.size() / 2, last + 8, whole.size() - 100, whole.size() - 20}) {
        SCOPED_TRACE(at);
        std::string changed = whole;
        changed[at] = changed[at] == '1' ? '2' : '1';
        set_content(changed);
        EXPECT_FALSE(verify().sound());
        {
            AuditLog audit = open();
            audit.append("note", "{}");
        }
        EXPECT_FALSE(verify().sound());
        EXPECT_EQ(verify().torn_lines, 0U);
        // Nor does a torn line after it cover it up.
        loosen();
        std::ofstream(log(), std::ios::app) << R"({"seq":)";
        open();
        EXPECT_FALSE(verify().sound());
    }
}

TEST_F(AuditLogTest, ForeignContentBeforeTheFirstRecord) {
    for (const std::string& content :
         {std::string("hello\n"), std::string("\n"), std::string(1000, '\0'),
          std::string(2 * kMaxAuditLine, 'x') + "\n", std::string("\xff\xfe\n\n\n")}) {
        set_content(content);
        AuditLog audit = open();
        EXPECT_GE(audit.append("note", "{}").seq, 2U);
        EXPECT_EQ(content_of(log()).substr(0, content.size()), content);
        EXPECT_EQ(open().append("note", "{}").seq, audit.catalog().head_seq + 1);
    }
}

TEST_F(AuditLogTest, UnusableFiles) {
    const TemporaryDirectory elsewhere;
    const fs::path target = elsewhere.path() / "target";
    const struct {
        const char* what;
        std::function<void()> make;
        const char* message;
    } cases[] = {
        {"directory", [&] { fs::create_directory(log()); }, "cannot be used"},
        {"FIFO", [&] { ASSERT_EQ(::mkfifo(log().c_str(), 0600), 0); }, "not a regular file"},
        {"symbolic link", [&] { fs::create_symlink(target, log()); }, "symbolic link"},
        {"hard link", [&] { fs::create_hard_link(target, log()); }, "other names"},
    };
    put(target, "");
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        each.make();
        EXPECT_TRUE(throws_error(ErrorCode::audit, each.message, [&] { open(); }));
        fs::remove(log());
        EXPECT_EQ(content_of(target), "");
    }
    fs::remove(layout().logs());
    EXPECT_TRUE(throws_error(ErrorCode::audit, "cannot be used", [&] { open(); }));
}

TEST_F(AuditLogTest, SomebodyElsesLog) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root to be two users";
    }
    constexpr uid_t kOwner = 65534;
    open();
    loosen();
    for (const auto& path : {directory_.path(), layout().logs(), log()}) {
        ASSERT_EQ(::chown(path.c_str(), kOwner, kOwner), 0);
    }
    // Root may append to the owner's log, and leaves a checkpoint that the owner can read.
    AuditLog audit = open();
    audit.append("note", "{}");
    audit.save_checkpoint();
    loosen();
    struct stat status {};
    ASSERT_EQ(::stat(layout().checkpoint().c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, kOwner);
    EXPECT_TRUE(succeeded(in_child([&] {
        ASSERT_EQ(::setuid(kOwner), 0);
        EXPECT_EQ(open().append("note", "{}").seq, 3U);
    })));
    ASSERT_EQ(::chown(log().c_str(), 0, 0), 0);
    ::chmod(log().c_str(), 0666);
    EXPECT_TRUE(succeeded(in_child([&] {
        ASSERT_EQ(::setuid(kOwner), 0);
        EXPECT_TRUE(throws_error(ErrorCode::audit, "belongs to another user", [&] { open(); }));
    })));
}

TEST_F(AuditLogTest, ChangedUnderItsWriter) {
    const struct {
        const char* what;
        std::function<void()> change;
        const char* message;
    } cases[] = {
        {"moved", [&] { fs::rename(log(), log().string() + ".old"); }, "moved, removed"},
        {"removed", [&] { fs::remove(log()); }, "moved, removed"},
        {"replaced",
         [&] {
             fs::rename(log(), log().string() + ".old");
             fs::copy_file(log().string() + ".old", log());
         },
         "moved, removed"},
        {"linked", [&] { fs::create_hard_link(log(), log().string() + ".old"); }, "other names"},
        {"cut", [&] { fs::resize_file(log(), 10); }, "became shorter"},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        AuditLog audit = open();
        audit.append("note", "{}");
        loosen();
        each.change();
        EXPECT_TRUE(
            throws_error(ErrorCode::audit, each.message, [&] { audit.append("note", "{}"); }));
        EXPECT_TRUE(throws_error(ErrorCode::audit, each.message, [&] { audit.refresh(); }));
        fs::remove(log());
        fs::remove(log().string() + ".old");
    }
}

TEST_F(AuditLogTest, AppendOnlyStopsEvenRoot) {
    if (!can_set_flags()) {
        GTEST_SKIP() << "needs CAP_LINUX_IMMUTABLE and a file system with inode flags";
    }
    AuditLog audit = open();
    EXPECT_TRUE(audit.append_only());
    EXPECT_EQ(::unlink(log().c_str()), -1);
    EXPECT_EQ(::rename(log().c_str(), (log().string() + ".old").c_str()), -1);
    EXPECT_EQ(::truncate(log().c_str(), 0), -1);
    EXPECT_EQ(::open(log().c_str(), O_WRONLY | O_CLOEXEC), -1);
    EXPECT_TRUE(succeeded(in_child([&] {  // whoever cannot set the flag finds it set
        drop_flag_capability();
        AuditLog other = open();
        EXPECT_TRUE(other.append_only());
        other.append("note", "{}");
    })));
    EXPECT_TRUE(verify().sound());
}

TEST_F(AuditLogTest, LockedBySomebodyElse) {
    AuditLog audit = open();
    const std::uint64_t before = audit.catalog().head_seq;
    const Fd other = open_file(log(), O_RDONLY);
    ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
    std::atomic<bool> released{false};
    std::thread holder([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        released = true;
        ::flock(other.get(), LOCK_UN);
    });
    EXPECT_EQ(audit.append("note", "{}").seq, before + 1);
    EXPECT_TRUE(released);
    holder.join();
}

}  // namespace
}  // namespace immbackup::test
