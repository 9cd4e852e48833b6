// The set-returning functions below the views. They read the audit log (never writing, never
// locking), shared memory and the settings. No content of a log makes them fail: what cannot be
// read is a row with `problem` set.
#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>

#include "core/catalog.h"
#include "core/health.h"
#include "core/names.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/rows.h"
#include "postgres/shmem.h"
#include "store/audit_log.h"
#include "store/layout.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_audit);
PG_FUNCTION_INFO_V1(immbackup_verify_audit);
PG_FUNCTION_INFO_V1(immbackup_runs);
PG_FUNCTION_INFO_V1(immbackup_artifacts);
PG_FUNCTION_INFO_V1(immbackup_progress);
PG_FUNCTION_INFO_V1(immbackup_status);
PG_FUNCTION_INFO_V1(immbackup_settings);
PG_FUNCTION_INFO_V1(immbackup_next_runs);
}

namespace immbackup {

namespace {

Layout layout() {
    return Layout{configured_directory()};
}

void write_record(RowWriter& row, const AuditRecord* record, const std::string& problem) {
    if (record == nullptr) {
        for (int column = 0; column < 7; ++column) {
            row.null();
        }
        row.text(problem);
        row.emit();
        return;
    }
    // The envelope was checked; the body only its owner can judge.
    const bool is_json = nlohmann::json::accept(record->body);
    row.number(record->seq);
    row.time_or_null(record->time);
    row.text(record->origin);
    row.text(record->event);
    if (is_json) {
        row.json(record->body);
    } else {
        row.null();
    }
    row.text(record->prev);
    row.text(record->hash);
    row.text_or_null(is_json ? std::string_view(problem) : "The body is not JSON.");
    row.emit();
}

void write_error(RowWriter& row, const std::optional<ErrorText>& error) {
    row.text_or_null(error ? std::string_view(error->message) : "");
    row.text_or_null(error ? std::string_view(error->detail) : "");
    row.text_or_null(error ? std::string_view(error->hint) : "");
    row.text_or_null(error ? std::string_view(error->code) : "");
}

void write_run(RowWriter& row, const RunEntry& run) {
    row.text(run.run);
    row.time_or_null(run.requested);
    row.time_or_null(run.started);
    row.time_or_null(run.finished);
    row.text(run.state);
    row.text_or_null(run.trigger);
    row.text_or_null(run.actor);
    row.time_or_null(run.due);
    row.number(run.artifacts);
    row.number(run.bytes);
    write_error(row, run.error);
    row.emit();
}

// The names in active/, so that three hundred thousand stat() calls are one listing. An absent
// folder has none.
std::unordered_set<std::string> files_present(const std::filesystem::path& folder) {
    std::unordered_set<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
    if (!directory) {
        if (errno == ENOENT) {
            return names;
        }
        throw system_error(errno, "list directory", folder.native());
    }
    while (const dirent* entry = ::readdir(directory.get())) {
        names.emplace(entry->d_name);
        if (names.size() % 1024 == 0) {
            check_interrupts();
        }
    }
    return names;
}

void write_artifact(RowWriter& row, const ArtifactEntry& artifact,
                    const std::unordered_set<std::string>& present) {
    const bool complete = present.contains(artifact_file(artifact.artifact)) &&
                          present.contains(digest_file(artifact.artifact)) &&
                          present.contains(manifest_file(artifact.artifact));
    row.text(artifact.artifact);
    row.text(artifact.run);
    row.text_or_null(artifact.database);
    row.flag(artifact.globals);
    row.text_or_null(artifact.tier);
    row.time_or_null(artifact.taken);
    row.time_or_null(artifact.retain_until);
    row.number(artifact.size);
    row.number(artifact.sql_size);
    row.number(artifact.rows);
    row.text_or_null(artifact.sha256);
    row.text_or_null(artifact.seal);
    row.text(complete ? std::string_view(artifact.state) : "missing");
    row.time_or_null(artifact.verified);
    row.emit();
}

struct SharedCopy {
    WorkerState state;
    TimestampTz since;
    int pid;
    FixedError problem;
    RequestState request;
    FixedText<32> run;
    RunProgress progress;
    TimestampTz next_due;
    TimestampTz retry_at;
};

SharedCopy copy_shared() {
    SharedLock lock(LW_SHARED);
    return {shared->worker_state, shared->worker_since,  shared->worker_pid,
            shared->problem,      shared->request.state, shared->request.run,
            shared->progress,     shared->next_due,      shared->retry_at};
}

void write_progress(RowWriter& row, const SharedCopy& now) {
    const RunProgress& progress = now.progress;
    const bool queued = now.request == RequestState::queued;
    const double elapsed =
        static_cast<double>(GetCurrentTimestamp() - progress.database_started) / 1e6;
    const double in = static_cast<double>(progress.bytes_in);
    const double total = static_cast<double>(progress.bytes_total);
    const double rate = elapsed > 0 && in > 0 ? in / elapsed : 0;
    row.text_or_null(now.run.view());
    if (queued) {
        row.text("queued");
        for (int column = 2; column < 13; ++column) {
            row.null();
        }
        row.emit();
        return;
    }
    row.text(progress.phase.view());
    row.text_or_null(progress.database.view());
    row.text_or_null(progress.table.view());
    row.number(progress.bytes_in);
    row.number(progress.bytes_out);
    if (progress.bytes_total > 0) {
        row.number(progress.bytes_total);
        // An estimate: what is not done is never shown as done.
        row.real(std::min(99.9, std::floor(in * 1000 / total) / 10));
    } else {
        row.null();
        row.null();
    }
    if (rate > 0) {
        row.number(static_cast<std::uint64_t>(rate));
    } else {
        row.null();
    }
    if (rate > 0 && total > in) {
        row.seconds(std::ceil((total - in) / rate));
    } else {
        row.null();
    }
    row.integer(static_cast<int>(progress.databases_done));
    row.integer(static_cast<int>(progress.databases_total));
    row.timestamp_or_null(progress.started);
    row.emit();
}

// What the server is at this moment, not what was last recorded.
bool takes_scheduled_runs() {
    bool standby = false;
    call_postgres([&] { standby = RecoveryInProgress(); });
    const SettingTexts settings = settings_in_effect();
    return !settings.at("schedule").empty() && role_matches(settings.at("run_on"), standby);
}

void write_status(RowWriter& row, const SharedCopy& now) {
    Catalog catalog;
    std::string audit_problem;
    try {
        catalog = read_catalog(layout(), check_interrupts);
        if (catalog.bad_lines > 0) {
            audit_problem = std::to_string(catalog.bad_lines) +
                            " lines of the audit log cannot be read; see immbackup.verify_audit().";
        }
    } catch (const Error& error) {
        audit_problem = error.message();
    }
    std::uint64_t bytes = 0;
    const ArtifactEntry* newest = nullptr;
    for (const auto& [stem, artifact] : catalog.artifacts) {
        bytes += artifact.size;
        if (newest == nullptr || artifact.seq > newest->seq) {
            newest = &artifact;
        }
    }
    row.text(worker_state_name(now.state));
    if (now.pid != 0) {
        row.integer(now.pid);
    } else {
        row.null();
    }
    row.timestamp_or_null(now.since);
    row.text_or_null(now.problem.message.view());
    row.text_or_null(now.problem.detail.view());
    row.text_or_null(now.problem.hint.view());
    row.text_or_null(now.request == RequestState::idle ? std::string_view() : now.run.view());
    row.time_or_null(catalog.last_success);
    row.text_or_null(catalog.last_success_run);
    const bool scheduling = takes_scheduled_runs();
    row.flag(scheduling);
    row.timestamp_or_null(scheduling && now.pid != 0 ? now.next_due : 0);
    row.timestamp_or_null(scheduling && now.pid != 0 ? now.retry_at : 0);
    row.flag(scheduling && overdue_since(catalog, immbackup::now()).has_value());
    row.number(catalog.failures);
    write_error(row, catalog.last_error);
    row.text_or_null(catalog.last_error_run);
    row.text(IMMBACKUP_VERSION);
    row.number(catalog.artifacts.size());
    row.number(bytes);
    row.text_or_null(newest == nullptr ? "" : std::string_view(newest->seal));
    row.number(catalog.head_seq);
    row.text_or_null(catalog.head_seq == 0 ? std::string_view() : catalog.head_hash);
    row.number(catalog.bad_lines);
    row.text_or_null(audit_problem);
    row.emit();
}

// What a setting comes to where its own value says "unset".
SettingTexts effective_texts() {
    SettingTexts texts = settings_in_effect();
    texts["retention_hourly_days"] =
        std::to_string(resolve_settings(texts).effective_hourly_days());
    if (texts["timezone"].empty()) {
        texts["timezone"] = "UTC";
    }
    return texts;
}

void write_settings(RowWriter& row, bool may_see_all) {
    const SettingTexts texts = effective_texts();
    for (const SettingDefinition& definition : setting_definitions()) {
        const auto found = texts.find(definition.name);
        const auto environment =
            setting_from_environment(definition, [](const char* name) { return getenv(name); });
        row.text(definition.name);
        row.text_or_null(definition.superuser_only && !may_see_all ? std::string_view()
                                                                   : found->second);
        row.text_or_null(definition.unit);
        row.text_or_null(definition.environment);
        const bool usable = environment && !setting_problem(definition, environment->value);
        row.text_or_null(usable ? std::string_view(environment->variable) : "");
        row.text(definition.context == SettingContext::postmaster ? "postmaster" : "sighup");
        row.text(definition.summary);
        row.emit();
    }
}

void verify(RowWriter& row) {
    const ChainReport report = verify_audit_log(layout(), check_interrupts);
    row.number(report.records);
    row.text_or_null(report.records == 0 ? std::string_view() : report.head_hash);
    row.flag(report.sound());
    if (report.first_bad_seq) {
        row.number(*report.first_bad_seq);
    } else {
        row.null();
    }
    // Not a break: the next record will name it.
    row.text_or_null(report.sound() && report.torn_tail
                         ? std::string_view("The last line was cut off; the next record says so.")
                         : report.problem);
    row.emit();
}

}  // namespace

}  // namespace immbackup

