// The supervisor's hold on its one job: starts, follows, stops and reaps it. What the jobs are for
// is in supervisor_work.cpp.
#include "postgres/supervisor.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <random>

#include "io/clock.h"
#include "postgres/guard.h"

namespace immbackup {

namespace {

// A run that was asked to stop has pg_dump to end and its end to record.
constexpr std::uint64_t kCancelGrace = 20'000;
// At a shutdown the whole server waits for us.
constexpr std::uint64_t kShutdownGrace = 5'000;
constexpr std::uint64_t kLastGrace = 500;
constexpr std::uint64_t kKillGrace = 2'000;
constexpr int kAbandonGrace = 2'000;
constexpr int kOrphanGrace = 500;

constexpr std::uint64_t kLogWindow = 10'000;
constexpr unsigned kLogLinesPerWindow = 100;

// Log lines come from another program: no control characters in the server log.
void make_printable(std::string& text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
}

}  // namespace

Supervisor::Supervisor(std::string bindir)
    : bindir_(std::move(bindir)),
      program_(bindir_ + "/immbackup"),
      timetable_([engine = std::minstd_rand(static_cast<unsigned>(
                      monotonic_ms() ^ static_cast<unsigned>(::getpid())))]() mutable {
          return std::uniform_real_distribution<double>()(engine);
      }),
      notifier_(program_),
      maintainer_(
          program_, [this](const char* job) { return base_request(job); },
          [this](const JobEvent& event) { handle(event); }) {}

void Supervisor::step() {
    reap();
    if (job_) {
        follow_job();
    }
    // What is done without a job (a request refused at once) makes room for the next thing.
    while (!job_ && !finished_ && begin_next()) {
    }
    // After it: a run that begins just now, as after a suspension, is not overdue yet.
    check_overdue();
    notifier_.step();
    consider_uploading();
    maintainer_.step(state_ == WorkerState::misconfigured ? &*problem_ : nullptr);
    show_activity();
    share_schedule();
}

void Supervisor::shut_down() {
    stopping_ = true;
    notifier_.stop();
    maintainer_.stop();
    set_state(WorkerState::stopping);
    if (job_) {
        // The postmaster may have signalled our group, with the job in it, already: no harm.
        ask_to_stop(SIGTERM, kShutdownGrace);
    }
}

long Supervisor::timeout_ms() const {
    std::uint64_t next = UINT64_MAX;
    if (job_) {
        next = std::min(kill_at_ != 0 ? kill_at_ : UINT64_MAX, limit_ != 0 ? limit_ : UINT64_MAX);
    } else if (start_due_ && start_not_before_ != 0) {
        next = start_not_before_;
    }
    if (notifier_.kill_at() != 0) {
        next = std::min(next, notifier_.kill_at());
    }
    if (maintainer_.kill_at() != 0) {
        next = std::min(next, maintainer_.kill_at());
    }
    if (log_dropped_ > 0) {
        next = std::min(next, log_window_ + kLogWindow);
    }
    if (next == UINT64_MAX) {
        return -1;
    }
    const std::uint64_t now = monotonic_ms();
    // One more, so that it is past and not merely reached when we wake up.
    return next <= now ? 0 : static_cast<long>(std::min<std::uint64_t>(next - now + 1, 3'600'000));
}

WaitList Supervisor::wait_list() const {
    const auto pipes = [](std::uint64_t number, const JobProcess* job) {
        return job == nullptr ? WaitList::Pipes{}
                              : WaitList::Pipes{number, job->stdin_waiting(), job->stdout_fd(),
                                                job->stderr_fd()};
    };
    return {pipes(jobs_, job_.get()), pipes(notifier_.jobs(), notifier_.job()),
            pipes(maintainer_.jobs(), maintainer_.job())};
}

// ---------------------------------------------------------------------------------- one job

void Supervisor::spawn(Work work, const JobRequest& request, std::uint64_t limit_ms) {
    result_.reset();
    dump_group_ = 0;
    kill_at_ = 0;
    limit_reached_ = killed_ = cancelled_ = false;
    // The postmaster signals us and then our group: the record of our end, begun at the first
    // signal, would be ended by the second.
    const auto group = work == Work::stop ? JobProcess::Group::own : JobProcess::Group::ours;
    job_ = std::make_unique<JobProcess>(program_, job_request_to_json(request), group);
    ++jobs_;
    work_ = work;
    limit_ = limit_ms == 0 ? 0 : monotonic_ms() + limit_ms;
}

// Every child, ours or an orphan that came to us, so that no zombie stays.
void Supervisor::reap() {
    for (;;) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR) {
            continue;
        }
        if (pid <= 0) {
            return;
        }
        if (job_ && pid == job_->pid()) {
            job_->reaped(status);
            // Before anything else is reaped: as long as pg_dump is at least a zombie, no other
            // process can have its group's number.
            read_events();
            if (!result_) {
                kill_dump();
            }
        } else if (notifier_.reaped(pid, status) || maintainer_.reaped(pid, status)) {
            continue;
        } else if (pid == dump_group_) {
            dump_group_ = 0;
        } else if (pid == killed_dump_) {
            killed_dump_ = 0;
        } else {
            call_postgres([&] {
                ereport(LOG, (errmsg("immbackup reaped orphaned process %d, wait status %d",
                                     static_cast<int>(pid), status)));
            });
        }
    }
}

