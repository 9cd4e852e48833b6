#include "io/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "io/clock.h"

extern char** environ;  // NOLINT: POSIX

namespace immbackup {

namespace {

// Of a child that somebody else reaped (or that was moved away): not known, so not good.
constexpr int kUnknownExit = 255;

struct Pipe {
    Fd read, write;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw system_error(errno, "create a pipe");
    }
    // Above the standard descriptors, so that the child's dup2 never meets its own source.
    for (int& end : ends) {
        if (end <= STDERR_FILENO) {
            const int low = std::exchange(end, ::fcntl(end, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
            ::close(low);
        }
    }
    Pipe pipe{Fd(ends[0]), Fd(ends[1])};
    if (!pipe.read || !pipe.write) {
        throw system_error(EMFILE, "create a pipe");
    }
    return pipe;
}

class SpawnActions {
  public:
    SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
    ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    void duplicate(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
    void null(int to, int flags) {
        ::posix_spawn_file_actions_addopen(&actions_, to, "/dev/null", flags, 0);
    }
    void close_others() {
        ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    }
    const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_{};
};

class SpawnAttributes {
  public:
    explicit SpawnAttributes(bool own_group) {
        ::posix_spawnattr_init(&attributes_);
        short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
        if (own_group) {
            flags = static_cast<short>(flags | POSIX_SPAWN_SETPGROUP);
        }
        sigset_t defaults;
        sigset_t none;
        ::sigfillset(&defaults);
        ::sigdelset(&defaults, SIGPIPE);  // stays ignored: see the header
        ::sigemptyset(&none);
        ::posix_spawnattr_setsigdefault(&attributes_, &defaults);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setflags(&attributes_, flags);
    }
    ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
    SpawnAttributes(const SpawnAttributes&) = delete;
    SpawnAttributes& operator=(const SpawnAttributes&) = delete;
    const posix_spawnattr_t* get() const { return &attributes_; }

  private:
    posix_spawnattr_t attributes_{};
};

std::vector<std::string> child_environment(const SpawnOptions& options) {
    std::vector<std::string> out;
    char** const ours = options.empty_environment ? nullptr : environ;
    for (char** entry = ours; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::string name(text.substr(0, text.find('=')));
        const bool unset =
            std::find(options.environment_unset.begin(), options.environment_unset.end(), name) !=
            options.environment_unset.end();
        if (!unset && !options.environment_set.contains(name)) {
            out.emplace_back(text);
        }
    }
    for (const auto& [name, value] : options.environment_set) {
        out.push_back(name + "=" + value);
    }
    return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (auto& text : texts) {
        out.push_back(text.data());
    }
    out.push_back(nullptr);
    return out;
}

ExitStatus decode(int status) {
    ExitStatus out;
    out.exited = WIFEXITED(status);
    if (out.exited) {
        out.code = WEXITSTATUS(status);
    } else {
        out.signal = WTERMSIG(status);
    }
    return out;
}

// Has the child ended, or is it gone? It is not reaped: as long as it is not, its id and its
// group's cannot be given to anybody else, and may be signalled.
bool has_ended(pid_t pid, bool& gone) {
    siginfo_t info{};
    const int result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
    gone = result != 0 && errno == ECHILD;
    return gone || (result == 0 && info.si_pid == pid);
}

// A write into a pipe without a reader must be an error, not the end of this process; and the child
// inherits what is ignored.
void ignore_sigpipe() {
    struct sigaction current {};
    ::sigaction(SIGPIPE, nullptr, &current);
    if (current.sa_handler == SIG_DFL) {
        current.sa_handler = SIG_IGN;
        ::sigaction(SIGPIPE, &current, nullptr);
    }
}

}  // namespace

std::string ExitStatus::text() const {
    if (exited) {
        return "exit code " + std::to_string(code);
    }
    const char* name = ::sigdescr_np(signal);
    return "signal " + std::to_string(signal) +
           (name != nullptr ? std::string(" (") + name + ")" : "");
}

Child Child::spawn(const SpawnOptions& options) {
    ignore_sigpipe();
    Child child;
    child.group_ = options.own_group;
    SpawnActions actions;
    Pipe in;
    Pipe out;
    Pipe err;
    if (options.pipe_stdin) {
        in = make_pipe();
        actions.duplicate(in.read.get(), STDIN_FILENO);
    } else if (options.stdin_fd >= 0) {
        actions.duplicate(options.stdin_fd, STDIN_FILENO);
    } else {
        actions.null(STDIN_FILENO, O_RDONLY);
    }
    if (options.pipe_stdout) {
        out = make_pipe();
        actions.duplicate(out.write.get(), STDOUT_FILENO);
    } else if (options.stdout_fd >= 0) {
        actions.duplicate(options.stdout_fd, STDOUT_FILENO);
    } else {
        actions.null(STDOUT_FILENO, O_WRONLY);
    }
    if (options.pipe_stderr) {
        err = make_pipe();
        actions.duplicate(err.write.get(), STDERR_FILENO);
    }
    actions.close_others();

    std::vector<std::string> arguments{options.program};
    arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
    std::vector<std::string> environment = child_environment(options);
    const auto argv = pointers(arguments);
    const auto envp = pointers(environment);
    const SpawnAttributes attributes(options.own_group);
    const int reason = ::posix_spawn(&child.pid_, options.program.c_str(), actions.get(),
                                     attributes.get(), argv.data(), envp.data());
    if (reason != 0) {
        child.pid_ = -1;
        throw system_error(reason, "start program", options.program);
    }
    child.stdin_ = std::move(in.write);
    child.stdout_ = std::move(out.read);
    child.stderr_ = std::move(err.read);
    return child;
}

Child::Child(Child&& other) noexcept {
    *this = std::move(other);
}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        kill_and_reap();
        pid_ = std::exchange(other.pid_, -1);
        group_ = other.group_;
        status_ = std::exchange(other.status_, std::nullopt);
        stdin_ = std::move(other.stdin_);
        stdout_ = std::move(other.stdout_);
        stderr_ = std::move(other.stderr_);
    }
    return *this;
}

Child::~Child() {
    kill_and_reap();
}

void Child::kill_and_reap() {
    if (pid_ > 0 && !status_) {
        signal(SIGKILL);
        wait();
    }
}

void Child::signal(int number) {
    bool gone = false;
    if (pid_ > 0 && !status_) {
        has_ended(pid_, gone);
        if (!gone) {
            ::kill(group_ ? -pid_ : pid_, number);
        }
    }
}

std::optional<ExitStatus> Child::poll() {
    if (pid_ <= 0 || status_) {
        return status_;
    }
    int status = 0;
    const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
    if (reaped == pid_) {
        status_ = decode(status);
    } else if (reaped < 0 && errno == ECHILD) {
        status_ = ExitStatus{true, kUnknownExit, 0};
    }
    return status_;
}

ExitStatus Child::wait() {
    if (pid_ <= 0) {
        return ExitStatus{true, kUnknownExit, 0};
    }
    while (!poll()) {
        int status = 0;
        const pid_t reaped = ::waitpid(pid_, &status, 0);
        if (reaped == pid_) {
            status_ = decode(status);
        }
    }
    return *status_;
}

ExitStatus Child::stop(int grace_ms) {
    if (status_ || pid_ <= 0) {
        return wait();
    }
    signal(SIGTERM);
    const std::uint64_t deadline =
        monotonic_ms() + static_cast<std::uint64_t>(std::max(grace_ms, 0));
    bool gone = false;
    while (!has_ended(pid_, gone) && monotonic_ms() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    // Also where it ended by itself: what it started may still be there, in its group.
    kill_and_reap();
    return *status_;
}

std::optional<ExitStatus> Child::leave(int grace_ms) {
    const std::uint64_t deadline =
        monotonic_ms() + static_cast<std::uint64_t>(std::max(grace_ms, 0));
    while (!poll() && monotonic_ms() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    const auto status = status_;
    pid_ = -1;
    return status;
}

void TextTail::append(std::string_view text) {
    text_ += text;
    if (text_.size() > limit_) {
        text_.erase(0, text_.size() - limit_);
    }
}

namespace {

// A program may close its output long before it ends.
ExitStatus wait_cancellable(Child& child, const CancelToken& cancel) {
    constexpr int kLongestPauseMs = 50;
    int pause_ms = 1;
    while (true) {
        if (const auto status = child.poll()) {
            return *status;
        }
        pollfd wait{cancel.fd(), POLLIN, 0};
        ::poll(&wait, 1, pause_ms);
        pause_ms = std::min(pause_ms * 2, kLongestPauseMs);
        if (cancel.cancelled()) {
            child.stop();
            cancel.check();
        }
    }
}

}  // namespace

Output run_program(const SpawnOptions& options, const CancelToken& cancel, std::size_t limit) {
    cancel.check();
    Child child = Child::spawn(options);
    Output output;
    TextTail tail;
    std::array<char, 16384> buffer{};
    while (child.stdout_pipe() || child.stderr_pipe()) {
        std::array<pollfd, 3> waits{{{child.stdout_pipe().get(), POLLIN, 0},
                                     {child.stderr_pipe().get(), POLLIN, 0},
                                     {cancel.fd(), POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
            throw system_error(errno, "wait for program", options.program);
        }
        if (cancel.cancelled()) {
            child.stop();
            cancel.check();
        }
        const auto drain = [&buffer](const pollfd& wait, Fd& pipe, const auto& take) {
            if (wait.revents == 0 || !pipe) {
                return;
            }
            const ssize_t count = ::read(pipe.get(), buffer.data(), buffer.size());
            if (count > 0) {
                take(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
            } else if (count == 0 || errno != EINTR) {
                pipe.reset();
            }
        };
        drain(waits[0], child.stdout_pipe(),
              [&output](std::string_view text) { output.out += text; });
        drain(waits[1], child.stderr_pipe(), [&tail](std::string_view text) { tail.append(text); });
        if (output.out.size() > limit) {
            child.stop();
            throw Error(ErrorCode::internal,
                        "program \"" + options.program + "\" printed too much");
        }
    }
    output.status = wait_cancellable(child, cancel);
    output.err = tail.text();
    return output;
}

void bind_to_parent(pid_t expected_parent) {
    // Tied to the thread that spawned us: a parent spawns jobs from its main thread.
    if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        throw system_error(errno, "ask for a signal at the parent's death");
    }
    // It may have died before the request; then no signal will come.
    if (::getppid() != expected_parent) {
        throw Error(ErrorCode::failed, "the process that started this job is gone");
    }
}

void forbid_core_files() {
    // One byte, not zero: a limit of 1 also stops dumps that go to a program (core(5), piped
    // patterns), which a limit of 0 does not, and like 0 it leaves no file. Programs that we start
    // inherit it. PR_SET_DUMPABLE would be lost at their exec, and would take /proc/self away from
    // us.
    rlimit limit{};
    if (::getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 1);
        limit.rlim_cur = limit.rlim_max;
        static_cast<void>(::setrlimit(RLIMIT_CORE, &limit));
    }
}

void volunteer_for_oom_killer() {
    const Fd fd(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (fd) {
        [[maybe_unused]] const auto written = ::write(fd.get(), "1000", 4);
    }
}

void add_niceness(int nice) {
    if (nice > 0) {
        const int current = ::getpriority(PRIO_PROCESS, 0);
        static_cast<void>(::setpriority(PRIO_PROCESS, 0, current + nice));
    }
}

void set_session_niceness(int nice) {
    const Fd fd(::open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC));
    const std::string text = std::to_string(nice);
    // It takes one change in a tenth of a second.
    constexpr int kTries = 3;
    constexpr int kPauseMs = 60;
    for (int i = 0; fd && ::write(fd.get(), text.data(), text.size()) < 0 && errno == EAGAIN; ++i) {
        if (i == kTries) {
            break;
        }
        ::poll(nullptr, 0, kPauseMs);
    }
}

void set_io_priority(IoPriority priority) {
    // linux/ioprio.h, which the oldest systems that we build on do not have.
    constexpr int kWhoProcess = 1;
    constexpr int kClassShift = 13;
    constexpr int kBestEffort = 2;
    constexpr int kLowest = 7;
    constexpr int kIdle = 3;
    if (priority != IoPriority::normal) {
        const int value = priority == IoPriority::idle ? kIdle << kClassShift
                                                       : (kBestEffort << kClassShift) | kLowest;
        static_cast<void>(::syscall(SYS_ioprio_set, kWhoProcess, 0, value));
    }
}

}  // namespace immbackup
