// The SQL functions for operators: hold, release, accept, retire, acknowledge, prune. A session
// puts a request into shared memory, and the maintenance lane's job does it.
#include <string>

#include "core/json.h"
#include "core/prune_plan.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/rows.h"
#include "postgres/session.h"
#include "postgres/shmem.h"
#include "store/audit_log.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_hold);
PG_FUNCTION_INFO_V1(immbackup_release);
PG_FUNCTION_INFO_V1(immbackup_accept_anomaly);
PG_FUNCTION_INFO_V1(immbackup_retire_database);
PG_FUNCTION_INFO_V1(immbackup_acknowledge_settings);
PG_FUNCTION_INFO_V1(immbackup_acknowledge_clock);
PG_FUNCTION_INFO_V1(immbackup_prune);
PG_FUNCTION_INFO_V1(immbackup_import);
PG_FUNCTION_INFO_V1(immbackup_upload_pending);
PG_FUNCTION_INFO_V1(immbackup_s3_check);
}

namespace immbackup {

char* session_user_utf8() {
    return utf8_text(GetUserNameFromId(GetSessionUserId(), false));
}

void raise_scheduler_down() {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the immbackup scheduler is not running"),
                    errhint("The server starts it again within seconds; see the server log for why "
                            "it ended.")));
    pg_unreachable();
}

namespace {

uint32 maintenance_wait_event = 0;
constexpr long kPollMs = 1000;

// Waits for the lane to be free, then takes it: these requests are short. Returns its number.
std::uint64_t submit(const MaintenanceRequest* wanted) {
    ConditionVariablePrepareToSleep(&shared->changed);
    for (;;) {
        LWLockAcquire(shared->lock, LW_EXCLUSIVE);
        MaintenanceRequest& slot = shared->maintenance;
        if (shared->worker_pid == 0 || shared->worker_state == WorkerState::stopping) {
            LWLockRelease(shared->lock);
            ConditionVariableCancelSleep();
            raise_scheduler_down();
        }
        if (slot.state == RequestState::idle) {
            const std::uint64_t id = slot.id + 1;
            slot = *wanted;
            slot.id = id;
            slot.state = RequestState::queued;
            SetLatch(&shared->worker->procLatch);
            LWLockRelease(shared->lock);
            ConditionVariableCancelSleep();
            return id;
        }
        LWLockRelease(shared->lock);
        ConditionVariableTimedSleep(
            &shared->changed, kPollMs,
            compat_wait_event("ImmbackupMaintenance", &maintenance_wait_event));
    }
}

void raise_outcome(const FixedError& error) {
    const auto shown = [](const char* text) { return server_text(text, strlen(text)); };
    ereport(ERROR, (errcode(sqlstate_of(error_code_from_exit(error.code))),
                    errmsg("%s", shown(error.message.text)),
                    error.detail.empty() ? 0 : errdetail("%s", shown(error.detail.text)),
                    error.hint.empty() ? 0 : errhint("%s", shown(error.hint.text))));
}

// An interrupt ends the wait, not what was asked for.
void await(std::uint64_t id) {
    FixedError* error = static_cast<FixedError*>(palloc0(sizeof(FixedError)));
    ConditionVariablePrepareToSleep(&shared->changed);
    for (;;) {
        LWLockAcquire(shared->lock, LW_SHARED);
        const Outcome* found = find_maintenance_outcome(id);
        const bool mine =
            shared->maintenance.id == id && shared->maintenance.state != RequestState::idle;
        if (found != nullptr) {
            *error = found->error;
        }
        LWLockRelease(shared->lock);
        if (found != nullptr || !mine) {
            ConditionVariableCancelSleep();
            if (found == nullptr) {
                ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                                errmsg("the outcome is not known here any more"),
                                errhint("See view immbackup.audit.")));
            }
            if (error->code != static_cast<int>(ErrorCode::ok)) {
                raise_outcome(*error);
            }
            return;
        }
        ConditionVariableTimedSleep(
            &shared->changed, kPollMs,
            compat_wait_event("ImmbackupMaintenance", &maintenance_wait_event));
    }
}

// Has the lane's job done; returns the number of the audit log's last record before it.
std::uint64_t perform(MaintenanceRequest* request) {
    std::uint64_t before = 0;
    guarded([&before] {
        before = read_catalog(find_layout(configured_directory()), check_interrupts).head_seq;
    });
    request->actor.set(session_user_utf8());
    await(submit(request));
    return before;
}