void Supervisor::read_events() {
    job_->pump();
    while (auto event = job_->next_event()) {
        handle(*event);
    }
}

void Supervisor::follow_job() {
    read_events();
    forward_log();
    if (job_->ended()) {
        conclude_job();
    } else {
        enforce();
    }
}

void Supervisor::handle(const JobEvent& event) {
    if (event.kind == JobEventKind::result) {
        result_ = event;
    } else if (event.kind == JobEventKind::dump) {
        dump_group_ = event.process_group;
    } else if (event.kind == JobEventKind::warning || event.kind == JobEventKind::alarm) {
        warn(event);
    } else if (event.kind == JobEventKind::uploads) {
        uploads_at_ = event.next;
        SharedLock lock(LW_EXCLUSIVE);
        shared->uploads_pending = event.pending;
    } else if (event.kind == JobEventKind::schedule) {
        learn(event);
    } else if (work_ == Work::backup) {
        share_progress(event);
    }
}

void Supervisor::warn(const JobEvent& event) {
    // A scheduled run that meets the same thing again and again.
    const std::string& text = event.text;
    if (due_ && !repeats_.pass(text, monotonic_ms())) {
        return;
    }
    call_postgres([&] {
        ereport(WARNING, (errmsg("immbackup: %s", server_text(text.data(), text.size()))));
    });
    if (event.kind == JobEventKind::alarm) {
        std::string run;
        {
            SharedLock lock(LW_SHARED);
            run = shared->request.run.view();
        }
        const Error error(ErrorCode::failed, text);
        tell(event.alarm.c_str(), work_ == Work::backup ? run : "", &error);
    }
}

void Supervisor::share_progress(const JobEvent& event) {
    {
        SharedLock lock(LW_EXCLUSIVE);
        RunProgress& progress = shared->progress;
        if (event.kind == JobEventKind::run) {
            run_recorded_ = true;
            shared->request.run.set(event.run);
        } else if (event.kind == JobEventKind::phase) {
            if (event.database != progress.database.view() || event.phase == "dumping") {
                progress.database_started = GetCurrentTimestamp();
                progress.table.set("");
                progress.bytes_in = progress.bytes_out = progress.bytes_total = 0;
            }
            progress.phase.set(event.phase);
            progress.database.set(event.database);
        } else if (event.kind == JobEventKind::progress) {
            progress.database.set(event.database);
            progress.table.set(event.table);
            progress.bytes_in = event.bytes_in;
            progress.bytes_out = event.bytes_out;
            progress.bytes_total = event.bytes_total;
            progress.databases_done = event.databases_done;
            progress.databases_total = event.databases_total;
        }
    }
    if (event.kind == JobEventKind::run) {
        ConditionVariableBroadcast(&shared->changed);
    }
}

void Supervisor::forward_log() {
    const std::uint64_t now = monotonic_ms();
    if (now >= log_window_ + kLogWindow) {
        const unsigned dropped = log_dropped_;
        log_window_ = now;
        log_lines_ = log_dropped_ = 0;
        if (dropped > 0) {
            call_postgres([&] {
                ereport(LOG, (errmsg("immbackup job: %u more lines were left out", dropped)));
            });
        }
    }
    while (auto line = job_->next_log_line()) {
        if (line->empty()) {
            continue;
        }
        if (log_lines_ >= kLogLinesPerWindow) {
            ++log_dropped_;
            continue;
        }
        ++log_lines_;
        make_printable(*line);
        const std::string& text = *line;
        call_postgres([&] {
            ereport(LOG, (errmsg("immbackup job: %s", server_text(text.data(), text.size()))));
        });
    }
}

