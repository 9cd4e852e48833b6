// Spawns and feeds a job, see job_process.h.
#include "postgres/job_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxLogLine = 2048;
// So that a job that writes without end cannot keep the scheduler reading: the rest is for the
// next round.
constexpr std::size_t kMaxReadAtOnce = 256 * 1024;

struct Pipe {
    Fd read, write;
};

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw system_error(errno, "make a pipe for the immbackup job");
    }
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

void make_nonblocking(const Fd& fd) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
        throw system_error(errno, "set up a pipe to the immbackup job");
    }
}

// posix_spawn's two argument objects, freed together.
class SpawnSetup {
  public:
    SpawnSetup() {
        check(::posix_spawn_file_actions_init(&actions));
        check(::posix_spawnattr_init(&attributes));
    }
    ~SpawnSetup() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;

    static void check(int result) {
        if (result != 0) {
            throw system_error(result, "prepare the start of the immbackup job");
        }
    }

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

// The server's descriptors are not all close-on-exec (its data files before PostgreSQL 16).
void close_the_rest(SpawnSetup& setup) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    SpawnSetup::check(::posix_spawn_file_actions_addclosefrom_np(&setup.actions, 3));
#else
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
        const int fd = std::atoi(entry.path().filename().c_str());
        if (fd > 2) {
            SpawnSetup::check(::posix_spawn_file_actions_addclose(&setup.actions, fd));
        }
    }
#endif
}

// What asks a job to stop is blocked until it reads it from its signalfd: a signal that comes while
// the job is still starting is an orderly stop, too.
void set_signals(SpawnSetup& setup, bool own_group) {
    sigset_t all;
    sigset_t stop;
    ::sigfillset(&all);
    ::sigemptyset(&stop);
    for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
        ::sigaddset(&stop, number);
    }
    SpawnSetup::check(::posix_spawnattr_setsigdefault(&setup.attributes, &all));
    SpawnSetup::check(::posix_spawnattr_setsigmask(&setup.attributes, &stop));
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (own_group) {
        flags |= POSIX_SPAWN_SETPGROUP;  // 0, the initial value of the attribute: its own
    }
    SpawnSetup::check(::posix_spawnattr_setflags(&setup.attributes, static_cast<short>(flags)));
}

}  // namespace

JobProcess::JobProcess(const std::string& program, std::string request, Group group)
    : unsent_(std::move(request)) {
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();

    SpawnSetup setup;
    SpawnSetup::check(::posix_spawn_file_actions_adddup2(&setup.actions, in.read.get(), 0));
    SpawnSetup::check(::posix_spawn_file_actions_adddup2(&setup.actions, out.write.get(), 1));
    SpawnSetup::check(::posix_spawn_file_actions_adddup2(&setup.actions, err.write.get(), 2));
    close_the_rest(setup);
    set_signals(setup, group == Group::own);

    std::string name = "immbackup";
    std::string command = "job";
    std::array<char*, 3> arguments{name.data(), command.data(), nullptr};
    const int result = ::posix_spawn(&pid_, program.c_str(), &setup.actions, &setup.attributes,
                                     arguments.data(), environ);
    if (result != 0) {
        Error reason = system_error(result, "start the immbackup job", program);
        throw Error(ErrorCode::config, reason.message(), "The scheduler starts it for every run.",
                    "Install the program \"immbackup\" beside the server's own programs.");
    }
    stdin_ = std::move(in.write);
    stdout_ = std::move(out.read);
    stderr_ = std::move(err.read);
    make_nonblocking(stdin_);
    make_nonblocking(stdout_);
    make_nonblocking(stderr_);
    send();
}

void JobProcess::send() {
    while (stdin_ && !unsent_.empty()) {
        const ssize_t written = ::write(stdin_.get(), unsent_.data(), unsent_.size());
        if (written > 0) {
            unsent_.erase(0, static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            // It has closed its end: its end will say why.
            unsent_.clear();
        }
    }
}

bool JobProcess::receive(Fd& pipe, std::string& partial, std::deque<std::string>& lines,
                         std::size_t max_line) const {
    std::array<char, 16384> buffer;
    for (std::size_t total = 0; total < kMaxReadAtOnce;) {
        const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno == EAGAIN) {
            return true;
        }
        if (got <= 0) {
            if (!partial.empty()) {
                lines.push_back(std::exchange(partial, {}));
            }
            return false;
        }
        total += static_cast<std::size_t>(got);
        for (ssize_t i = 0; i < got; ++i) {
            const char c = buffer[static_cast<std::size_t>(i)];
            if (c == '\n' || partial.size() >= max_line) {
                lines.push_back(std::exchange(partial, {}));
            }
            if (c != '\n') {
                partial += c;
            }
        }
    }
    return true;
}

void JobProcess::pump() {
    send();
    if (stdout_ && !receive(stdout_, partial_event_, event_lines_, kMaxEventLine)) {
        stdout_.reset();
    }
    if (stderr_ && !receive(stderr_, partial_log_, log_lines_, kMaxLogLine)) {
        stderr_.reset();
    }
}

std::optional<JobEvent> JobProcess::next_event() {
    while (!event_lines_.empty()) {
        const std::string line = std::move(event_lines_.front());
        event_lines_.pop_front();
        if (auto event = parse_job_event(line)) {
            return event;
        }
        log_lines_.push_back("not an event: " + line.substr(0, 200));
    }
    return std::nullopt;
}

std::optional<std::string> JobProcess::next_log_line() {
    if (log_lines_.empty()) {
        return std::nullopt;
    }
    std::string line = std::move(log_lines_.front());
    log_lines_.pop_front();
    return line;
}

bool JobProcess::exited() const {
    return wait_status_ && WIFEXITED(*wait_status_);
}

std::string JobProcess::end_text() const {
    if (!wait_status_) {
        return "is still running";
    }
    if (WIFEXITED(*wait_status_)) {
        return "exited with exit code " + std::to_string(WEXITSTATUS(*wait_status_));
    }
    const int number = WTERMSIG(*wait_status_);
    return "was terminated by signal " + std::to_string(number) + ": " + ::strsignal(number);
}

void JobProcess::signal(int number) const {
    // Reaped, its pid may be another process's by now.
    if (!ended()) {
        ::kill(pid_, number);
    }
}

}  // namespace immbackup