// Copies the text argument, or raises where it does not fit.
template <std::size_t Size>
void take_text(FixedText<Size>* to, const char* name, Datum argument) {
    const char* value = utf8_text(TextDatumGetCString(argument));
    if (strlen(value) >= Size) {
        ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
                        errmsg("%s is longer than %d bytes", name, static_cast<int>(Size - 1))));
    }
    to->set(value);
}

// `subject`: which argument names what it is about, -1: none does. The reason comes last.
Datum act(FunctionCallInfo fcinfo, const char* name, int subject) {
    require_preloaded();
    auto* request = static_cast<MaintenanceRequest*>(palloc0(sizeof(MaintenanceRequest)));
    request->job.set("act");
    request->act.set(name);
    if (subject >= 0) {
        take_text(&request->subject, "the name", PG_GETARG_DATUM(subject));
    }
    take_text(&request->reason, "the reason", PG_GETARG_DATUM(subject + 1));
    request->actor.set(session_user_utf8());
    await(submit(request));
    PG_RETURN_VOID();
}

// What would be done, or what became of what was planned: a row for each artifact.
void write_plan(RowWriter& row, const std::string& directory, bool executed) {
    const Catalog catalog = read_catalog(find_layout(directory), check_interrupts);
    const PrunePlan plan = plan_prune(catalog, prune_rules(resolve_settings(settings_in_effect())),
                                      {boot_id(), monotonic_ms(), now()});
    for (const PruneRow& planned : plan.rows) {
        const ArtifactEntry& entry = *planned.entry;
        row.text(entry.artifact);
        row.text_or_null(entry.database);
        row.text_or_null(entry.tier);
        row.number(entry.size);
        // After the execution nothing is left to be removed but what could not be, or what the
        // vault keeps.
        row.text(executed && planned.action == PruneAction::prune
                     ? (entry.refused.empty() ? "failed" : "refused")
                     : prune_action_name(planned.action));
        row.text(planned.reason);
        row.emit();
    }
}

std::string text_in(const RecordJson& json, const char* name) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What went since the record with this number.
void write_pruned(RowWriter& row, const std::string& directory, std::uint64_t since) {
    const Catalog catalog = read_catalog(find_layout(directory), check_interrupts);
    read_audit(find_layout(directory), since,
               [&](const AuditRecord* record, std::uint64_t, const std::string&) {
                   if (record == nullptr || record->event != "artifact_pruned") {
                       return true;
                   }
                   const auto body = RecordJson::parse(record->body, nullptr, false);
                   const auto entry = body.is_object()
                                          ? catalog.artifacts.find(body.value("artifact", ""))
                                          : catalog.artifacts.end();
                   if (entry != catalog.artifacts.end()) {
                       const std::string reason = body.value("reason", "");
                       row.text(entry->first);
                       row.text_or_null(entry->second.database);
                       row.text_or_null(entry->second.tier);
                       row.number(entry->second.size);
                       row.text("pruned");
                       row.text(reason);
                       row.emit();
                   }
                   return true;
               });
}

// What moved into the vault since the record with this number.
void write_imported(RowWriter& row, const std::string& directory, std::uint64_t since) {
    const Layout layout = find_layout(directory);
    const Catalog catalog = read_catalog(layout, check_interrupts);
    read_audit(layout, since, [&](const AuditRecord* record, std::uint64_t, const std::string&) {
        if (record == nullptr || record->event != "artifact_imported") {
            return true;
        }
        const auto body = RecordJson::parse(record->body, nullptr, false);
        const auto entry = catalog.artifacts.find(text_in(body, "artifact"));
        if (entry != catalog.artifacts.end()) {
            row.text(entry->first);
            row.text_or_null(entry->second.database);
            row.number(entry->second.size);
            row.text_or_null(entry->second.seal);
            row.time_or_null(entry->second.retain_until);
            row.emit();
        }
        return true;
    });
}