// Deadlines and cancel_run().
void Supervisor::enforce() {
    const std::uint64_t now = monotonic_ms();
    if (work_ == Work::backup && !cancelled_) {
        bool cancel = false;
        {
            SharedLock lock(LW_SHARED);
            cancel = shared->request.cancel;
        }
        if (cancel) {
            cancelled_ = true;
            ask_to_stop(SIGINT, kCancelGrace);
        }
    }
    if (limit_ != 0 && now >= limit_) {
        limit_ = 0;
        limit_reached_ = true;
        ask_to_stop(SIGTERM, work_ == Work::stop ? kLastGrace : kShutdownGrace);
    }
    if (kill_at_ != 0 && now >= kill_at_) {
        if (!killed_) {
            kill_job();
        } else if (stopping_) {
            // Not even SIGKILL ends it (a disk that does not answer): the server shall not wait.
            finished_ = true;
        }
    }
}

void Supervisor::ask_to_stop(int signal, std::uint64_t grace_ms) {
    job_->signal(signal);
    const std::uint64_t deadline = monotonic_ms() + grace_ms;
    kill_at_ = kill_at_ == 0 ? deadline : std::min(kill_at_, deadline);
}

void Supervisor::kill_job() {
    killed_ = true;
    kill_at_ = stopping_ ? monotonic_ms() + kKillGrace : 0;
    kill_dump();
    job_->signal(SIGKILL);
}

void Supervisor::kill_dump() noexcept {
    if (dump_group_ > 1 && dump_group_ != ::getpgrp()) {
        ::kill(-dump_group_, SIGKILL);
        killed_dump_ = dump_group_;
    }
}

void Supervisor::conclude_job() {
    const Error error = outcome_of_job();
    const bool reported = result_.has_value();
    const Work work = work_;
    job_.reset();
    work_ = Work::none;
    limit_ = kill_at_ = 0;
    conclude(work, error, reported);
}

// Code ok where it did what it was for.
Error Supervisor::outcome_of_job() const {
    if (result_) {
        return Error(error_code_of_result(result_->exit_code), result_->message, result_->detail,
                     result_->hint);
    }
    const std::string end = "The immbackup job " + job_->end_text() + ".";
    if (cancelled_) {
        return Error(ErrorCode::cancelled, "the run was cancelled", end);
    }
    if (limit_reached_) {
        return Error(ErrorCode::timeout, "the immbackup job did not end in time and was stopped",
                     end);
    }
    if (stopping_) {
        return Error(ErrorCode::cancelled, "the run was cancelled by a shutdown", end);
    }
    return Error(ErrorCode::failed,
                 "the immbackup job " + job_->end_text() + " before it reported a result", {},
                 "See the server log.");
}

ErrorCode Supervisor::error_code_of_result(int exit_code) {
    return exit_code == 0 ? ErrorCode::ok : error_code_from_exit(exit_code);
}

void Supervisor::abandon() noexcept {
    notifier_.kill();
    maintainer_.kill();
    if (job_ && !job_->ended()) {
        job_->signal(SIGTERM);
        const auto gone_within = [this](int ms) {
            for (int waited = 0; waited < ms; waited += 20) {
                if (::waitpid(job_->pid(), nullptr, WNOHANG) != 0) {
                    return true;
                }
                ::poll(nullptr, 0, 20);
            }
            return false;
        };
        if (!gone_within(kAbandonGrace)) {
            kill_dump();
            job_->signal(SIGKILL);
            (void)gone_within(1'000);
        } else {
            kill_dump();
        }
    }
    // What we killed comes to us: an orphan that a postmaster that is PID 1 reaps would be taken
    // for a crashed server process.
    for (int waited = 0; waited < kOrphanGrace && ::waitpid(-1, nullptr, WNOHANG) >= 0;
         waited += 10) {
        ::poll(nullptr, 0, 10);
    }
    // Answer who waits. No C++ allocation here: this also runs after one has failed.
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    if (shared->request.state != RequestState::idle) {
        FixedError error{};
        error.code = static_cast<int>(ErrorCode::cancelled);
        error.message.set("the immbackup scheduler ended during the run");
        error.hint.set("See the server log, and view immbackup.runs for what became of the run.");
        finish_request(error);
    }
    if (shared->maintenance.state != RequestState::idle) {
        FixedError error{};
        error.code = static_cast<int>(ErrorCode::cancelled);
        error.message.set("the immbackup scheduler ended");
        error.hint.set("Ask again; what was begun is finished then.");
        finish_maintenance(error);
    }
    LWLockRelease(shared->lock);
}

}  // namespace immbackup
