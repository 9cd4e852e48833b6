// What is due: the supervisor's timetable, the runs that nobody asked for, and who is told of what
// became of them.
#include <algorithm>

#include "core/json.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/supervisor.h"

namespace immbackup {

namespace {

TimestampTz timestamp_of(std::optional<Time> time) {
    constexpr std::int64_t kPostgresEpochMs = 946'684'800'000;
    return time ? (time->time_since_epoch().count() - kPostgresEpochMs) * 1000 : 0;
}

// Of settings that hold; nothing where there is no schedule.
std::optional<Schedule> schedule_of(const SettingTexts& settings) {
    const auto& text = settings.at("schedule");
    if (text.empty()) {
        return std::nullopt;
    }
    try {
        return Schedule::parse(text, settings.at("timezone"));
    } catch (const Error&) {
        return std::nullopt;  // refused at start: the worker is misconfigured and says so
    }
}

Json time_json(std::optional<Time> time) {
    return time ? Json(format_time(*time)) : Json(nullptr);
}

}  // namespace

// Whether this server, as it is now, takes scheduled runs.
bool Supervisor::on_duty() const {
    bool standby = false;
    call_postgres([&] { standby = RecoveryInProgress(); });
    return role_matches(settings_in_effect()["run_on"], standby);
}

void Supervisor::follow_schedule(Time baseline) {
    const SettingTexts settings = settings_in_effect();
    followed_ = {settings.at("schedule"), settings.at("timezone")};
    schedule_ = schedule_of(settings);
    timetable_.follow(schedule_, baseline);
    following_ = true;
    since_ = since_.value_or(baseline);
    covered_ = covered_.value_or(baseline);
    watch_overdue();
}

// Another schedule counts from now on, at once; its record follows.
void Supervisor::schedule_reloaded() {
    const SettingTexts settings = settings_in_effect();
    if (following_ && followed_ != std::pair(settings.at("schedule"), settings.at("timezone"))) {
        since_ = now();
        follow_schedule(*since_);
    }
}

// What the log says of the past.
void Supervisor::learn(const JobEvent& event) {
    failures_ = event.failures;
    if (event.since) {
        since_ = std::max(*event.since, since_.value_or(*event.since));
    }
    if (event.covered) {
        covered_ = std::max(*event.covered, covered_.value_or(*event.covered));
    }
    if (work_ == Work::start) {
        follow_schedule(event.baseline.value_or(now()));
    } else {
        watch_overdue();
    }
}

// After a start that was recorded.
void Supervisor::consider_catching_up() {
    const SettingTexts settings = settings_in_effect();
    if (schedule_ && covered_ && resolve_settings(settings).catch_up && on_duty() &&
        older_than_a_period(*schedule_, *covered_, now())) {
        call_postgres([] {
            ereport(LOG, (errmsg("immbackup: the last good backup is older than a period of the "
                                 "schedule: catching up")));
        });
        timetable_.catch_up();
    }
}

// Begins what is due; false where nothing is.
bool Supervisor::take_due() {
    if (!following_ || !timetable_.is_due(now())) {
        return false;
    }
    const bool duty = on_duty();
    if (duty != recorded_duty_) {
        reload_due_ = true;
    }
    if (!duty) {
        timetable_.pass(now());
        return reload_due_;
    }
    if (state_ == WorkerState::misconfigured) {
        // Perhaps it was put right meanwhile. If so, the start finds what was missed.
        timetable_.pass(now());
        begin(Work::start);
        return true;
    }
    if (auto due = timetable_.take(now())) {
        due_ = std::move(due);
        occupy_slot();
        begin(Work::backup);
        return true;
    }
    return false;
}

// A run that nobody asked for takes the slot of one that somebody asked for: views, cancel_run()
// and "a run is going on" are the same for both.
void Supervisor::occupy_slot() {
    SharedLock lock(LW_EXCLUSIVE);
    Request& slot = shared->request;
    const std::uint64_t id = slot.id + 1;
    slot = Request{};
    slot.id = id;
    slot.state = RequestState::running;
}

void Supervisor::scheduled_run_ended(const Error& error, bool recorded) {
    if (!due_) {
        return;
    }
    const auto end = error.code() == ErrorCode::ok          ? Timetable::End::good
                     : error.code() == ErrorCode::cancelled ? Timetable::End::cancelled
                                                            : Timetable::End::failed;
    timetable_.ended(end, recorded, now());
    due_.reset();
}

// ------------------------------------------------------------------------------------ who is told

void Supervisor::watch_overdue() {
    overdue_at_.reset();
    if (schedule_ && covered_ && since_ && !overdue_told_) {
        overdue_at_ = overdue_at(*schedule_, std::max(*covered_, *since_), run_since_);
    }
}

void Supervisor::check_overdue() {
    if (!overdue_at_ || now() < *overdue_at_) {
        return;
    }
    overdue_at_.reset();
    if (!on_duty()) {
        return;
    }
    overdue_told_ = true;
    const std::string since = format_time(*covered_);
    call_postgres([&] {
        ereport(WARNING, (errmsg("immbackup: the backups are overdue"),
                          errdetail("No complete run has been good since %s.", since.c_str()),
                          errhint("See views immbackup.status and immbackup.runs.")));
    });
    tell("overdue", "", nullptr);
}

// `before`: failures before this run.
void Supervisor::tell_end(const std::string& run, const Error& error, std::uint32_t before) {
    if (error.code() == ErrorCode::ok) {
        const bool recovered = (before > 0 && failures_ == 0) || (overdue_told_ && failures_ == 0);
        if (recovered) {
            overdue_told_ = false;
            watch_overdue();
            tell("recovery", run, nullptr);
        }
    } else if (error.code() != ErrorCode::cancelled) {
        tell("failure", run, &error);
    }
}

void Supervisor::tell(const char* event, const std::string& run, const Error* error) {
    JobRequest request = base_request("notify");
    if (request.settings["on_event"].empty()) {
        return;
    }
    Json json{{"event", event},
              {"time", format_time(now())},
              {"host", host_name()},
              {"server_port", request.settings["port"]},
              {"directory", request.settings["directory"]},
              {"run", run.empty() ? Json(nullptr) : Json(run)},
              {"consecutive_failures", failures_},
              {"last_good", time_json(covered_)},
              {"next_due", time_json(timetable_.next_due())},
              {"retry_at", time_json(timetable_.retry_at())},
              {"version", IMMBACKUP_VERSION}};
    if (error != nullptr) {
        json["error"] = {{"code", error_code_name(error->code())},
                         {"message", error->message()},
                         {"detail", error->detail()},
                         {"hint", error->hint()}};
    }
    request.notification = json.dump(-1, ' ', true, Json::error_handler_t::replace);
    notifier_.push(std::move(request));
}

// --------------------------------------------------------------------------------------- the clock

std::optional<Time> Supervisor::wake_at() const {
    std::optional<Time> at = overdue_at_;
    if (uploads_at_ && !stopping_ && work_ != Work::backup && state_ == WorkerState::ready &&
        (!at || *uploads_at_ < *at)) {
        at = uploads_at_;
    }
    // What is due while a job is at work waits for its end, which wakes us up.
    if (!job_ && !stopping_ && following_) {
        const auto due = timetable_.wake_at();
        if (due && (!at || *due < *at)) {
            at = due;
        }
    }
    return at;
}

// A run uploads its own; what is left over is for the maintenance lane.
void Supervisor::consider_uploading() {
    if (!uploads_at_ || stopping_ || work_ == Work::backup || state_ != WorkerState::ready ||
        now() < *uploads_at_) {
        return;
    }
    // Until the job says when the next time is; should it die, in an hour.
    uploads_at_ = now() + std::chrono::hours(1);
    maintainer_.upload();
}

void Supervisor::share_schedule() {
    const TimestampTz next = timestamp_of(timetable_.next_due());
    const TimestampTz retry = timestamp_of(timetable_.retry_at());
    SharedLock lock(LW_EXCLUSIVE);
    shared->next_due = next;
    shared->retry_at = retry;
}

}  // namespace immbackup
