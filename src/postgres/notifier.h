// Hands events to the program in the setting on_event, one after the other, each by a job of its
// own beside the one that backs up: a program that hangs delays neither a run nor a shutdown.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "core/job_protocol.h"
#include "postgres/job_process.h"

namespace immbackup {

class Notifier {
  public:
    explicit Notifier(std::string program) : program_(std::move(program)) {}

    // A job "notify". Beyond kMaxWaiting the oldest that waits is dropped.
    void push(JobRequest request);
    void step();
    // True where the process was ours.
    bool reaped(pid_t pid, int status);
    void stop();  // what waits is dropped; the job that runs is asked to end, then killed
    bool idle() const { return !job_ && waiting_.empty(); }

    const JobProcess* job() const { return job_.get(); }
    std::uint64_t jobs() const { return jobs_; }
    std::uint64_t kill_at() const { return kill_at_; }  // monotonic ms, 0: no job
    // Kills the job and its program at once.
    void kill() const noexcept;

  private:
    void begin();
    void conclude();

    static constexpr std::size_t kMaxWaiting = 16;
    const std::string program_;
    std::deque<JobRequest> waiting_;
    std::unique_ptr<JobProcess> job_;
    std::uint64_t jobs_ = 0;
    std::uint64_t kill_at_ = 0;
    std::string problem_;
};

}  // namespace immbackup
