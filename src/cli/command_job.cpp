// `immbackup job`: the child's end of the job protocol (core/job_protocol.h). Not for people.

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <optional>

#include "backup/acts.h"
#include "backup/bodies.h"
#include "backup/import.h"
#include "backup/notify.h"
#include "backup/promise.h"
#include "backup/prune.h"
#include "backup/records.h"
#include "backup/retention_change.h"
#include "backup/run.h"
#include "backup/s3_check.h"
#include "backup/uploads.h"
#include "backup/vault_check.h"
#include "cli/commands.h"
#include "cli/signal_watcher.h"
#include "core/events.h"
#include "core/job_protocol.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/process.h"

namespace immbackup {

namespace {

constexpr int kDirectoryWaitMs = 30'000;
constexpr int kRecoveryWaitMs = 2'000;
constexpr std::uint64_t kProgressMs = 250;
constexpr int kWriteWaitMs = 10'000;

// Events to the scheduler. A reader that is slow or gone never holds up a backup: progress is
// dropped then, everything else waits a bounded time.
class EventWriter final : public Progress {
  public:
    explicit EventWriter(SignalWatcher& signals) : signals_(signals) {
        ::fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
    }

    void update(const ProgressState& state) override {
        const std::lock_guard lock(mutex_);
        const std::uint64_t time = monotonic_ms();
        if (state.phase != phase_ || state.database != database_) {
            phase_ = state.phase;
            database_ = state.database;
            JobEvent event;
            event.kind = JobEventKind::phase;
            event.phase = phase_;
            event.database = database_;
            send(event, kWriteWaitMs);
        } else if (time < last_ + kProgressMs) {
            return;
        }
        last_ = time;
        JobEvent event;
        event.kind = JobEventKind::progress;
        event.database = state.database;
        event.table = state.table;
        event.bytes_in = state.bytes_in;
        event.bytes_out = state.bytes_out;
        event.bytes_total = state.bytes_total;
        event.databases_done = state.databases_done;
        event.databases_total = state.databases_total;
        send(event, 0);
    }
    void run_id(std::string_view run) override {
        JobEvent event;
        event.kind = JobEventKind::run;
        event.run = run;
        locked_send(event);
    }
    void dump_process(int process_group) override {
        signals_.set_dump_group(process_group);
        JobEvent event;
        event.kind = JobEventKind::dump;
        event.process_group = process_group;
        locked_send(event);
    }
    void warning(std::string_view text) override {
        JobEvent event;
        event.kind = JobEventKind::warning;
        event.text = text;
        locked_send(event);
    }
    void alarm(std::string_view event_name, std::string_view text) override {
        JobEvent event;
        event.kind = JobEventKind::alarm;
        event.alarm = event_name;
        event.text = text;
        locked_send(event);
    }
    void result(const Error& error) {
        JobEvent event;
        event.kind = JobEventKind::result;
        event.exit_code = error.exit_code();
        event.message = error.message();
        event.detail = error.detail();
        event.hint = error.hint();
        locked_send(event);
    }

    void locked_send(const JobEvent& event) {
        const std::lock_guard lock(mutex_);
        send(event, kWriteWaitMs);
    }

  private:
    // Writes the whole line, or, with no time to wait and no room, nothing of it.
    void send(const JobEvent& event, int wait_ms) {
        const std::string line = format_job_event(event);
        std::string_view rest = line;
        while (!rest.empty()) {
            const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
            if (count > 0) {
                rest.remove_prefix(static_cast<std::size_t>(count));
                wait_ms = std::max(wait_ms, kWriteWaitMs);  // half a line must become a whole one
                continue;
            }
            if (count < 0 && errno == EINTR) {
                continue;
            }
            pollfd wait{STDOUT_FILENO, POLLOUT, 0};
            if (count == 0 || errno != EAGAIN || wait_ms == 0 || ::poll(&wait, 1, wait_ms) <= 0) {
                return;
            }
        }
    }

    SignalWatcher& signals_;
    std::mutex mutex_;
    std::string phase_;
    std::string database_;
    std::uint64_t last_ = 0;
};

// One line from stdin; what follows it stays unread.
std::string read_request() {
    std::string line;
    std::array<char, 4096> buffer{};
    while (line.size() <= kMaxRequest) {
        const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;
        }
        line.append(buffer.data(), static_cast<std::size_t>(count));
        if (const auto end = line.find('\n'); end != std::string::npos) {
            line.resize(end);
            return line;
        }
    }
    throw Error(ErrorCode::usage, "there is no job request on standard input", {},
                "`immbackup job` is started by the server; use `immbackup backup` by hand.");
}

// What the log says of the past, for the scheduler's timetable.
void report_schedule(const AuditLog& audit, EventWriter& events) {
    const PastRuns past = past_runs(audit.catalog());
    JobEvent event;
    event.kind = JobEventKind::schedule;
    event.since = past.since;
    event.baseline = past.baseline;
    event.covered = past.covered;
    event.failures =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(audit.catalog().failures, UINT32_MAX));
    events.locked_send(event);
}

