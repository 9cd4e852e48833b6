// A run from its request to its end. Everything that happens is recorded, and a record that cannot
// be written ends the run: there is no backup without one.

#include "backup/run.h"

#include <fmt/format.h>

#include <exception>
#include <filesystem>
#include <new>
#include <optional>

#include "backup/artifact.h"
#include "backup/inspect.h"
#include "backup/plan.h"
#include "backup/prune.h"
#include "backup/records.h"
#include "backup/recover.h"
#include "backup/vault_check.h"
#include "core/events.h"
#include "core/health.h"
#include "core/names.h"
#include "io/clock.h"
#include "io/time_limit.h"

namespace immbackup {

namespace {

Error too_long(int seconds) {
    return {ErrorCode::timeout, fmt::format("the run took longer than {} s", seconds),
            "That is the limit in the setting immbackup.run_timeout.",
            "Raise run_timeout, or find out what holds up pg_dump."};
}

// The exception being handled, as ours.
Error current_error() {
    try {
        throw;
    } catch (const Error& error) {
        return error;
    } catch (const std::filesystem::filesystem_error& error) {
        return {ErrorCode::io, error.what()};
    } catch (const std::bad_alloc&) {
        return {ErrorCode::failed, "out of memory"};
    } catch (const std::exception& error) {
        return {ErrorCode::internal, error.what()};
    }
}

class Run {
  public:
    Run(const RunRequest& request, Store& store, AuditLog& audit, CancelToken& cancel,
        Progress& progress)
        : request_(request),
          store_(store),
          audit_(audit),
          cancel_(cancel),
          progress_(progress),
          uploads_(request.settings, store, audit, cancel, progress) {}

    RunResult execute();

  private:
    void record(const char* event, const std::string& body);
    void warn(std::string text);
    void record_request();
    void begin();
    void check_level();
    void dump_all();
    void dump_items(const ArtifactContext& context);
    void dump_item(const ArtifactContext& context, std::size_t index);
    void sealed(const Manifest& manifest, const DumpItem& item);
    void failed(const DumpItem& item, const Error& error);
    void count_up();
    void finish();
    void end_badly(const Error& error);
    std::vector<std::string> remaining() const;

    const RunRequest& request_;
    Store& store_;
    AuditLog& audit_;
    CancelToken& cancel_;
    Progress& progress_;
    RunUploads uploads_;

