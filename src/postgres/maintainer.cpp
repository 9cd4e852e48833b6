#include "postgres/maintainer.h"

#include <algorithm>
#include <csignal>

#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/shmem.h"

namespace immbackup {

namespace {

// Uploads of what was left over may take long; this is for a job that hangs.
constexpr std::uint64_t kLimit = 24ULL * 3'600'000;
constexpr std::uint64_t kStopGrace = 3'000;
constexpr std::uint64_t kKillGrace = 2'000;

}  // namespace

void Maintainer::step(const Error* problem) {
    if (job_) {
        follow();
    }
    if (!job_ && !take(problem) && upload_ && problem == nullptr && !stopping_) {
        upload_ = asked_ = false;
        spawn(base_("upload"));
    }
}

void Maintainer::follow() {
    job_->pump();
    while (auto event = job_->next_event()) {
        if (event->kind == JobEventKind::result) {
            result_ = std::move(event);
        } else if (event->kind == JobEventKind::warning || event->kind == JobEventKind::alarm ||
                   event->kind == JobEventKind::uploads) {
            report_(*event);
        }
    }
    while (auto line = job_->next_log_line()) {
        const std::string& text = *line;
        call_postgres([&] {
            ereport(LOG, (errmsg("immbackup job: %s", server_text(text.data(), text.size()))));
        });
    }
    if (job_->ended()) {
        const Error error = outcome();
        job_.reset();
        kill_at_ = 0;
        answer(error);
    } else if (monotonic_ms() >= kill_at_) {
        given_up_ = stopping_ && limit_reached_;
        limit_reached_ = true;
        kill();
        kill_at_ = monotonic_ms() + kKillGrace;
    }
}

// A request of a session; false where there is none.
bool Maintainer::take(const Error* problem) {
    MaintenanceRequest asked{};
    {
        SharedLock lock(LW_EXCLUSIVE);
        if (shared->maintenance.state != RequestState::queued) {
            return false;
        }
        shared->maintenance.state = RequestState::running;
        asked = shared->maintenance;
    }
    asked_ = true;
    if (stopping_) {
        answer(Error(ErrorCode::cancelled, "the immbackup scheduler is stopping"));
    } else if (problem != nullptr) {
        answer(*problem);
    } else {
        JobRequest request = base_(asked.job.text);
        request.act = asked.act.view();
        request.subject = asked.subject.view();
        request.reason = asked.reason.view();
        request.actor = asked.actor.view();
        spawn(request);
    }
    return true;
}

void Maintainer::spawn(const JobRequest& request) {
    result_.reset();
    limit_reached_ = false;
    try {
        job_ = std::make_unique<JobProcess>(program_, job_request_to_json(request),
                                            JobProcess::Group::own);
        ++jobs_;
        kill_at_ = monotonic_ms() + kLimit;
    } catch (const Error& error) {
        answer(error);
    }
}

Error Maintainer::outcome() const {
    if (result_) {
        const ErrorCode code =
            result_->exit_code == 0 ? ErrorCode::ok : error_code_from_exit(result_->exit_code);
        return {code, result_->message, result_->detail, result_->hint};
    }
    return {limit_reached_ ? ErrorCode::timeout : ErrorCode::failed,
            "the immbackup job " + job_->end_text() + " before it reported a result",
            {},
            "See the server log, and ask again: what was begun is finished then."};
}

void Maintainer::answer(const Error& error) {
    if (!asked_) {
        // Its own warnings said what failed; that it could not be done at all only we know.
        if (error.code() != ErrorCode::ok && error.code() != ErrorCode::busy) {
            const std::string& text = error.message();
            call_postgres([&] {
                ereport(LOG, (errmsg("immbackup upload job: %s",
                                     server_text(text.data(), text.size()))));
            });
        }
        return;
    }
    FixedError fixed{};
    fixed.code = static_cast<int>(error.code());
    fixed.message.set(error.message());
    fixed.detail.set(error.detail());
    fixed.hint.set(error.hint());
    {
        SharedLock lock(LW_EXCLUSIVE);
        finish_maintenance(fixed);
    }
    ConditionVariableBroadcast(&shared->changed);
}

bool Maintainer::reaped(pid_t pid, int status) {
    if (!job_ || job_->ended() || pid != job_->pid()) {
        return false;
    }
    job_->reaped(status);
    return true;
}

void Maintainer::kill() const noexcept {
    if (job_ && !job_->ended()) {
        job_->signal(SIGKILL);
    }
}

void Maintainer::stop() {
    stopping_ = true;
    if (job_) {
        job_->signal(SIGTERM);
        kill_at_ = std::min(kill_at_, monotonic_ms() + kStopGrace);
    }
}

}  // namespace immbackup