// Every artifact that was uploaded, proven later, or tried, since the record with this number.
void write_uploads(RowWriter& row, const std::string& directory, std::uint64_t since) {
    read_audit(find_layout(directory), since,
               [&](const AuditRecord* record, std::uint64_t, const std::string&) {
                   const bool uploaded =
                       record != nullptr &&
                       (record->event == "artifact_uploaded" || record->event == "lock_proven");
                   if (!uploaded && (record == nullptr || record->event != "upload_failed")) {
                       return true;
                   }
                   const auto body = RecordJson::parse(record->body, nullptr, false);
                   if (body.is_object()) {
                       const std::string artifact = text_in(body, "artifact");
                       const std::string state = text_in(body, "state");
                       const std::string until = text_in(body, "locked_until");
                       const std::string problem =
                           uploaded ? text_in(body, "reason")
                                    : text_in(body.value("error", RecordJson()), "message");
                       row.text(artifact);
                       row.text_or_null(state);
                       row.time_or_null(until);
                       row.text_or_null(problem);
                       row.emit();
                   }
                   return true;
               });
}

void write_s3_rows(RowWriter& row, const std::string& directory, std::uint64_t since) {
    read_audit(find_layout(directory), since,
               [&](const AuditRecord* record, std::uint64_t, const std::string&) {
                   if (record == nullptr || record->event != "s3_checked") {
                       return true;
                   }
                   const auto body = RecordJson::parse(record->body, nullptr, false);
                   const auto rows = body.is_object() ? body.value("rows", RecordJson::array())
                                                      : RecordJson::array();
                   for (const auto& each : rows) {
                       const std::string check = text_in(each, "check");
                       const std::string verdict = text_in(each, "verdict");
                       const std::string detail = text_in(each, "detail");
                       row.text(check);
                       row.text(verdict);
                       row.text_or_null(detail);
                       row.flag(each.is_object() && each.value("finding", false));
                       row.emit();
                   }
                   return false;
               });
}

}  // namespace

}  // namespace immbackup

using namespace immbackup;

Datum immbackup_hold(PG_FUNCTION_ARGS) {
    return act(fcinfo, "hold", 0);
}
Datum immbackup_release(PG_FUNCTION_ARGS) {
    return act(fcinfo, "release", 0);
}
Datum immbackup_accept_anomaly(PG_FUNCTION_ARGS) {
    return act(fcinfo, "accept", 0);
}
Datum immbackup_retire_database(PG_FUNCTION_ARGS) {
    return act(fcinfo, "retire", 0);
}
Datum immbackup_acknowledge_settings(PG_FUNCTION_ARGS) {
    return act(fcinfo, "acknowledge_settings", -1);
}
Datum immbackup_acknowledge_clock(PG_FUNCTION_ARGS) {
    return act(fcinfo, "acknowledge_clock", -1);
}

Datum immbackup_prune(PG_FUNCTION_ARGS) {
    require_preloaded();
    const bool dry_run = PG_ARGISNULL(0) || PG_GETARG_BOOL(0);
    std::uint64_t before = 0;
    if (!dry_run) {
        auto* request = static_cast<MaintenanceRequest*>(palloc0(sizeof(MaintenanceRequest)));
        request->job.set("prune");
        before = perform(request);
    }
    RowWriter row(fcinfo);
    guarded([&row, &dry_run, &before] {
        const std::string directory = configured_directory();
        if (!dry_run) {
            write_pruned(row, directory, before);
        }
        write_plan(row, directory, !dry_run);
    });
    return 0;
}

Datum immbackup_import(PG_FUNCTION_ARGS) {
    require_preloaded();
    auto* request = static_cast<MaintenanceRequest*>(palloc0(sizeof(MaintenanceRequest)));
    request->job.set("import");
    const std::uint64_t before = perform(request);
    RowWriter row(fcinfo);
    guarded([&row, &before] { write_imported(row, configured_directory(), before); });
    return 0;
}

Datum immbackup_upload_pending(PG_FUNCTION_ARGS) {
    require_preloaded();
    auto* request = static_cast<MaintenanceRequest*>(palloc0(sizeof(MaintenanceRequest)));
    request->job.set("upload");
    request->act.set("all");
    const std::uint64_t before = perform(request);
    RowWriter row(fcinfo);
    guarded([&row, &before] { write_uploads(row, configured_directory(), before); });
    return 0;
}

Datum immbackup_s3_check(PG_FUNCTION_ARGS) {
    require_preloaded();
    auto* request = static_cast<MaintenanceRequest*>(palloc0(sizeof(MaintenanceRequest)));
    request->job.set("s3_check");
    request->act.set(!PG_ARGISNULL(0) && PG_GETARG_BOOL(0) ? "probe" : "");
    const std::uint64_t before = perform(request);
    RowWriter row(fcinfo);
    guarded([&row, &before] { write_s3_rows(row, configured_directory(), before); });
    return 0;
}