    RunResult result_;
    std::vector<DumpItem> items_;
    std::size_t done_ = 0;  // items that are sealed or have failed
    std::vector<FailedDump> failures_;
    RunTotals totals_;
    std::uint64_t begun_ = monotonic_ms();
    bool audit_broken_ = false;
};

void Run::record(const char* event, const std::string& body) {
    try {
        audit_.append(event, body);
    } catch (...) {
        audit_broken_ = true;
        throw;
    }
}

void Run::warn(std::string text) {
    progress_.warning(text);
    result_.warnings.push_back(std::move(text));
}

RunResult Run::execute() {
    check_names(request_.databases);
    audit_.refresh();
    result_.run = next_run_id(now(), audit_.catalog().last_run);
    record_request();
    progress_.run_id(result_.run);
    try {
        const int seconds = request_.settings.run_timeout;
        {
            const TimeLimit limit(seconds, cancel_, too_long(seconds));
            begin();
            dump_all();
        }
        finish();
    } catch (...) {
        end_badly(current_error());
    }
    uploads_.anchor();
    prune_after(store_, audit_, request_.settings, cancel_, progress_);
    audit_.save_checkpoint();
    return std::move(result_);
}

// A job that died just after its record leaves the scheduler in doubt whether it was written: what
// the log has already is not served twice.
void Run::record_request() {
    const auto open = [this](Time due) {
        const auto served = parse_time(audit_.catalog().served);
        return !served || due > *served;
    };
    for (const auto& missed : request_.missed) {
        if (open(missed.first)) {
            record(event::kRunMissed,
                   run_missed_body(missed, "no run could be begun before the next due time"));
        }
    }
    const auto due = request_.due && open(*request_.due) ? request_.due : std::nullopt;
    record(event::kRunRequested, run_requested_body(result_.run, request_.trigger, request_.actor,
                                                    request_.databases, due));
}

void Run::begin() {
    const SweepReport swept =
        recover_leftovers(store_, audit_, "Run " + result_.run + " found it without an end.",
                          result_.run, ForeignFiles::leave);
    const Settings& settings = request_.settings;
    record(event::kRunStarted,
           run_started_body(result_.run,
                            request_.databases.empty() ? settings.databases : request_.databases,
                            wants_globals(settings, request_.databases)));
    inspect_artifacts(store_, audit_, cancel_, progress_);
    prune_after(store_, audit_, settings, cancel_, progress_);
    if (!swept.foreign.empty()) {
        warn(
            fmt::format("the backup directory holds {} that immbackup did not make, such as "
                        "\"{}\"",
                        swept.foreign.size() == 1 ? std::string("a file")
                                                  : fmt::format("{} files", swept.foreign.size()),
                        swept.foreign.front()));
    }
}

// The seal is tried before there is something to seal. That it became weaker is told, also where
// that is allowed.
void Run::check_level() {
    record_vault(store_, audit_);
    const SealLevel level = store_.seal_level();
    const SealLevel required = request_.settings.require_seal;
    check_seal(level, required, level < required ? store_.seal_reason() : "");
    const std::string before = standing(audit_.catalog(), immbackup::now()).newest_seal;
    if (level < seal_level_from_name(before).value_or(level)) {
        std::string text =
            fmt::format("backups are now sealed as \"{}\", the last one was as \"{}\". {}",
                        seal_level_name(level), before, store_.seal_reason());
        progress_.alarm(event::kAlarmSealWeakened, text);
        result_.warnings.push_back(std::move(text));
    }
}

// Whatever is wrong for all of them fails the run here, before the first dump.
void Run::dump_all() {
    ProgressState state;
    state.phase = "connecting";
    progress_.update(state);
    cancel_.check();
    const Settings& settings = request_.settings;
    check_level();
    uploads_.prepare();
    const auto target = ConnectionTarget::from_settings(settings);
    const DumpProgram pg_dump = find_program(request_.bindir, "pg_dump", cancel_);
    const auto& wanted = request_.databases.empty() ? settings.databases : request_.databases;
    const Discovery discovery =
        discover_server(target, wanted, cancel_, std::chrono::seconds(settings.connect_wait));
    check_program_version(pg_dump, discovery.server.version_num);
    items_ = plan_run(settings, request_.databases, discovery.databases);
    std::optional<DumpProgram> pg_dumpall;
    if (items_.back().globals) {
        pg_dumpall = find_program(request_.bindir, "pg_dumpall", cancel_);
        check_program_version(*pg_dumpall, discovery.server.version_num);
        if (!discovery.superuser) {
            warn(
                "the globals are dumped without role passwords: the role that takes the backup "
                "may not read them");
        }
    }
    dump_items({result_.run, settings, settings.databases.size() == 1 && request_.databases.empty(),
                target, discovery, pg_dump, pg_dumpall ? &*pg_dumpall : nullptr, store_, audit_,
                cancel_, progress_, uploads_});
}

void Run::dump_items(const ArtifactContext& context) {
    while (done_ < items_.size()) {
        cancel_.check();
        dump_item(context, done_);
        ++done_;
    }
}

void Run::dump_item(const ArtifactContext& context, std::size_t index) {
    const DumpItem item = items_[index];
    ProgressState state;
    state.databases_done = static_cast<std::uint32_t>(index);
    state.databases_total = static_cast<std::uint32_t>(items_.size());
    std::optional<Manifest> manifest;
    std::optional<Error> error;
    try {
        manifest = make_artifact(context, item, state);
    } catch (...) {
        error = current_error();
    }
    state.phase = "recording";
    state.database = item.database;
    if (manifest) {
        state.databases_done += 1;
        progress_.update(state);
        sealed(*manifest, item);
        return;
    }
    uploads_.failed();
    // Asked to stop, or the server is going away: the others would fail likewise.
    if (cancel_.cancelled() || error->code() == ErrorCode::cancelled) {
        throw Error(*error);
    }
    progress_.update(state);
    failed(item, *error);
}

void Run::sealed(const Manifest& manifest, const DumpItem& item) {
    record(event::kArtifactSealed,
           artifact_sealed_body(manifest, store_.stamp(manifest.artifact), uploads_.wanted()));
    uploads_.sealed(manifest);
    result_.artifacts.push_back(manifest.artifact);
    result_.bytes += manifest.size;
    totals_.sql_bytes += manifest.sql_size;
    totals_.rows += manifest.rows;
    if (!manifest.anomaly.empty()) {
        progress_.alarm(event::kAlarmAnomaly, fmt::format("the backup of {} is an anomaly: {}",
                                                          item.title(), manifest.anomaly));
        result_.warnings.push_back(
            fmt::format("backup of {} is an anomaly: {}", item.title(), manifest.anomaly));
    }
    if (!manifest.warnings.empty()) {
        const std::size_t more = manifest.warnings.size() - 1;
        warn(fmt::format("dump of {}: {}{}", item.title(), manifest.warnings.front(),
                         more == 0 ? "" : fmt::format(" ({} more lines in its manifest)", more)));
    }
}

void Run::failed(const DumpItem& item, const Error& error) {
    std::optional<std::string> database;
    if (!item.globals) {
        database = item.database;
    }
    failures_.push_back({std::move(database), error});
    record(event::kArtifactFailed, artifact_failed_body(result_.run, failures_.back()));
    progress_.warning(fmt::format("could not back up {}: {}", item.title(), error.message()));
}

void Run::count_up() {
    totals_.artifacts = result_.artifacts.size();
    totals_.bytes = result_.bytes;
    totals_.seconds = static_cast<double>(monotonic_ms() - begun_) / 1000.0;
}

// What was dumped is uploaded, whatever became of the others; then the run is what it is.
void Run::finish() {
    const auto upload_error = uploads_.finish();
    if (!failures_.empty()) {
        throw run_error(failures_, items_.size());
    }
    if (upload_error && request_.settings.s3.required) {
        throw Error(*upload_error);
    }
    count_up();
    record(event::kRunFinished, run_finished_body(result_.run, totals_, result_.warnings));
}

// What was not come to, or was stopped in the middle.
std::vector<std::string> Run::remaining() const {
    if (items_.empty()) {
        // It did not come as far as finding out.
        return request_.databases.empty() ? request_.settings.databases : request_.databases;
    }
    std::vector<std::string> names;
    for (std::size_t i = done_; i < items_.size(); ++i) {
        names.push_back(items_[i].globals ? "(globals)" : items_[i].database);
    }
    return names;
}

void Run::end_badly(const Error& error) {
    count_up();
    const bool cancelled = error.code() == ErrorCode::cancelled;
    std::string body;
    if (cancelled) {
        body = run_cancelled_body(result_.run, totals_, error, remaining());
    } else {
        // At a time-out, what is left has failed for that reason.
        for (std::size_t i = done_; i < items_.size(); ++i) {
            const DumpItem& item = items_[i];
            failures_.push_back(
                {item.globals ? std::nullopt : std::optional(item.database), error});
        }
        body = run_failed_body(result_.run, totals_, error, failures_);
    }
    const bool was_broken = audit_broken_;
    try {
        record(cancelled ? event::kRunCancelled : event::kRunFailed, body);
    } catch (const Error& reason) {
        if (was_broken) {
            throw Error(error);
        }
        throw Error(reason.code(),
                    fmt::format("the end of run {} could not be recorded: {}", result_.run,
                                reason.message()),
                    fmt::format("The run itself ended with: {}.", error.message()), reason.hint());
    }
    uploads_.anchor();
    audit_.save_checkpoint();
    throw Error(error);
}

}  // namespace

RunResult run_backup(const RunRequest& request, Store& store, AuditLog& audit, CancelToken& cancel,
                     Progress& progress) {
    return Run(request, store, audit, cancel, progress).execute();
}

}  // namespace immbackup
