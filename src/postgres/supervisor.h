// What the scheduler does, one step at a time and without ever waiting: takes requests out of
// shared memory, keeps at most one job, follows its events, stops it, and tells the sessions how it
// ended. README.md in this folder has the states as a picture.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/job_protocol.h"
#include "core/timetable.h"
#include "postgres/guc.h"
#include "postgres/job_process.h"
#include "postgres/maintainer.h"
#include "postgres/notifier.h"
#include "postgres/repeat_filter.h"
#include "postgres/shmem.h"

namespace immbackup {

// The descriptors of the job that the event loop waits for, -1: none. Descriptor numbers are used
// again, so the job is named too.
struct WaitList {
    struct Pipes {
        std::uint64_t job = 0;
        int input = -1;
        int output = -1;
        int log = -1;
        bool operator==(const Pipes&) const = default;
    };
    Pipes job;
    Pipes notifier;
    Pipes maintainer;
    bool operator==(const WaitList&) const = default;
};

class Supervisor {
  public:
    explicit Supervisor(std::string bindir);

    void reloaded();   // the configuration was read again
    void shut_down();  // stop the job, record that we stop, be finished
    void step();
    bool finished() const { return finished_; }
    long timeout_ms() const;  // until step() has something to do by itself; -1: nothing
    // The wall clock time at which step() has something to do; nothing: never.
    std::optional<Time> wake_at() const;
    WaitList wait_list() const;
    // On the way out: ends and reaps the job, within bounds; answers who waits. Never throws.
    void abandon() noexcept;

  private:
    enum class Work { none, start, reload, backup, recover, stop };

    void reap();
    void read_events();
    void follow_job();
    void handle(const JobEvent& event);
    void warn(const JobEvent& event);
    void share_progress(const JobEvent& event);
    void forward_log();
    void enforce();
    void ask_to_stop(int signal, std::uint64_t grace_ms);
    void kill_job();
    void kill_dump() noexcept;

    bool begin_next();
    bool take_request();
    void begin(Work work);
    void begin_start();
    void begin_reload();
    void begin_recover();
    void begin_backup();
    void begin_stop();
    void spawn(Work work, const JobRequest& request, std::uint64_t limit_ms);
    JobRequest base_request(const char* job) const;

    bool on_duty() const;
    void follow_schedule(Time baseline);
    void schedule_reloaded();
    void learn(const JobEvent& event);
    void consider_catching_up();
    bool take_due();
    void occupy_slot();
    void scheduled_run_ended(const Error& error, bool recorded);
    void watch_overdue();
    void consider_uploading();
    void check_overdue();
    void tell_end(const std::string& run, const Error& error, std::uint32_t before);
    void tell(const char* event, const std::string& run, const Error* error);
    void share_schedule();

    void conclude_job();
    void conclude(Work work, const Error& error, bool reported);
    void conclude_start(const Error& error);
    void conclude_backup(const Error& error, bool reported);
    void answer(const Error& error);
    void log_end(const std::string& run, const Error& error);
    void answer_unanswered(const Error& recovery);
    void refuse_queued(const Error& error);
    Error outcome_of_job() const;
    static ErrorCode error_code_of_result(int exit_code);

    void set_state(WorkerState state, const Error* problem = nullptr);
    void show_activity();

    const std::string bindir_;
    const std::string program_;

    // The job and what it is for.
    std::unique_ptr<JobProcess> job_;
    Work work_ = Work::none;
    std::uint64_t jobs_ = 0;          // spawned so far
    std::optional<JobEvent> result_;  // its last line
    int dump_group_ = 0;              // pg_dump's process group, as the job reported it
    int killed_dump_ = 0;             // the last one we had to kill: comes to us as an orphan
    std::uint64_t limit_ = 0;         // monotonic ms at which it is asked to stop, 0: none
    std::uint64_t kill_at_ = 0;       // asked to stop; killed then, 0: not asked
    bool limit_reached_ = false;
    bool killed_ = false;
    bool cancelled_ = false;  // by cancel_run()

    // What is to be done.
    bool start_due_ = true;
    std::uint64_t start_not_before_ = 0;
    bool reload_due_ = false;
    std::optional<std::string> recover_reason_;
    std::optional<Error> unanswered_;  // of the run that recovery closes first
    std::uint64_t retried_for_ = 0;    // request that made a misconfigured scheduler try again
    bool stopping_ = false;
    bool finished_ = false;

    // The schedule: supervisor_schedule.cpp.
    Timetable timetable_;
    std::optional<Schedule> schedule_;
    std::pair<std::string, std::string> followed_;  // its text and time zone
    bool following_ = false;                        // the timetable knows its baseline
    bool recorded_duty_ = false;                    // as the last job that records was told
    std::optional<Timetable::Due> due_;             // what the backup job at work serves
    bool run_recorded_ = false;                     // its request is in the audit log
    std::optional<Time> run_since_;                 // of the complete run that is going on
    std::optional<Time> since_;                     // the schedule holds since then
    std::optional<Time> covered_;                   // the last good complete run was requested then
    std::uint32_t failures_ = 0;                    // failed complete runs since
    std::uint32_t failures_before_ = 0;             // the run at work
    std::optional<Time> overdue_at_;
    std::optional<Time> uploads_at_;  // something is to be done in the bucket then
    bool overdue_told_ = false;
    Notifier notifier_;
    Maintainer maintainer_;
    RepeatFilter repeats_;

    WorkerState state_ = WorkerState::starting;
    std::optional<Error> problem_;                     // while misconfigured
    std::optional<ConfigurationProblem> bad_setting_;  // found before the job was asked
    bool start_recorded_ = false;
    SettingTexts recorded_settings_;
    std::string activity_;  // as pg_stat_activity shows it

    // Bound on forwarded log lines.
    std::uint64_t log_window_ = 0;
    unsigned log_lines_ = 0;
    unsigned log_dropped_ = 0;
};

}  // namespace immbackup