using namespace immbackup;

Datum immbackup_audit(PG_FUNCTION_ARGS) {
    require_preloaded();
    const int64 after = PG_ARGISNULL(0) ? 0 : std::max<int64>(0, PG_GETARG_INT64(0));
    const int64 limit = PG_ARGISNULL(1) ? INT64_MAX : PG_GETARG_INT32(1);
    if (limit < 0) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("max_rows must not be negative")));
    }
    RowWriter row(fcinfo);
    guarded([&row, &after, &limit] {
        int64 left = limit;
        if (left == 0) {
            return;
        }
        read_audit(layout(), static_cast<std::uint64_t>(after),
                   [&](const AuditRecord* record, std::uint64_t, const std::string& problem) {
                       write_record(row, record, problem);
                       return --left > 0;
                   });
    });
    return 0;
}

Datum immbackup_verify_audit(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] { verify(row); });
    return 0;
}

Datum immbackup_runs(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const Catalog catalog = read_catalog(layout(), check_interrupts);
        for (const auto& [id, run] : catalog.runs) {
            write_run(row, run);
        }
    });
    return 0;
}

Datum immbackup_artifacts(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const Catalog catalog = read_catalog(layout(), check_interrupts);
        const auto present = files_present(layout().active());
        for (const auto& [stem, artifact] : catalog.artifacts) {
            write_artifact(row, artifact, present);
        }
    });
    return 0;
}

