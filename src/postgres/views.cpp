// The set-returning functions below the views. They read the audit log (never writing, never
// locking), shared memory and the settings. No content of a log makes them fail: what cannot be
// read is a row with `problem` set.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "core/catalog.h"
#include "core/json.h"
#include "core/lock_dates.h"
#include "core/names.h"
#include "core/retention.h"
#include "core/schedule.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/presence.h"
#include "postgres/rows.h"
#include "postgres/shared_copy.h"
#include "postgres/shmem.h"
#include "store/audit_log.h"
#include "store/layout.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_audit);
PG_FUNCTION_INFO_V1(immbackup_verify_audit);
PG_FUNCTION_INFO_V1(immbackup_runs);
PG_FUNCTION_INFO_V1(immbackup_artifacts);
PG_FUNCTION_INFO_V1(immbackup_progress);
PG_FUNCTION_INFO_V1(immbackup_settings);
PG_FUNCTION_INFO_V1(immbackup_next_runs);
}

namespace immbackup {

namespace {

Layout layout() {
    return find_layout(configured_directory());
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
    const bool is_json = Json::accept(record->body);
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

void write_artifact(RowWriter& row, const ArtifactEntry& artifact, const FilesPresent& files) {
    const bool here = !artifact.exists() || files.complete(artifact.artifact);
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
    row.text(here ? std::string_view(artifact.state) : "missing");
    row.time_or_null(artifact.verified);
    row.text_or_null(artifact.anomaly);
    row.text_or_null(artifact.hold);
    row.text_or_null(upload_state(artifact, immbackup::now()));
    row.text_or_null(artifact.upload_error);
    row.text_or_null(artifact.lock_mode);
    row.time_or_null(artifact.locked_until);
    row.emit();
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

// What a setting comes to where its own value says "unset".
SettingTexts effective_texts() {
    SettingTexts texts = settings_in_effect();
    const RetentionDays days = effective_days(resolve_settings(texts));
    texts["retention_hourly_days"] = std::to_string(days.hourly);
    texts["retention_daily_days"] = std::to_string(days.daily);
    texts["retention_weekly_days"] = std::to_string(days.weekly);
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
        const FilesPresent files(layout());
        for (const auto& [stem, artifact] : catalog.artifacts) {
            write_artifact(row, artifact, files);
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