// What waits for the bucket, for the scheduler.
void report_uploads(const AuditLog& audit, const Settings& settings, EventWriter& events,
                    bool stopped = false) {
    if (settings.s3.bucket.empty()) {
        return;
    }
    const PendingUploads pending = pending_uploads(audit.catalog(), settings, now(), stopped);
    JobEvent event;
    event.kind = JobEventKind::uploads;
    event.pending = static_cast<std::uint32_t>(std::min<std::uint64_t>(pending.count, UINT32_MAX));
    event.next = pending.next;
    events.locked_send(event);
}

void do_backup(const JobRequest& request, const Settings& settings, Store& store,
               CancelToken& cancel, EventWriter& events) {
    const auto lock =
        DirectoryLock::acquire(store.layout().lock_file(), "backup job", kDirectoryWaitMs);
    AuditLog audit = store.open_audit("job");
    try {
        run_backup({settings, request.bindir, request.trigger, request.actor, request.databases,
                    request.due, request.missed},
                   store, audit, cancel, events);
    } catch (...) {
        report_schedule(audit, events);
        report_uploads(audit, settings, events);
        throw;
    }
    report_schedule(audit, events);
    report_uploads(audit, settings, events);
}

void do_notify(const JobRequest& request, const Settings& settings, CancelToken& cancel) {
    if (settings.on_event.empty()) {
        return;
    }
    const std::uint64_t begun = monotonic_ms();
    std::optional<Error> problem;
    try {
        notify(settings.on_event, request.notification, cancel);
    } catch (const Error& error) {
        problem = error;
        // What the program started may go on: it is in our group, and we read the signal elsewhere.
        if (::getpgrp() == ::getpid()) {
            ::kill(0, SIGTERM);
        }
    }
    const auto event = Json::parse(request.notification, nullptr, false);
    Body body{{"event", event.is_object() ? event.value("event", "") : ""},
              {"program", bounded_text(settings.on_event.front(), 1000)},
              {"result", problem ? "failed" : "ok"}};
    if (problem) {
        body["problem"] = bounded_text(problem->message(), 2000);
    }
    body["seconds"] = static_cast<double>(monotonic_ms() - begun) / 1000.0;
    try {
        open_store(settings)->open_audit("job").append(event::kNotified, body_text(body));
    } catch (const Error& error) {
        // That the log cannot be written may be the very thing that was told.
        problem = problem.value_or(error);
    }
    if (problem) {
        throw Error(*problem);
    }
}

void record_settings(const JobRequest& request, const Settings& settings, AuditLog& audit,
                     EventWriter& events) {
    const auto& recorded = audit.catalog().settings;
    const SettingTexts before(recorded.begin(), recorded.end());
    if (const auto body = settings_changed_body(before, request.settings, request.settings_at)) {
        audit.append(event::kSettingsChanged, *body);
        record_retention_change(audit, before, settings, now(), events);
    }
}

void warn_of_shared_disk(const JobRequest& request, const Settings& settings, EventWriter& events) {
    if (request.data_directory.empty()) {
        return;
    }
    if (space_of(request.data_directory).device == space_of(settings.directory).device) {
        events.warning(fmt::format(
            "the backup directory \"{}\" is on the file system of the data directory: a disk that "
            "fails takes both, and backups that fill it stop the server",
            settings.directory));
    }
}

void do_prune(const Settings& settings, Store& store, const CancelToken& cancel,
              EventWriter& events) {
    const auto lock =
        DirectoryLock::acquire(store.layout().lock_file(), "prune job", kRecoveryWaitMs);
    AuditLog audit = store.open_audit("job");
    prune(store, audit, settings, cancel, events);
    report_uploads(audit, settings, events);  // what is gone here may be gone there, some day
}

// A hold, or longer locks that count now, may make a lock due at once.
void do_act(const JobRequest& request, const Settings& settings, Store& store,
            const CancelToken& cancel, EventWriter& events) {
    AuditLog audit = store.open_audit("job");
    record_act(store, audit, {request.act, request.subject, request.reason, request.actor});
    report_uploads(audit, settings, events);
    follow_with_legal_hold(settings, audit, request.act, request.subject, cancel);
}

void do_upload(const JobRequest& request, const Settings& settings, Store& store,
               const CancelToken& cancel, EventWriter& events) {
    AuditLog audit = store.open_audit("job");
    std::optional<Error> problem;
    bool stopped = false;
    try {
        const UploadReport report =
            upload_pending(settings, store, audit, request.act == "all", cancel, events);
        if (!report.failed.empty()) {
            problem = report.failed.front().error;
        }
    } catch (const Error& error) {
        problem = error;
        stopped = true;
    }
    report_uploads(audit, settings, events, stopped);
    if (problem) {
        throw Error(*problem);
    }
}

void do_s3_check(const JobRequest& request, const Settings& settings, const Store& store,
                 const CancelToken& cancel) {
    AuditLog audit = store.open_audit("job");
    check_s3(settings, audit, request.act == "probe" ? s3::Depth::lock : s3::Depth::full, cancel);
}

