// What the supervisor's jobs are for: the record of its start, of changed settings and of its end,
// the recovery after a job that died, and backup runs; and what follows from how each ended.
#include <algorithm>
#include <cstdlib>

#include "core/json.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/supervisor.h"

namespace immbackup {

namespace {

// Jobs that only write records: a healthy one takes milliseconds. Recovery may have to seal and to
// read what a killed job left.
constexpr std::uint64_t kRecordLimit = 300'000;
constexpr std::uint64_t kStopRecordLimit = 3'000;
// The job ends a run at run_timeout by itself; this is for a job that hangs.
constexpr std::uint64_t kRunTimeoutSlack = 60'000;
// Somebody else holds the backup directory.
constexpr std::uint64_t kBusyRetry = 30'000;

std::string body_text(const Json& body) {
    return body.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string server_version() {
    const char* text = nullptr;
    call_postgres([&] { text = GetConfigOption("server_version", true, false); });
    return text == nullptr ? "" : text;
}

int server_version_num() {
    const char* text = nullptr;
    call_postgres([&] { text = GetConfigOption("server_version_num", true, false); });
    return text == nullptr ? PG_VERSION_NUM : std::atoi(text);
}

// Milliseconds that the job of a run may take at the most; 0: without limit.
std::uint64_t run_limit(const Settings& settings) {
    const int upload = settings.s3.bucket.empty() ? 0 : settings.s3.upload_timeout;
    if (settings.run_timeout == 0 || (!settings.s3.bucket.empty() && upload == 0)) {
        return 0;
    }
    return (static_cast<std::uint64_t>(settings.run_timeout) + static_cast<std::uint64_t>(upload)) *
               1000 +
           kRunTimeoutSlack;
}

std::string data_directory() {
    return DataDir == nullptr ? "" : DataDir;
}

FixedError fixed(const Error& error) {
    FixedError text{};
    text.code = static_cast<int>(error.code());
    text.message.set(error.message());
    text.detail.set(error.detail());
    text.hint.set(error.hint());
    return text;
}

// One server log entry with detail and hint.
void log_error(int level, const char* prefix, const Error& error) {
    const FixedError text = fixed(error);
    const auto shown = [](const char* bytes) { return server_text(bytes, strlen(bytes)); };
    call_postgres([&] {
        ereport(level, (errmsg("%s: %s", prefix, shown(text.message.text)),
                        text.detail.empty() ? 0 : errdetail("%s", shown(text.detail.text)),
                        text.hint.empty() ? 0 : errhint("%s", shown(text.hint.text))));
    });
}

const Error kDone(ErrorCode::ok, "");

}  // namespace

void Supervisor::reloaded() {
    // A value that hid a bad one (of the environment, say) may have been taken back.
    schedule_reloaded();
    if (state_ == WorkerState::misconfigured || configuration_problem()) {
        start_due_ = true;
    } else if (settings_in_effect() != recorded_settings_) {
        reload_due_ = true;
    }
}

// Takes up the most urgent thing there is; false where there is nothing.
bool Supervisor::begin_next() {
    if (stopping_) {
        refuse_queued(Error(ErrorCode::cancelled, "the immbackup scheduler is stopping"));
        if (!maintainer_.idle()) {
            return false;
        }
        if (start_recorded_) {
            start_recorded_ = false;
            begin(Work::stop);
        } else {
            answer_unanswered(kDone);
            finished_ = true;
        }
    } else if (recover_reason_) {
        begin(Work::recover);
    } else if (start_due_ && monotonic_ms() >= start_not_before_) {
        begin(Work::start);
    } else if (reload_due_) {
        begin(Work::reload);
    } else {
        return take_request() || take_due();
    }
    return true;
}

void Supervisor::begin(Work work) {
    try {
        switch (work) {
            case Work::start:
                begin_start();
                break;
            case Work::reload:
                begin_reload();
                break;
            case Work::recover:
                begin_recover();
                break;
            case Work::backup:
                begin_backup();
                break;
            case Work::stop:
                begin_stop();
                break;
            case Work::none:
                break;
        }
    } catch (const Error& error) {
        // It could not be started at all.
        conclude(work, error, true);
    }
}

JobRequest Supervisor::base_request(const char* job) const {
    JobRequest request;
    request.version = IMMBACKUP_VERSION;
    request.job = job;
    request.settings = settings_in_effect();
    request.bindir = bindir_;
    request.server_version_num = server_version_num();
    return request;
}

void Supervisor::begin_start() {
    start_due_ = false;
    start_not_before_ = 0;
    bad_setting_ = configuration_problem();
    if (bad_setting_ && bad_setting_->directory) {
        // Where the record would go is not known.
        conclude(Work::start, kDone, true);
        return;
    }
    JobRequest request = base_request("record");
    Json body{{"pid", MyProcPid},
              {"version", IMMBACKUP_VERSION},
              {"server_version", server_version()},
              {"state", bad_setting_ ? "misconfigured" : "ready"}};
    if (bad_setting_) {
        body["problem"] = bad_setting_->message;
        body["hint"] = bad_setting_->hint;
    } else {
        // With a bad value replaced by its default, the settings are nobody's wish.
        request.settings_diff = true;
        request.settings_at = "start";
        request.record_promise = true;
    }
    request.active = recorded_duty_ = on_duty();
    request.find_missed = true;
    request.missed_reason = following_ ? "immbackup was misconfigured"
                                       : "the server, or its scheduler, was not running";
    request.data_directory = data_directory();
    request.records.push_back({"worker_started", body_text(body)});
    request.recover = true;
    recorded_settings_ = request.settings;
    spawn(Work::start, request, kRecordLimit);
}

void Supervisor::begin_reload() {
    reload_due_ = false;
    JobRequest request = base_request("record");
    const bool duty = on_duty();
    if (request.settings == recorded_settings_ && duty == recorded_duty_) {
        return;
    }
    request.settings_diff = true;
    request.settings_at = "reload";
    request.record_promise = true;
    request.active = recorded_duty_ = duty;
    recorded_settings_ = request.settings;
    spawn(Work::reload, request, kRecordLimit);
}

void Supervisor::begin_recover() {
    JobRequest request = base_request("record");
    request.recover = true;
    request.recover_reason = *recover_reason_;
    recover_reason_.reset();
    spawn(Work::recover, request, kRecordLimit);
}

void Supervisor::begin_stop() {
    JobRequest request = base_request("record");
    const Json body{{"pid", MyProcPid}, {"reason", "terminated or shut down"}};
    request.records.push_back({"worker_stopped", body_text(body)});
    if (recover_reason_) {
        request.recover = true;
        request.recover_reason = *recover_reason_;
        recover_reason_.reset();
    }
    spawn(Work::stop, request, kStopRecordLimit);
}

// A request out of shared memory; false where there is none.
bool Supervisor::take_request() {
    std::uint64_t id = 0;
    bool cancelled = false;
    {
        SharedLock lock(LW_SHARED);
        if (shared->request.state != RequestState::queued) {
            return false;
        }
        id = shared->request.id;
        cancelled = shared->request.cancel;
    }
    if (cancelled) {
        refuse_queued(Error(ErrorCode::cancelled, "the run was cancelled before it began"));
    } else if (state_ == WorkerState::misconfigured && retried_for_ != id) {
        // Perhaps it was put right meanwhile: a directory made, a file system mounted.
        retried_for_ = id;
        begin(Work::start);
    } else if (state_ == WorkerState::misconfigured) {
        refuse_queued(*problem_);
    } else {
        begin(Work::backup);
    }
    return true;
}

void Supervisor::begin_backup() {
    JobRequest request = base_request("backup");
    request.trigger = "manual";
    if (due_) {
        request.trigger = due_->trigger;
        request.due = due_->due;
        request.missed = due_->missed;
    }
    run_recorded_ = false;
    failures_before_ = failures_;
    {
        SharedLock lock(LW_EXCLUSIVE);
        Request& asked = shared->request;
        request.actor = asked.actor.view();
        for (int i = 0; i < asked.name_count; ++i) {
            request.databases.emplace_back(asked.names[i].view());
        }
        asked.state = RequestState::running;
        RunProgress& progress = shared->progress;
        progress = RunProgress{};
        progress.phase.set("starting");
        progress.started = progress.database_started = GetCurrentTimestamp();
    }
    run_since_.reset();
    if (request.databases.empty()) {
        run_since_ = now();
    }
    watch_overdue();
    spawn(Work::backup, request, run_limit(resolve_settings(request.settings)));
}

// -------------------------------------------------------------------- how a job ended, and then

// `reported`: the job itself told the outcome, or never began; otherwise it died.
void Supervisor::conclude(Work work, const Error& error, bool reported) {
    switch (work) {
        case Work::start:
            conclude_start(error);
            break;
        case Work::reload:
            if (error.code() != ErrorCode::ok) {
                log_error(WARNING, "immbackup could not record the changed settings", error);
            }
            break;
        case Work::backup:
            conclude_backup(error, reported);
            break;
        case Work::recover:
            if (error.code() != ErrorCode::ok) {
                log_error(WARNING, "immbackup could not clean up after a failed run", error);
            }
            answer_unanswered(error);
            break;
        case Work::stop:
            if (error.code() != ErrorCode::ok) {
                log_error(LOG, "immbackup could not record that its scheduler stops", error);
            }
            answer_unanswered(error);
            finished_ = true;
            break;
        case Work::none:
            break;
    }
}

void Supervisor::conclude_start(const Error& error) {
    if (!following_) {
        // The log could not tell: what is due from now on is tried all the same.
        follow_schedule(now());
    }
    start_recorded_ = start_recorded_ ||
                      (error.code() == ErrorCode::ok && !(bad_setting_ && bad_setting_->directory));
    if (stopping_) {
        return;
    }
    if (bad_setting_) {
        const Error problem(ErrorCode::config, bad_setting_->message, bad_setting_->detail,
                            bad_setting_->hint);
        set_state(WorkerState::misconfigured, &problem);
    } else if (error.code() == ErrorCode::ok) {
        set_state(WorkerState::ready);
        consider_catching_up();
    } else if (error.code() == ErrorCode::busy) {
        // Nothing is wrong; what there is to record is recorded when the other one is done.
        set_state(WorkerState::ready);
        start_due_ = true;
        start_not_before_ = monotonic_ms() + kBusyRetry;
        log_error(LOG, "immbackup will record its start later", error);
    } else {
        set_state(WorkerState::misconfigured, &error);
    }
}

void Supervisor::conclude_backup(const Error& error, bool reported) {
    if (reported) {
        answer(error);
        return;
    }
    // It could not close its run in the audit log: a second job does, then the caller is told.
    recover_reason_ = error.detail().empty() ? error.message() : error.detail();
    unanswered_ = error;
}

void Supervisor::answer_unanswered(const Error& recovery) {
    if (!unanswered_) {
        return;
    }
    const Error error = *unanswered_;
    unanswered_.reset();
    if (recovery.code() == ErrorCode::ok) {
        answer(error);
        return;
    }
    const std::string space = error.detail().empty() ? "" : " ";
    answer(Error(error.code(), error.message(),
                 error.detail() + space +
                     "Closing the run in the audit log failed too: " + recovery.message() + ".",
                 error.hint()));
}

// Ends the request in the slot, whatever it was for.
void Supervisor::answer(const Error& error) {
    std::string run;
    {
        SharedLock lock(LW_EXCLUSIVE);
        run = shared->request.run.view();
        finish_request(fixed(error));
    }
    ConditionVariableBroadcast(&shared->changed);
    run_since_.reset();
    log_end(run, error);
    scheduled_run_ended(error, run_recorded_);
    watch_overdue();
    tell_end(run, error, failures_before_);
}

void Supervisor::log_end(const std::string& run, const Error& error) {
    if (error.code() == ErrorCode::ok) {
        repeats_.forget();
        call_postgres([&] { ereport(LOG, (errmsg("immbackup run %s is good", run.c_str()))); });
        return;
    }
    const bool cancelled = error.code() == ErrorCode::cancelled;
    const auto left_out = due_ && !cancelled
                              ? repeats_.pass("failed: " + error.message(), monotonic_ms())
                              : std::optional<unsigned>(0);
    if (!left_out) {
        return;
    }
    std::string which = run.empty() ? "immbackup run" : "immbackup run " + run;
    which += cancelled ? " was cancelled" : " failed";
    if (*left_out > 0) {
        which += " (" + std::to_string(*left_out) + " more failed in the same way within an hour)";
    }
    log_error(cancelled ? LOG : WARNING, which.c_str(), error);
}

void Supervisor::refuse_queued(const Error& error) {
    {
        SharedLock lock(LW_EXCLUSIVE);
        if (shared->request.state != RequestState::queued) {
            return;
        }
        finish_request(fixed(error));
    }
    ConditionVariableBroadcast(&shared->changed);
}

void Supervisor::set_state(WorkerState state, const Error* problem) {
    const bool changed = state != state_;
    const bool news =
        problem != nullptr && (!problem_ || problem_->message() != problem->message());
    state_ = state;
    if (problem != nullptr) {
        problem_ = *problem;
    } else {
        problem_.reset();
    }
    {
        SharedLock lock(LW_EXCLUSIVE);
        if (changed) {
            shared->worker_since = GetCurrentTimestamp();
        }
        shared->worker_state = state;
        shared->problem = problem != nullptr ? fixed(*problem) : FixedError{};
    }
    ConditionVariableBroadcast(&shared->changed);
    if (news) {
        log_error(WARNING, "immbackup is misconfigured and takes no backups", *problem);
        tell("failure", "", problem);
    } else if (changed && state == WorkerState::ready) {
        call_postgres([] { ereport(LOG, (errmsg("immbackup %s is ready", IMMBACKUP_VERSION))); });
    }
}

// For pg_stat_activity.
void Supervisor::show_activity() {
    std::string text;
    if (work_ == Work::backup) {
        SharedLock lock(LW_SHARED);
        text = "backup run " + std::string(shared->request.run.view());
    } else if (job_) {
        text = "recording";
    }
    if (text == activity_) {
        return;
    }
    activity_ = text;
    pgstat_report_activity(text.empty() ? STATE_IDLE : STATE_RUNNING, text.c_str());
}

}  // namespace immbackup
