// The pipeline from a program's output to the sink, with shell scripts in pg_dump's place.
#include "dump/pipeline.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "io/clock.h"

namespace immbackup {
namespace {

const std::string kEnd = "printf -- '--\\n-- PostgreSQL database dump complete\\n--\\n\\n'\n";

// Without end, and hardly compressible.
const std::string kNoise = "od -An -v -tx1 /dev/urandom | sed 's/^/-- /'";

class RecordedProgress : public Progress {
  public:
    void update(const ProgressState& state) override {
        const std::lock_guard lock(mutex_);
        last_ = state;
        if (!state.table.empty()) {
            table_ = state.table;
        }
    }
    void dump_process(int group) override {
        const std::lock_guard lock(mutex_);
        groups_.push_back(group);
    }
    void warning(std::string_view) override {}

    ProgressState last() const {
        const std::lock_guard lock(mutex_);
        return last_;
    }
    std::string table() const {
        const std::lock_guard lock(mutex_);
        return table_;
    }
    std::vector<int> groups() const {
        const std::lock_guard lock(mutex_);
        return groups_;
    }

  private:
    mutable std::mutex mutex_;
    ProgressState last_;
    std::string table_;
    std::vector<int> groups_;
};

class Pipeline : public testing::Test {
  protected:
    DumpJob job(const std::string& script) {
        DumpJob job;
        job.command.program = "/bin/sh";
        job.command.arguments = {"-c", script};
        job.program = "pg_dump";
        job.progress.phase = "dumping";
        job.progress.database = "shop";
        job.sink = [this](std::span<const std::byte> bytes) {
            gzip_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        };
        return job;
    }
    std::string content() const {
        std::string text;
        const auto decompressor = make_gzip_decompressor([&](std::span<const std::byte> bytes) {
            text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        });
        decompressor->feed(std::as_bytes(std::span(gzip_)));
        decompressor->finish();
        return text;
    }
    Error failure(const DumpJob& dump) {
        try {
            run_dump(dump, cancel_, progress_);
        } catch (const Error& error) {
            return error;
        }
        return {ErrorCode::ok, "no error"};
    }
    static bool alive(int group) {
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            std::ifstream file(entry.path() / "stat");
            std::string line;
            std::getline(file, line);
            const std::size_t name_end = line.rfind(')');
            if (name_end == std::string::npos) {
                continue;
            }
            std::istringstream fields(line.substr(name_end + 1));
            char state = 0;
            int parent = 0;
            int its_group = 0;
            fields >> state >> parent >> its_group;
            if (its_group == group && state != 'Z' && state != 'X') {
                return true;
            }
        }
        return false;
    }
    // The program and all that it started are gone.
    void expect_nothing_left() {
        const std::vector<int> groups = progress_.groups();
        ASSERT_EQ(groups.size(), 2u);
        EXPECT_EQ(groups[1], 0);
        // Killed orphans stay in the process table until init has reaped them.
        for (int i = 0; i < 1000 && alive(groups[0]); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        EXPECT_FALSE(alive(groups[0]));
    }

    CancelToken cancel_;
    RecordedProgress progress_;
    std::string gzip_;
};

TEST_F(Pipeline, CompleteDump) {
    const Time before = now();
    const DumpOutcome outcome =
        run_dump(job("printf 'COPY public.t (a) FROM stdin;\\n1\\n2\\n\\\\.\\n'\n" + kEnd), cancel_,
                 progress_);
    EXPECT_EQ(content(),
              "COPY public.t (a) FROM stdin;\n1\n2\n\\.\n"
              "--\n-- PostgreSQL database dump complete\n--\n\n");
    ASSERT_EQ(outcome.scan.tables.size(), 1u);
    EXPECT_EQ(outcome.scan.rows, 2u);
    EXPECT_EQ(outcome.scan.bytes, content().size());
    EXPECT_TRUE(outcome.warnings.empty());
    EXPECT_FALSE(outcome.compressor.empty());
    EXPECT_LE(before, outcome.spawned);
    EXPECT_LE(outcome.spawned, outcome.first_byte);
    EXPECT_LE(outcome.first_byte, outcome.ended);
    EXPECT_EQ(progress_.last().bytes_in, content().size());
    EXPECT_EQ(progress_.last().bytes_out, gzip_.size());
    EXPECT_EQ(progress_.last().database, "shop");
    expect_nothing_left();
}

TEST_F(Pipeline, GlobalsNeedTheirOwnEnd) {
    DumpJob dump = job(kEnd);
    dump.kind = DumpKind::globals;
    EXPECT_EQ(failure(dump).code(), ErrorCode::incomplete);
    gzip_.clear();
    dump = job("echo '-- PostgreSQL database cluster dump complete'");
    dump.kind = DumpKind::globals;
    EXPECT_EQ(failure(dump).code(), ErrorCode::ok);
}

TEST_F(Pipeline, WarningsOfAGoodDumpAreKept) {
    const DumpOutcome outcome =
        run_dump(job("echo 'pg_dump: warning: one' >&2; echo >&2; printf two >&2\n" + kEnd),
                 cancel_, progress_);
    EXPECT_EQ(outcome.warnings, (std::vector<std::string>{"pg_dump: warning: one", "two"}));
}

TEST_F(Pipeline, FloodOfMessagesIsBounded) {
    const DumpOutcome outcome = run_dump(
        job("i=0; while [ $i -lt 20000 ]; do echo \"pg_dump: warning: number $i is rather long\"; "
            "i=$((i+1)); done >&2\nprintf '%5000s\\n' x >&2\n" +
            kEnd),
        cancel_, progress_);
    ASSERT_EQ(outcome.warnings.size(), 201u);
    EXPECT_EQ(outcome.warnings.front(), "pg_dump: warning: number 0 is rather long");
    EXPECT_EQ(outcome.warnings.back(), "and 19801 more lines");
}

// Holds up the reader at the first byte, until the program is dead: all that it said is in the
// pipe.
class HeldUp : public RecordedProgress {
  public:
    void update(const ProgressState& state) override {
        RecordedProgress::update(state);
        // Not for ever: a smaller pipe may be all that this user gets.
        siginfo_t end{};
        for (int i = 0; i < 1000 && groups().size() == 1 && end.si_pid == 0; ++i) {
            ::waitid(P_PID, static_cast<id_t>(groups()[0]), &end, WEXITED | WNOWAIT | WNOHANG);
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
};

TEST_F(Pipeline, MessagesBeforeASuddenEndAreAllRead) {
    HeldUp progress;
    // More than is read at once, and less than a pipe of the usual user holds.
    const std::string script =
        kEnd + "yes 'pg_dump: detail: rather long, as they are' | head -n 15000 >&2\n" +
        "echo 'pg_dump: error: the last line says why' >&2; exit 1";
    try {
        run_dump(job(script), cancel_, progress);
        FAIL() << "it failed";
    } catch (const Error& error) {
        EXPECT_TRUE(error.detail().ends_with("the last line says why")) << error.detail();
    }
}

TEST_F(Pipeline, ExitCode) {
    const Error error =
        failure(job(kEnd + "echo 'pg_dump: error: permission denied for table t' >&2; exit 3"));
    EXPECT_EQ(error.code(), ErrorCode::dump);
    EXPECT_EQ(error.message(), "pg_dump of database \"shop\" failed with exit code 3");
    EXPECT_EQ(error.detail(), "pg_dump: error: permission denied for table t");
    EXPECT_NE(error.hint().find("pg_read_all_data"), std::string::npos);
    expect_nothing_left();
}

TEST_F(Pipeline, DetailIsTheTail) {
    const Error error = failure(
        job("i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done >&2; exit 1"));
    EXPECT_LE(error.detail().size(), 8192u);
    EXPECT_TRUE(error.detail().starts_with("line ")) << error.detail().substr(0, 20);
    EXPECT_TRUE(error.detail().ends_with("line 1999"));
}

TEST_F(Pipeline, DeathBySignal) {
    const Error error = failure(job(kEnd + "kill -9 $$"));
    EXPECT_EQ(error.code(), ErrorCode::dump);
    EXPECT_EQ(error.message(), "pg_dump of database \"shop\" failed with signal 9 (Killed)");
    EXPECT_EQ(error.detail(), "pg_dump wrote no message.");
    EXPECT_FALSE(error.hint().empty());
}

TEST_F(Pipeline, NoClosingLine) {
    const Error error = failure(job("printf 'COPY t (a) FROM stdin;\\n1\\n'"));
    EXPECT_EQ(error.code(), ErrorCode::incomplete);
    EXPECT_EQ(error.detail(), "The dump ends inside the data of table t.");
}

TEST_F(Pipeline, NothingAtAll) {
    EXPECT_EQ(failure(job("exit 0")).code(), ErrorCode::incomplete);
}

TEST_F(Pipeline, NoSuchProgram) {
    DumpJob dump = job("");
    dump.command.program = "/nonexistent/pg_dump";
    EXPECT_EQ(failure(dump).code(), ErrorCode::not_found);
    EXPECT_TRUE(progress_.groups().empty());
}

TEST_F(Pipeline, ServerShutsDown) {
    const Error error = failure(
        job("echo 'pg_dump: error: connection failed: FATAL:  the database system is shutting "
            "down' >&2; exit 1"));
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
    EXPECT_NE(error.detail().find("shutting down"), std::string::npos);
}

// The session was ended; the server is asked whether it is still there: here nothing is.
TEST_F(Pipeline, ServerIsGone) {
    DumpJob dump =
        job("echo 'FATAL:  terminating connection due to administrator command' >&2; exit 1");
    dump.command.environment_set["PGHOST"] = "/nonexistent";
    EXPECT_EQ(failure(dump).code(), ErrorCode::cancelled);
}

TEST_F(Pipeline, StallAfterTheFirstByte) {
    DumpJob dump = job("echo 'SELECT 1;'; echo 'waiting for a lock' >&2; sleep 1000");
    dump.stall_timeout = 1;
    const Error error = failure(dump);
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    EXPECT_EQ(error.message(), "pg_dump of database \"shop\" wrote nothing for 1 seconds");
    EXPECT_EQ(error.detail(), "waiting for a lock");
    expect_nothing_left();
}

// Before the first byte the limit is ten times as long: two seconds of silence pass.
TEST_F(Pipeline, SlowStartIsNoStall) {
    DumpJob dump = job("sleep 2\n" + kEnd);
    dump.stall_timeout = 1;
    EXPECT_EQ(failure(dump).code(), ErrorCode::ok);
}

// Output closed, but the program does not end.
TEST_F(Pipeline, StallBeforeTheExit) {
    DumpJob dump = job(kEnd + "exec >&- 2>&-; sleep 1000");
    dump.stall_timeout = 1;
    EXPECT_EQ(failure(dump).code(), ErrorCode::timeout);
    expect_nothing_left();
}

TEST_F(Pipeline, CancelWhileWaiting) {
    std::thread other([this] {
        while (progress_.groups().empty()) {
            std::this_thread::yield();
        }
        cancel_.cancel(Error(ErrorCode::cancelled, "stopped on request"));
    });
    const Error error = failure(job("echo 'SELECT 1;'; sleep 1000"));
    other.join();
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
    EXPECT_EQ(error.message(), "stopped on request");
    expect_nothing_left();
}

// A program that ignores SIGTERM and its child are killed.
TEST_F(Pipeline, CancelOfAStubbornProgram) {
    std::string folder = std::filesystem::temp_directory_path() / "immbackup-pipeline-XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    const std::string ready = folder + "/ready";
    std::thread other([&] {
        while (!std::filesystem::exists(ready)) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        cancel_.cancel(Error(ErrorCode::timeout, "run_timeout"));
    });
    const Error error =
        failure(job("trap '' TERM; sleep 1000 & : > " + ready + "; while :; do sleep 1; done"));
    other.join();
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    expect_nothing_left();
    std::filesystem::remove_all(folder);
}

TEST_F(Pipeline, CancelledBeforehand) {
    cancel_.cancel(Error(ErrorCode::cancelled, "too late"));
    EXPECT_EQ(failure(job(kEnd)).message(), "too late");
    EXPECT_TRUE(progress_.groups().empty());
}

TEST_F(Pipeline, SinkThatIsFull) {
    DumpJob dump = job(kNoise);
    dump.sink = [n = std::size_t{0}](std::span<const std::byte> bytes) mutable {
        n += bytes.size();
        if (n > 100000) {
            throw Error(ErrorCode::no_space, "could not write: no space left on device");
        }
    };
    const Error error = failure(dump);
    EXPECT_EQ(error.code(), ErrorCode::no_space);
    expect_nothing_left();
}

// The error comes with the very last block, when pg_dump is long gone.
TEST_F(Pipeline, SinkThatFailsAtTheEnd) {
    DumpJob dump = job(kEnd);
    dump.sink = [](std::span<const std::byte>) { throw Error(ErrorCode::io, "disk error"); };
    EXPECT_EQ(failure(dump).code(), ErrorCode::io);
    expect_nothing_left();
}

TEST_F(Pipeline, SinkThatThrowsSomethingElse) {
    DumpJob dump = job(kNoise);
    dump.sink = [](std::span<const std::byte>) { throw std::bad_alloc(); };
    EXPECT_THROW(run_dump(dump, cancel_, progress_), std::bad_alloc);
    expect_nothing_left();
}

// A sink that does not take anything for longer than the stall limit is no stall of pg_dump.
TEST_F(Pipeline, SlowSinkIsNoStall) {
    DumpJob dump = job("head -c 30000000 /dev/urandom | od -An -v -tx1 | sed 's/^/-- /'\n" + kEnd);
    dump.stall_timeout = 1;
    std::atomic<int> blocks{0};
    dump.sink = [&](std::span<const std::byte>) {
        if (blocks++ == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2500));
        }
    };
    EXPECT_EQ(failure(dump).code(), ErrorCode::ok);
    EXPECT_GT(blocks, 8);
}

TEST_F(Pipeline, SomebodyKeepsThePipesOpen) {
    const std::uint64_t start = monotonic_ms();
    EXPECT_EQ(failure(job("sleep 300 &\n" + kEnd)).code(), ErrorCode::ok);
    EXPECT_LT(monotonic_ms() - start, 100'000u);
    ::kill(-progress_.groups()[0], SIGKILL);
}

// 200 MB through a sink that is slower than the program, in a few megabytes of memory.
TEST_F(Pipeline, MemoryIsBounded) {
    std::string row(199, 'x');
    DumpJob dump = job("echo 'COPY public.big (a) FROM stdin;'; yes '" + row +
                       "' | head -n 1000000; echo '\\.'\n" + kEnd);
    std::size_t written = 0;
    dump.sink = [&](std::span<const std::byte> bytes) {
        written += bytes.size();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    rusage before{};
    getrusage(RUSAGE_SELF, &before);
    const DumpOutcome outcome = run_dump(dump, cancel_, progress_);
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    EXPECT_EQ(outcome.scan.rows, 1000000u);
    EXPECT_EQ(outcome.scan.tables.at(0).bytes, 200000000u);
    EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 32 * 1024) << "kB more at the peak";
    EXPECT_EQ(progress_.table(), "public.big");
    EXPECT_EQ(progress_.last().bytes_out, written);
}

}  // namespace
}  // namespace immbackup
