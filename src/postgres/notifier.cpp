#include "postgres/notifier.h"

#include <algorithm>
#include <csignal>

#include "io/clock.h"
#include "postgres/guard.h"

namespace immbackup {

namespace {

// The job itself ends the program after 30 s; this is for a job that hangs.
constexpr std::uint64_t kLimit = 45'000;
constexpr std::uint64_t kStopGrace = 1'000;

}  // namespace

void Notifier::push(JobRequest request) {
    if (waiting_.size() == kMaxWaiting) {
        waiting_.pop_front();
    }
    waiting_.push_back(std::move(request));
}

void Notifier::step() {
    if (job_) {
        job_->pump();
        while (auto event = job_->next_event()) {
            if (event->kind == JobEventKind::result && event->exit_code != 0) {
                problem_ = event->message + (event->detail.empty() ? "" : ": " + event->detail);
            }
        }
        while (job_->next_log_line()) {
        }
        if (job_->ended()) {
            conclude();
        } else if (monotonic_ms() >= kill_at_) {
            kill();
            kill_at_ = monotonic_ms() + kLimit;
        }
    }
    if (!job_ && !waiting_.empty()) {
        begin();
    }
}

void Notifier::begin() {
    const JobRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    problem_.clear();
    try {
        // Not in our group: at a shutdown it is stopped by us, not by the postmaster's signal.
        job_ = std::make_unique<JobProcess>(program_, job_request_to_json(request),
                                            JobProcess::Group::own);
        ++jobs_;
        kill_at_ = monotonic_ms() + kLimit;
    } catch (const Error& error) {
        problem_ = error.message();
        conclude();
    }
}

void Notifier::conclude() {
    if (problem_.empty() && job_ && !job_->exited()) {
        problem_ = "its job " + job_->end_text();
    }
    job_.reset();
    kill_at_ = 0;
    if (!problem_.empty()) {
        const std::string& text = problem_;
        call_postgres([&] {
            ereport(WARNING, (errmsg("immbackup could not notify: %s",
                                     server_text(text.data(), text.size()))));
        });
    }
}

bool Notifier::reaped(pid_t pid, int status) {
    if (!job_ || job_->ended() || pid != job_->pid()) {
        return false;
    }
    job_->reaped(status);
    return true;
}

// The job leads a group of its own, in which the program is.
void Notifier::kill() const noexcept {
    if (job_ && !job_->ended()) {
        ::kill(-job_->pid(), SIGKILL);
    }
}

void Notifier::stop() {
    waiting_.clear();
    if (job_) {
        job_->signal(SIGTERM);
        kill_at_ = std::min(kill_at_, monotonic_ms() + kStopGrace);
    }
}

}  // namespace immbackup
