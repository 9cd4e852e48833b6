// Child processes: posix_spawn with an argument vector, never a shell.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/settings.h"
#include "io/cancel.h"
#include "io/fd.h"

namespace immbackup {

struct SpawnOptions {
    std::string program;                                 // absolute path
    std::vector<std::string> arguments;                  // without argv[0]
    std::map<std::string, std::string> environment_set;  // added to or replaced in ours
    std::vector<std::string> environment_unset;
    bool empty_environment = false;  // nothing of ours is passed on
    bool own_group = true;    // a process group of its own, so that the whole tree can be signalled
    bool pipe_stdin = false;  // otherwise /dev/null
    bool pipe_stdout = true;  // otherwise /dev/null
    bool pipe_stderr = true;  // otherwise inherited
    int stdin_fd = -1;        // with pipe_stdin false: this descriptor instead of /dev/null
    int stdout_fd = -1;       // the same for pipe_stdout
};

struct ExitStatus {
    bool exited = false;
    int code = 0;    // where exited
    int signal = 0;  // otherwise
    bool success() const { return exited && code == 0; }
    std::string text() const;  // "exit code 1", "signal 9 (Killed)"
};

// All signals are back to their default in the child and none is blocked, except SIGPIPE, which
// is ignored: a writer whose reader is gone then exits with a code. Descriptors from 3 on are
// closed. Our ends of the pipes are close-on-exec. A destructor of a running child kills its group
// and reaps it.
class Child {
  public:
    static Child spawn(const SpawnOptions& options);
    Child(Child&&) noexcept;
    Child& operator=(Child&&) noexcept;
    ~Child();

    pid_t pid() const { return pid_; }
    Fd& stdin_pipe() { return stdin_; }
    Fd& stdout_pipe() { return stdout_; }
    Fd& stderr_pipe() { return stderr_; }

    void signal(int number);           // to the group where it has its own, else to the process
    std::optional<ExitStatus> poll();  // reaps without waiting
    ExitStatus wait();
    // SIGTERM, up to `grace_ms` of waiting, SIGKILL to what is left of its group; reaps. Nothing
    // where it was reaped already.
    ExitStatus stop(int grace_ms = 5000);
    // For a program that runs as another user, whom we may not signal: waits up to `grace_ms` for
    // its end; one that still runs is left to itself. Nothing is killed, now or by the destructor.
    std::optional<ExitStatus> leave(int grace_ms);

  private:
    Child() = default;
    void kill_and_reap();
    pid_t pid_ = -1;
    bool group_ = false;
    std::optional<ExitStatus> status_;
    Fd stdin_, stdout_, stderr_;
};

// Keeps the last bytes of a stream of text, for error details.
class TextTail {
  public:
    explicit TextTail(std::size_t limit = 8192) : limit_(limit) {}
    void append(std::string_view text);
    const std::string& text() const { return text_; }

  private:
    std::size_t limit_;
    std::string text_;
};

// Runs a short program to its end; collects stdout (Error(internal) beyond `limit`) and the tail of
// stderr. Stops it and throws the token's reason when cancelled.
struct Output {
    ExitStatus status;
    std::string out;
    std::string err;
};
Output run_program(const SpawnOptions& options, const CancelToken& cancel,
                   std::size_t limit = 1 << 20);

// For a process that must not outlive its parent or leave secrets behind: asks for SIGTERM at the
// parent's death and checks that it is still alive, no core files, first choice of the OOM killer.
// Throws Error(failed) where the parent is already gone.
void bind_to_parent(pid_t expected_parent);
void forbid_core_files();
void volunteer_for_oom_killer();
// Of the calling thread, and of threads and processes that it starts from now on. A courtesy: what
// is not granted is no error.
void add_niceness(int nice);
// Of the whole session that the process is in. Where the kernel shares its time among sessions
// (sched(7), "The autogroup feature"), niceness counts within them alone, and every process of a
// PostgreSQL server has one of its own. 0 is what all begin with.
void set_session_niceness(int nice);
void set_io_priority(IoPriority priority);

}  // namespace immbackup
