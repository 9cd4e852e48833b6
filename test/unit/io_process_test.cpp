// Child processes on real programs: descriptors, signals, groups, output, cancellation.
#include "io/process.h"

#include "io/cores.h"
#include "io/rate_limit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

SpawnOptions shell(const std::string& script, std::vector<std::string> arguments = {}) {
    SpawnOptions options;
    options.program = "/bin/sh";
    options.arguments = {"-c", script, "sh"};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    return options;
}

std::string output_of(const SpawnOptions& options) {
    const Output output = run_program(options, CancelToken());
    EXPECT_TRUE(output.status.success()) << output.status.text() << ": " << output.err;
    return output.out;
}

bool is_running(pid_t pid) {
    return ::kill(pid, 0) == 0 &&
           content_of("/proc/" + std::to_string(pid) + "/stat").find(") Z") == std::string::npos;
}

// Everything is killed by now; its removal from the process table may take a moment.
bool goes_away(pid_t pid) {
    for (int i = 0; i < 2000 && is_running(pid); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return !is_running(pid);
}

std::string read_line(const Fd& fd) {
    std::string line;
    char c = 0;
    while (::read(fd.get(), &c, 1) == 1 && c != '\n') {
        line += c;
    }
    return line;
}

TEST(RunProgram, OutputStatusAndErrors) {
    const Output output = run_program(shell("echo out; echo err >&2; exit 3"), CancelToken());
    EXPECT_EQ(output.out, "out\n");
    EXPECT_EQ(output.err, "err\n");
    EXPECT_FALSE(output.status.success());
    EXPECT_EQ(output.status.text(), "exit code 3");
    const Output killed = run_program(shell("kill -9 $$"), CancelToken());
    EXPECT_FALSE(killed.status.exited);
    EXPECT_EQ(killed.status.text(), "signal 9 (Killed)");
}

TEST(RunProgram, ArgumentsAreNoShell) {
    SpawnOptions options;
    options.program = "/usr/bin/printf";
    options.arguments = {"%s|", "a b", "$(id)", "", "'", "\n", "*"};
    EXPECT_EQ(output_of(options), "a b|$(id)||'|\n|*|");
}

TEST(RunProgram, BothStreamsAtOnce) {
    // More than a pipe holds on each, in turn: whoever reads one to its end first hangs here.
    const Output output =
        run_program(shell("for i in 1 2 3; do head -c 300000 /dev/zero | tr '\\0' o; "
                          "head -c 300000 /dev/zero | tr '\\0' e >&2; done; echo last >&2"),
                    CancelToken());
    EXPECT_EQ(output.out, std::string(900'000, 'o'));
    EXPECT_EQ(output.err.size(), 8192U);
    EXPECT_TRUE(output.err.ends_with("eelast\n"));
}

TEST(RunProgram, TooMuchOutput) {
    EXPECT_TRUE(throws_error(ErrorCode::internal, "printed too much",
                             [] { run_program(shell("yes"), CancelToken(), 100'000); }));
}

TEST(RunProgram, ProgramsThatCannotStart) {
    const TemporaryDirectory directory;
    put(directory.path() / "text", "no program", 0600);
    put(directory.path() / "broken",
        "\x7f"
        "ELF",
        0700);
    const struct {
        fs::path program;
        ErrorCode code;
        const char* reason;
    } cases[] = {
        {"/no/such/program", ErrorCode::not_found, "No such file or directory"},
        {directory.path() / "text", ErrorCode::permission, "Permission denied"},
        {directory.path(), ErrorCode::permission, "Permission denied"},
        {directory.path() / "broken", ErrorCode::io, "Exec format error"},
    };
    for (const auto& each : cases) {
        SpawnOptions options;
        options.program = each.program;
        EXPECT_TRUE(throws_error(each.code, "could not start program \"" + options.program + "\"",
                                 [&] { Child::spawn(options); }));
        EXPECT_TRUE(throws_error(each.code, each.reason, [&] { Child::spawn(options); }));
    }
}

TEST(RunProgram, Cancelled) {
    const struct {
        const char* what;
        const char* script;
    } cases[] = {
        {"silent", "exec sleep 1000"},
        {"talking", "while :; do echo x; done >/dev/null; sleep 1000"},
        {"output closed", "exec >&- 2>&-; exec sleep 1000"},
    };
    for (const auto& each : cases) {
        CancelToken cancel;
        std::thread canceller([&cancel] {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            cancel.cancel(Error(ErrorCode::cancelled, "enough"));
        });
        EXPECT_TRUE(throws_error(ErrorCode::cancelled, "enough", [&] {
            run_program(shell(each.script), cancel);
        })) << each.what;
        canceller.join();
        EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << each.what;  // nothing left to reap
        EXPECT_TRUE(throws_error(ErrorCode::cancelled, "enough", [&] {
            run_program(shell("exit 0"), cancel);  // nor is anything begun
        }));
    }
}

TEST(Spawn, Environment) {
    ::setenv("IMMBACKUP_TEST_KEPT", "kept", 1);
    ::setenv("IMMBACKUP_TEST_CHANGED", "old", 1);
    ::setenv("IMMBACKUP_TEST_GONE", "old", 1);
    SpawnOptions options;
    options.program = "/usr/bin/env";
    options.environment_set = {{"IMMBACKUP_TEST_CHANGED", "new = value"},
                               {"IMMBACKUP_TEST_ADDED", ""}};
    options.environment_unset = {"IMMBACKUP_TEST_GONE"};
    const std::string out = "\n" + output_of(options);
    EXPECT_NE(out.find("\nIMMBACKUP_TEST_KEPT=kept\n"), std::string::npos);
    EXPECT_NE(out.find("\nIMMBACKUP_TEST_CHANGED=new = value\n"), std::string::npos);
    EXPECT_NE(out.find("\nIMMBACKUP_TEST_ADDED=\n"), std::string::npos);
    EXPECT_EQ(out.find("old"), std::string::npos);
    EXPECT_STREQ(::getenv("IMMBACKUP_TEST_CHANGED"), "old");  // ours is left alone
}

TEST(Spawn, OnlyTheStandardDescriptors) {
    const Fd open(::open("/dev/null", O_RDONLY));  // not close-on-exec
    const Fd high(::fcntl(open.get(), F_DUPFD, 200));
    // ls itself has the directory open.
    EXPECT_EQ(output_of(shell("ls /proc/self/fd | tr '\\n' ' '")), "0 1 2 3 ");
}

TEST(Spawn, StandardInput) {
    EXPECT_EQ(output_of(shell("readlink /proc/self/fd/0")), "/dev/null\n");
    const TemporaryDirectory directory;
    put(directory.path() / "input", "from a file");
    const Fd input = open_file(directory.path() / "input", O_RDONLY);
    SpawnOptions options = shell("cat");
    options.stdin_fd = input.get();
    EXPECT_EQ(output_of(options), "from a file");

    SpawnOptions piped = shell("cat; echo end");
    piped.pipe_stdin = true;
    Child child = Child::spawn(piped);
    write_all(child.stdin_pipe(), "through a pipe\n", "pipe");
    child.stdin_pipe().reset();
    EXPECT_EQ(read_line(child.stdout_pipe()), "through a pipe");
    EXPECT_EQ(read_line(child.stdout_pipe()), "end");
    EXPECT_TRUE(child.wait().success());
}

// Our own standard descriptors may be closed: the pipes then get their numbers.
TEST(Spawn, WithoutStandardDescriptorsOfOurOwn) {
    for (const int closed : {1, 2, 3, 4, 5, 6, 7}) {
        EXPECT_TRUE(succeeded(in_child([closed] {
            for (int fd = 0; fd <= 2; ++fd) {
                if ((closed & (1 << fd)) != 0) {
                    ::close(fd);
                }
            }
            SpawnOptions options = shell("read line; echo \"$line\"; echo error >&2");
            options.pipe_stdin = true;
            Child child = Child::spawn(options);
            write_all(child.stdin_pipe(), "line\n", "pipe");
            const std::string out = read_line(child.stdout_pipe());
            const std::string err = read_line(child.stderr_pipe());
            if (!child.wait().success() || out != "line" || err != "error") {
                ::_exit(1);
            }
        }))) << closed;
    }
}

TEST(Spawn, SignalsAreDefaultExceptSigpipe) {
    EXPECT_TRUE(succeeded(in_child([] {
        // What a server process may have set when it starts a program.
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) {
            ::signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN);
        }
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        SpawnOptions options;
        options.program = "/bin/cat";
        options.arguments = {"/proc/self/status"};
        const std::string out = output_of(options);
        const auto mask_of = [&out](const std::string& name) {
            return std::stoull(out.substr(out.find(name) + name.size()), nullptr, 16);
        };
        EXPECT_EQ(mask_of("\nSigBlk:"), 0U);
        // The C library keeps the first two real-time signals to itself; nobody else can reset
        // them.
        const auto kept = 3ULL << (32 - 1);
        EXPECT_EQ(mask_of("\nSigIgn:") & ~kept, 1ULL << (SIGPIPE - 1));
    })));
}

TEST(Spawn, WriterWithoutReaderExitsWithACode) {
    Child child = Child::spawn(shell("sleep 0.1; echo x; echo y; exit 7"));
    child.stdout_pipe().reset();
    const ExitStatus status = child.wait();
    EXPECT_TRUE(status.exited);  // not killed by SIGPIPE
}

TEST(Spawn, Groups) {
    const auto group_of = [](bool own) {
        SpawnOptions options = shell("ps -o pgid= -p $$ | tr -d ' '");
        options.own_group = own;
        Child child = Child::spawn(options);
        const std::string group = read_line(child.stdout_pipe());
        child.wait();
        return std::pair(static_cast<pid_t>(std::stol(group)), child.pid());
    };
    const auto [own, pid] = group_of(true);
    EXPECT_EQ(own, pid);
    EXPECT_EQ(group_of(false).first, ::getpgrp());
}

// What a thread is given, it hands on to what it starts: in a thread of its own, since it cannot be
// taken back.
TEST(Spawn, PrioritiesAreInherited) {
    constexpr int kWhoProcess = 1;
    constexpr int kClassShift = 13;
    std::thread([] {
        const int before = ::getpriority(PRIO_PROCESS, 0);
        set_io_priority(IoPriority::normal);
        EXPECT_EQ(::syscall(SYS_ioprio_get, kWhoProcess, 0) >> kClassShift, 0);
        add_niceness(5);
        set_io_priority(IoPriority::low);
        Child child = Child::spawn(shell("exec sleep 1000"));
        EXPECT_EQ(::getpriority(PRIO_PROCESS, static_cast<id_t>(child.pid())),
                  std::min(before + 5, 19));
        EXPECT_EQ(::syscall(SYS_ioprio_get, kWhoProcess, child.pid()), (2 << kClassShift) | 7);
        set_io_priority(IoPriority::idle);
        Child idle = Child::spawn(shell("exec sleep 1000"));
        EXPECT_EQ(::syscall(SYS_ioprio_get, kWhoProcess, idle.pid()) >> kClassShift, 3);
    }).join();
}

TEST(Cores, QuotaOfAControlGroup) {
    EXPECT_EQ(cores_of_quota("200000 100000\n"), 2);
    EXPECT_EQ(cores_of_quota("150000 100000\n"), 2);
    EXPECT_EQ(cores_of_quota("50000 100000"), 1);
    for (const char* none :
         {"", "max 100000\n", "200000", "200000 ", "0 100000", "-1 100000", "x"}) {
        EXPECT_EQ(cores_of_quota(none), 0) << none;
    }
    EXPECT_GE(usable_cores(), 1);
    EXPECT_EQ(compression_threads(5), 5);
    EXPECT_GE(compression_threads(0), 1);
    EXPECT_LE(compression_threads(0), 8);
}

TEST(Rate, BytesPassAsTimeDoes) {
    RateLimit none(0, 5);
    EXPECT_EQ(none.allowed(5), SIZE_MAX);
    RateLimit limit(1'000'000, 1000);
    EXPECT_EQ(limit.allowed(1000), 0u);
    EXPECT_GT(limit.wait_ms(1000), 0);
    EXPECT_EQ(limit.allowed(1010), 10'000u);
    EXPECT_EQ(limit.wait_ms(1010), 0);
    limit.spend(4'000);
    EXPECT_EQ(limit.allowed(1010), 6'000u);
    EXPECT_EQ(limit.allowed(1011), 7'000u);
    EXPECT_EQ(limit.allowed(9'999'999), 100'000u);  // a pause saves no more than that
    limit.spend(100'000);
    std::size_t passed = 0;
    for (std::uint64_t ms = 9'999'999; ms < 10'009'999; ++ms) {
        const std::size_t allowed = limit.allowed(ms);
        limit.spend(allowed);
        passed += allowed;
    }
    EXPECT_EQ(passed, 9'999'000u);
}

class Tree : public testing::Test {
  protected:
    // A child that started a process of its own; both wait.
    static Child start(const std::string& before = "", const std::string& after = "wait") {
        return Child::spawn(shell(before + "sleep 1000 & echo $!; " + after));
    }
};

TEST_F(Tree, DestructorKillsAndReaps) {
    pid_t grandchild = 0;
    pid_t pid = 0;
    {
        Child child = start();
        pid = child.pid();
        grandchild = static_cast<pid_t>(std::stol(read_line(child.stdout_pipe())));
        Child moved = std::move(child);
        EXPECT_TRUE(is_running(grandchild));
        EXPECT_EQ(moved.pid(), pid);
    }
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_TRUE(goes_away(grandchild));
}

TEST_F(Tree, AssignmentKillsTheOldOne) {
    Child child = start();
    const pid_t grandchild = static_cast<pid_t>(std::stol(read_line(child.stdout_pipe())));
    child = Child::spawn(shell("exit 4"));
    EXPECT_TRUE(goes_away(grandchild));
    EXPECT_EQ(child.wait().code, 4);
}

TEST_F(Tree, StopIsPoliteFirst) {
    Child child = start("trap 'exit 5' TERM; ");
    const pid_t grandchild = static_cast<pid_t>(std::stol(read_line(child.stdout_pipe())));
    const ExitStatus status = child.stop(60'000);
    EXPECT_TRUE(status.exited);
    EXPECT_EQ(status.code, 5);
    EXPECT_TRUE(goes_away(grandchild));
}

TEST_F(Tree, StopEndsWhatDoesNotListen) {
    Child child = start("trap '' TERM; ", "while :; do sleep 1000; done");
    const pid_t grandchild = static_cast<pid_t>(std::stol(read_line(child.stdout_pipe())));
    const ExitStatus status = child.stop(50);
    EXPECT_EQ(status.signal, SIGKILL);
    EXPECT_TRUE(goes_away(grandchild));
    EXPECT_EQ(child.stop().signal, SIGKILL);  // a second time: the same answer, and no signal
}

TEST_F(Tree, StopAfterItEndedTakesItsChildren) {
    Child child = start("", "exit 6");
    const pid_t grandchild = static_cast<pid_t>(std::stol(read_line(child.stdout_pipe())));
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
    EXPECT_TRUE(is_running(grandchild));
    EXPECT_EQ(child.stop().code, 6);
    EXPECT_TRUE(goes_away(grandchild));
}

TEST(Wait, PollDoesNotWait) {
    SpawnOptions options = shell("read line; exit 8");
    options.pipe_stdin = true;
    Child child = Child::spawn(options);
    EXPECT_FALSE(child.poll());
    child.stdin_pipe().reset();
    EXPECT_EQ(child.wait().code, 8);
    ASSERT_TRUE(child.poll());
    EXPECT_EQ(child.poll()->code, 8);
}

TEST(Wait, ReapedBySomebodyElse) {
    Child child = Child::spawn(shell("exit 0"));
    ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
    const auto status = child.poll();
    ASSERT_TRUE(status);
    EXPECT_FALSE(status->success());  // not known to have succeeded
}

TEST(TextTailTest, KeepsTheEnd) {
    TextTail tail(5);
    EXPECT_EQ(tail.text(), "");
    tail.append("abc");
    EXPECT_EQ(tail.text(), "abc");
    tail.append("defgh");
    EXPECT_EQ(tail.text(), "defgh");
    tail.append("0123456789");
    EXPECT_EQ(tail.text(), "56789");
}

TEST(Parent, IsBoundToIt) {
    EXPECT_TRUE(succeeded(in_child([] {
        bind_to_parent(::getppid());
        int number = 0;
        ASSERT_EQ(::prctl(PR_GET_PDEATHSIG, &number), 0);
        EXPECT_EQ(number, SIGTERM);
    })));
    EXPECT_TRUE(succeeded(in_child([] {
        EXPECT_TRUE(
            throws_error(ErrorCode::failed, "is gone", [] { bind_to_parent(1'000'000'000); }));
    })));
}

TEST(Parent, ItsDeathIsASignal) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_t child = 0;
    EXPECT_TRUE(succeeded(in_child([&] {
        const pid_t parent = ::getpid();
        const pid_t pid = ::fork();
        if (pid == 0) {
            bind_to_parent(parent);
            [[maybe_unused]] const auto sent = ::write(ends[1], "x", 1);
            while (true) {
                ::pause();
            }
        }
        char c = 0;
        ASSERT_EQ(::read(ends[0], &c, 1), 1);
        ASSERT_EQ(::write(ends[1], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    })));
    ASSERT_EQ(::read(ends[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
    EXPECT_TRUE(goes_away(child));
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(Self, NoCoreFiles) {
    EXPECT_TRUE(succeeded(in_child([] {
        forbid_core_files();
        rlimit limit{};
        ASSERT_EQ(::getrlimit(RLIMIT_CORE, &limit), 0);
        EXPECT_LE(limit.rlim_max, 1U);
        EXPECT_EQ(output_of(shell("ulimit -c")), "0\n");  // in blocks; programs inherit it
        const TemporaryDirectory directory;
        fs::current_path(directory.path());
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::abort();
        }
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        EXPECT_TRUE(WIFSIGNALED(status));
        EXPECT_FALSE(WCOREDUMP(status));
        EXPECT_TRUE(names_in(directory.path()).empty());
        fs::current_path("/");
    })));
}

TEST(Self, OomAndNiceness) {
    EXPECT_TRUE(succeeded(in_child([] {
        volunteer_for_oom_killer();
        EXPECT_EQ(content_of("/proc/self/oom_score_adj"), "1000\n");
        const int before = ::getpriority(PRIO_PROCESS, 0);
        add_niceness(0);
        EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), before);
        add_niceness(3);
        EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), std::min(before + 3, 19));
    })));
}

}  // namespace
}  // namespace immbackup::test
