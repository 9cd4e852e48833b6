// A job as the scheduler sees it: a spawned process, its request, its events, its log lines.
// Nothing here waits, and nothing here calls PostgreSQL.
#pragma once

#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>

#include "core/job_protocol.h"
#include "io/fd.h"

namespace immbackup {

class JobProcess {
  public:
    // Spawns `program job`. It stays in this process's group, so that signals that the postmaster
    // sends to the group reach it, or gets a group of its own. All signals are back to their
    // default and none is blocked, descriptors from 3 on are closed. Throws Error where it cannot
    // be started.
    enum class Group { ours, own };
    JobProcess(const std::string& program, std::string request, Group group);
    // Does not end the process: whoever drops the object has reaped it, or leaves it to find the
    // end of file on its stdin.
    ~JobProcess() = default;
    JobProcess(const JobProcess&) = delete;
    JobProcess& operator=(const JobProcess&) = delete;

    pid_t pid() const { return pid_; }
    // Descriptors to wait for, -1 where there is nothing to wait for any more.
    int stdin_waiting() const { return unsent_.empty() ? -1 : stdin_.get(); }
    int stdout_fd() const { return stdout_.get(); }
    int stderr_fd() const { return stderr_.get(); }

    // Writes what is left of the request, reads what is there.
    void pump();
    std::optional<JobEvent> next_event();
    std::optional<std::string> next_log_line();

    // The wait status, once somebody reaped it.
    void reaped(int wait_status) { wait_status_ = wait_status; }
    bool ended() const { return wait_status_.has_value(); }
    bool exited() const;
    // "exited with exit code 1", "was terminated by signal 9: Killed"
    std::string end_text() const;

    void signal(int number) const;

  private:
    void send();
    // Splits what arrives into lines of bounded length; returns false at the end of the file.
    bool receive(Fd& pipe, std::string& partial, std::deque<std::string>& lines,
                 std::size_t max_line) const;

    pid_t pid_ = -1;
    Fd stdin_, stdout_, stderr_;
    std::string unsent_;
    std::string partial_event_, partial_log_;
    std::deque<std::string> event_lines_, log_lines_;
    std::optional<int> wait_status_;
};

}  // namespace immbackup