void do_import(const Settings& settings, Store& store, const CancelToken& cancel,
               EventWriter& events) {
    const auto lock =
        DirectoryLock::acquire(store.layout().lock_file(), "import job", kRecoveryWaitMs);
    AuditLog audit = store.open_audit("job");
    const ImportReport report = import_artifacts(store, audit, settings, cancel, events);
    const auto failed = std::find_if(report.left.begin(), report.left.end(),
                                     [](const auto& each) { return each.failed; });
    if (failed != report.left.end()) {
        throw Error(
            ErrorCode::failed,
            fmt::format("artifact {} could not be imported: {}", failed->artifact, failed->reason),
            fmt::format("{} were imported.", report.imported.size()),
            "It stays where it is. The server's log has the others, if there are any.");
    }
}

void recover_if_free(const JobRequest& request, Store& store, AuditLog& audit,
                     EventWriter& events) {
    try {
        const auto lock =
            DirectoryLock::acquire(store.layout().lock_file(), "recovery job", kRecoveryWaitMs);
        audit.refresh();
        recover(store, audit,
                request.recover_reason.empty() ? "the server stopped while the run was going on"
                                               : request.recover_reason);
        audit.save_checkpoint();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::busy) {
            throw;
        }
        // Whoever holds it is at work on these files; what it leaves, the next run finds.
        events.warning("leftovers of an earlier run are not looked for: " + error.message());
    }
}

void do_record(const JobRequest& request, const Settings& settings, Store& store,
               EventWriter& events) {
    AuditLog audit = store.open_audit("job");
    for (const auto& record : request.records) {
        audit.append(record.event.c_str(), record.body);
    }
    if (request.settings_diff) {
        record_settings(request, settings, audit, events);
    }
    if (request.find_missed) {
        record_missed(audit, now(), request.missed_reason);
    }
    if (request.record_promise) {
        record_promise(audit, settings, request.active);
    }
    if (request.recover) {
        recover_if_free(request, store, audit, events);
    }
    report_schedule(audit, events);
    report_uploads(audit, settings, events);
    if (request.settings_at == "start") {
        warn_of_shared_disk(request, settings, events);
    }
    if (request.settings_at == "start") {
        record_vault(store, audit);
        if (const auto weak = weak_seal(store)) {
            events.warning(*weak);
        }
    }
}

// For the jobs that work for long. The session is that of the server's worker, which does next to
// nothing by itself: it goes along for the time of the job.
class GentleSession {
  public:
    explicit GentleSession(int nice) { set_session_niceness(nice); }
    ~GentleSession() { set_session_niceness(0); }
    GentleSession(const GentleSession&) = delete;
    GentleSession& operator=(const GentleSession&) = delete;
};

void do_job(const JobRequest& request, CancelToken& cancel, EventWriter& events) {
    constexpr std::array<std::string_view, 8> kJobs{"backup", "record", "notify",   "prune",
                                                    "act",    "upload", "s3_check", "import"};
    if (std::find(kJobs.begin(), kJobs.end(), request.job) == kJobs.end()) {
        throw Error(ErrorCode::usage, fmt::format("\"{}\" is not a job", request.job));
    }
    const Settings settings = resolve_settings(request.settings);
    add_niceness(settings.nice);
    std::optional<GentleSession> gentle;
    if (request.job == "backup" || request.job == "import") {
        gentle.emplace(settings.nice);  // 0 as well: a job that was killed left it as it was
    }
    set_io_priority(settings.io_priority);
    if (request.job == "notify") {
        do_notify(request, settings, cancel);
        return;
    }
    const auto store = open_store(settings);
    if (request.job == "backup") {
        do_backup(request, settings, *store, cancel, events);
    } else if (request.job == "prune") {
        do_prune(settings, *store, cancel, events);
    } else if (request.job == "act") {
        do_act(request, settings, *store, cancel, events);
    } else if (request.job == "upload") {
        do_upload(request, settings, *store, cancel, events);
    } else if (request.job == "import") {
        do_import(settings, *store, cancel, events);
    } else if (request.job == "s3_check") {
        do_s3_check(request, settings, *store, cancel);
    } else {
        do_record(request, settings, *store, events);
    }
}

int run_job() {
    const pid_t parent = ::getppid();
    CancelToken cancel;
    SignalWatcher signals(cancel);
    EventWriter events(signals);
    Error outcome(ErrorCode::ok, "");
    try {
        forbid_core_files();
        bind_to_parent(parent);
        volunteer_for_oom_killer();
        const JobRequest request = job_request_from_json(read_request());
        signals.watch_stdin();
        do_job(request, cancel, events);
    } catch (const Error& error) {
        outcome = error;
    } catch (const std::exception& error) {
        outcome = Error(ErrorCode::internal, error.what());
    }
    events.result(outcome);
    // Reaped by a postmaster as PID 1, any other code would look like the crash of a server
    // process.
    return signals.parent_gone() ? std::min(outcome.exit_code(), 1) : outcome.exit_code();
}

}  // namespace

void register_job(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("job", "Started by the server");
    command->group("");
    command->callback([&context] { context.action = [] { return run_job(); }; });
}

}  // namespace immbackup