Datum immbackup_progress(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const SharedCopy now = copy_shared();
        if (now.request != RequestState::idle) {
            write_progress(row, now);
        }
    });
    return 0;
}

Datum immbackup_status(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const SharedCopy now = copy_shared();
        write_status(row, now);
    });
    return 0;
}

Datum immbackup_next_runs(PG_FUNCTION_ARGS) {
    require_preloaded();
    const int wanted = PG_ARGISNULL(0) ? 10 : PG_GETARG_INT32(0);
    if (wanted < 0 || wanted > 100'000) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("n must be between 0 and 100000")));
    }
    const char* asked =
        PG_ARGISNULL(1) ? nullptr : utf8_text(text_to_cstring(PG_GETARG_TEXT_PP(1)));
    const char* zone = PG_ARGISNULL(2) ? nullptr : utf8_text(text_to_cstring(PG_GETARG_TEXT_PP(2)));
    RowWriter row(fcinfo);
    guarded([&row, &wanted, &asked, &zone] {
        const SettingTexts settings = settings_in_effect();
        const std::string schedule = asked != nullptr ? asked : settings.at("schedule");
        if (schedule.empty()) {
            return;
        }
        const Schedule parsed =
            Schedule::parse(schedule, zone != nullptr ? zone : settings.at("timezone"));
        auto next = parsed.next_after(immbackup::now());
        for (int i = 0; i < wanted && next; ++i) {
            const std::string time = format_time(*next);
            row.integer(i + 1);
            row.time_or_null(time);
            row.emit();
            next = parsed.next_after(*next);
        }
    });
    return 0;
}

Datum immbackup_settings(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    const bool may_see_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_SETTINGS);
    guarded([&row, &may_see_all] { write_settings(row, may_see_all); });
    return 0;
}
