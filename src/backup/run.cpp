// The order of a run. Each record is durable before the next step begins, so that whatever kills
// this process, the log says how far it came.

#include "backup/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "backup/artifact.h"
#include "backup/records.h"
#include "core/events.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// Cancels the token when a run takes longer than it may; ends with its scope.
class Watchdog {
  public:
    Watchdog(int seconds, CancelToken& cancel) {
        if (seconds > 0) {
            thread_ = std::thread([this, seconds, &cancel] { watch(seconds, cancel); });
        }
    }
    ~Watchdog() {
        {
            const std::lock_guard lock(mutex_);
            done_ = true;
        }
        wake_.notify_all();
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

  private:
    void watch(int seconds, CancelToken& cancel) {
        std::unique_lock lock(mutex_);
        if (!wake_.wait_for(lock, std::chrono::seconds(seconds), [this] { return done_; })) {
            cancel.cancel(Error(ErrorCode::timeout,
                                fmt::format("the run took longer than {} s", seconds), {},
                                "Raise immbackup.run_timeout, or find out what holds it up."));
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    bool done_ = false;
    std::thread thread_;
};

struct RunState {
    std::vector<std::string> wanted;  // databases
    bool sole = false;
    bool globals = false;
    std::size_t next = 0;  // of wanted: how many were begun
    std::vector<FailedDump> failed;
    RunTotals totals;
    RunResult result;
    std::uint64_t begin = monotonic_ms();
};

std::vector<std::string> requested_names(const RunRequest& request) {
    const auto& names = request.databases.empty() ? request.settings.databases : request.databases;
    auto sorted = names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) {
        throw Error(ErrorCode::usage, fmt::format("database \"{}\" is named twice", *twice));
    }
    return names;
}

void count(RunState& state, const Manifest& manifest) {
    ++state.totals.artifacts;
    state.totals.bytes += manifest.size;
    state.totals.sql_bytes += manifest.sql_size;
    state.totals.rows += manifest.rows;
    state.result.artifacts.push_back(manifest.artifact);
    for (const auto& warning : manifest.warnings) {
        state.result.warnings.push_back(
            fmt::format("{}: {}", manifest.globals ? "globals" : manifest.database.name, warning));
    }
}

// An error after which no further database can be dumped either.
bool ends_run(const Error& error, const CancelToken& cancel) {
    return cancel.cancelled() || error.code() == ErrorCode::cancelled ||
           error.code() == ErrorCode::audit;
}

// Runs one dump; a failure is recorded and remembered, unless it ends the whole run.
template <typename Dump>
void attempt(RunContext& context, RunState& state, std::optional<std::string> database,
             const Dump& dump) {
    try {
        count(state, dump());
    } catch (const Error& error) {
        if (ends_run(error, context.cancel)) {
            throw;
        }
        state.failed.push_back({std::move(database), error});
        context.audit.append(event::kArtifactFailed,
                             artifact_failed_body(context.run, state.failed.back()));
    }
}

// Asks the server what there is, and looks for the programs that fit it.
void discover(RunContext& context, RunState& state, const std::vector<std::string>& names) {
    context.state.phase = "connecting";
    context.progress.update(context.state);
    const Discovery found = discover_server(context.target, names, context.cancel);
    context.server = found.server;
    context.role_passwords = found.superuser;
    const std::string& bindir = context.request.bindir;
    context.pg_dump = find_program(bindir, "pg_dump", context.cancel);
    check_program_version(context.pg_dump, found.server.version_num);
    state.globals =
        context.request.settings.dump_globals == GlobalsMode::on ||
        (context.request.settings.globals_wanted() && context.request.databases.empty());
    if (state.globals) {
        context.pg_dumpall = find_program(bindir, "pg_dumpall", context.cancel);
    }
    state.wanted = names.empty() ? found.databases : names;
    state.sole = context.request.databases.empty()
                     ? context.request.settings.databases.size() == 1
                     : context.request.settings.databases == names && names.size() == 1;
    if (state.wanted.empty()) {
        throw Error(ErrorCode::not_found, "there is no database to back up",
                    "Every database is a template or refuses connections.");
    }
    context.state.databases_total = static_cast<std::uint32_t>(state.wanted.size());
}

void dump_all(RunContext& context, RunState& state) {
    while (state.next < state.wanted.size()) {
        context.cancel.check();
        const std::string& database = state.wanted[state.next];
        attempt(context, state, database,
                [&] { return make_artifact(context, database, state.sole); });
        ++state.next;
        context.state.databases_done = static_cast<std::uint32_t>(state.next);
    }
    if (state.globals) {
        context.cancel.check();
        attempt(context, state, std::nullopt, [&] { return make_globals(context); });
    }
}

std::vector<std::string> remaining(const RunState& state) {
    return {state.wanted.begin() +
                static_cast<std::ptrdiff_t>(std::min(state.next, state.wanted.size())),
            state.wanted.end()};
}

// Records how the run ended with an error, and throws it.
[[noreturn]] void end_badly(RunContext& context, RunState& state, Error error) {
    state.totals.seconds = static_cast<double>(monotonic_ms() - state.begin) / 1000.0;
    // The reason of a cancellation counts, not what broke because of it.
    if (const auto reason = context.cancel.reason()) {
        error = *reason;
    }
    if (error.code() == ErrorCode::cancelled) {
        context.audit.append(event::kRunCancelled, run_cancelled_body(context.run, state.totals,
                                                                      error, remaining(state)));
    } else {
        context.audit.append(event::kRunFailed,
                             run_failed_body(context.run, state.totals, error, state.failed));
    }
    context.audit.save_checkpoint();
    throw Error(error);
}

void run_dumps(RunContext& context, RunState& state, const std::vector<std::string>& names) {
    const Watchdog watchdog(context.request.settings.run_timeout, context.cancel);
    context.target = ConnectionTarget::from_settings(context.request.settings);
    discover(context, state, names);
    context.audit.append(event::kRunStarted,
                         run_started_body(context.run, state.wanted, state.globals));
    dump_all(context, state);
    if (!state.failed.empty()) {
        throw run_error(state.failed, state.wanted.size() + (state.globals ? 1U : 0U));
    }
}

}  // namespace

RunResult run_backup(const RunRequest& request, Store& store, AuditLog& audit, CancelToken& cancel,
                     Progress& progress) {
    const std::vector<std::string> names = requested_names(request);
    audit.refresh();
    recover(store, audit, "the process that took the run ended without a record of it");
    RunState state;
    RunContext context{
        request, store, audit, cancel, progress, next_run_id(now(), audit.catalog().last_run),
        {},      {},    {},    {},     true,     {}};
    audit.append(event::kRunRequested,
                 run_requested_body(context.run, request.trigger, request.actor, names));
    progress.run_id(context.run);
    state.result.run = context.run;
    try {
        run_dumps(context, state, names);
    } catch (const Error& error) {
        end_badly(context, state, error);
    } catch (const std::exception& error) {
        end_badly(context, state,
                  Error(ErrorCode::internal, fmt::format("the run failed: {}", error.what())));
    }
    state.totals.seconds = static_cast<double>(monotonic_ms() - state.begin) / 1000.0;
    state.result.bytes = state.totals.bytes;
    audit.append(event::kRunFinished,
                 run_finished_body(context.run, state.totals, state.result.warnings));
    audit.save_checkpoint();
    return state.result;
}

}  // namespace immbackup
