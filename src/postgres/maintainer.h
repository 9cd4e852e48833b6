// The maintenance lane: one job at a time beside the one that backs up, for what sessions ask for
// that is no backup (shmem.h, MaintenanceRequest). A long backup delays no hold, and the other way
// round.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/job_protocol.h"
#include "postgres/job_process.h"

namespace immbackup {

class Maintainer {
  public:
    // `base` makes a request with the settings in effect; `report` gets warnings and alarms.
    Maintainer(std::string program, std::function<JobRequest(const char* job)> base,
               std::function<void(const JobEvent&)> report)
        : program_(std::move(program)), base_(std::move(base)), report_(std::move(report)) {}

    // A job that nobody waits for, as soon as the lane is free.
    void upload() { upload_ = true; }
    // `problem`: why nothing can be done now (misconfigured); null: nothing is in the way.
    void step(const Error* problem);
    // True where the process was ours.
    bool reaped(pid_t pid, int status);
    void stop();  // the job that runs is asked to end, then killed; who waits is told
    // Nothing to wait for; also where not even SIGKILL ends the job while we stop.
    bool idle() const { return !job_ || given_up_; }

    const JobProcess* job() const { return job_.get(); }
    std::uint64_t jobs() const { return jobs_; }
    std::uint64_t kill_at() const { return kill_at_; }  // monotonic ms, 0: no job
    void kill() const noexcept;

  private:
    void follow();
    bool take(const Error* problem);
    void spawn(const JobRequest& request);
    void answer(const Error& error);
    Error outcome() const;

    const std::string program_;
    const std::function<JobRequest(const char* job)> base_;
    const std::function<void(const JobEvent&)> report_;
    std::unique_ptr<JobProcess> job_;
    std::optional<JobEvent> result_;
    std::uint64_t jobs_ = 0;
    std::uint64_t kill_at_ = 0;
    bool upload_ = false;  // wanted
    bool asked_ = false;   // somebody waits for the job at work
    bool stopping_ = false;
    bool limit_reached_ = false;
    bool given_up_ = false;
};

}  // namespace immbackup
