// The SQL functions that act: run_now() and cancel_run(), and version(). A session only puts a
// request into shared memory and waits for what the scheduler says of it.
#include <cinttypes>

#include "core/error.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/session.h"
#include "postgres/shmem.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_run_now);
PG_FUNCTION_INFO_V1(immbackup_cancel_run);
PG_FUNCTION_INFO_V1(immbackup_version);
}

namespace immbackup {

namespace {

uint32 run_wait_event = 0;
constexpr long kPollMs = 1000;
constexpr int kNoticeSeconds = 5;

// ----------------------------------------------------------------------------------- the request

// Reads the array into the slot's form, before any lock is taken.
void read_names(ArrayType* array, Request* request) {
    if (ARR_NDIM(array) != 1 || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("databases must be a one-dimensional array with at least one name"),
                        errhint("Leave it out, or pass NULL, to back up what the settings say.")));
    }
    if (array_contains_nulls(array)) {
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("databases must not contain NULL")));
    }
    Datum* names = nullptr;
    int count = 0;
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, nullptr, &count);
    if (count > static_cast<int>(kMaxRequestNames)) {
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("databases has %d names, the limit is %d", count,
                               static_cast<int>(kMaxRequestNames)),
                        errhint("Set immbackup.databases instead, which has no such limit.")));
    }
    for (int i = 0; i < count; ++i) {
        const char* name = TextDatumGetCString(names[i]);
        const std::size_t length = strlen(name);
        if (length == 0 || length >= NAMEDATALEN) {
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_NAME), errmsg("invalid database name: \"%s\"", name),
                     errdetail("A database name has 1 to %d bytes.", NAMEDATALEN - 1)));
        }
        request->names[i].set(utf8_text(name));
        for (int earlier = 0; earlier < i; ++earlier) {
            if (request->names[earlier].view() == request->names[i].view()) {
                ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                                errmsg("database \"%s\" is named twice", name)));
            }
        }
    }
    request->name_count = count;
}

// Waiting inside of a transaction that pg_dump would have to wait for is a deadlock that the server
// cannot see: one half of the circle is a process outside of it.
void refuse_deadlock() {
    const char* reason = nullptr;
    if (TransactionIdIsValid(GetTopTransactionIdIfAny())) {
        reason = "This transaction has written something, and may hold what pg_dump needs.";
    } else {
        // Any lock on a table will do: somebody may queue for a stronger one, and pg_dump behind
        // them. Catalogs are locked by every statement, and never so that pg_dump would wait.
        LockData* locks = GetLockStatusData();
        for (int i = 0; i < locks->nelements && reason == nullptr; ++i) {
            const LockInstanceData& lock = locks->locks[i];
            if (lock.pid != MyProcPid) {
                continue;
            }
            if ((lock.holdMask & LOCKBIT_ON(AccessExclusiveLock)) != 0) {
                reason = "This transaction holds an exclusive lock that pg_dump would wait for.";
            } else if (lock.holdMask != 0 && lock.locktag.locktag_type == LOCKTAG_RELATION &&
                       lock.locktag.locktag_field2 >= FirstNormalObjectId) {
                reason =
                    "This transaction holds a lock on a table, and pg_dump would wait behind "
                    "whoever waits for that lock.";
            }
        }
    }
    if (reason != nullptr) {
        ereport(
            ERROR,
            (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
             errmsg("cannot wait for the backup: waiting would deadlock"), errdetail("%s", reason),
             errhint("Call run_now() in a transaction of its own, or with wait => false.")));
    }
}

// Puts the request into the slot and wakes the scheduler. Returns its number.
std::uint64_t submit(const Request* wanted) {
    char run[sizeof shared->request.run.text];
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    Request& slot = shared->request;
    if (shared->worker_pid == 0 || shared->worker_state == WorkerState::stopping) {
        LWLockRelease(shared->lock);
        raise_scheduler_down();
    }
    if (slot.state != RequestState::idle) {
        strlcpy(run, slot.run.text, sizeof run);
        LWLockRelease(shared->lock);
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a backup run is going on"),
                        run[0] != '\0' ? errdetail("Run %s has not ended yet.", run)
                                       : errdetail("It was requested and has no id yet."),
                        errhint("Wait for it (see view immbackup.progress), or stop it with "
                                "immbackup.cancel_run().")));
    }
    const std::uint64_t id = slot.id + 1;
    slot = *wanted;
    slot.id = id;
    slot.state = RequestState::queued;
    SetLatch(&shared->worker->procLatch);
    LWLockRelease(shared->lock);
    return id;
}

// -------------------------------------------------------------------------------------- the wait

[[noreturn]] void raise_outcome(const Outcome& outcome) {
    const auto shown = [](const char* text) { return server_text(text, strlen(text)); };
    const FixedError& error = outcome.error;
    ereport(ERROR, (errcode(sqlstate_of(error_code_from_exit(error.code))),
                    outcome.run.empty() ? errmsg("backup run failed: %s", shown(error.message.text))
                                        : errmsg("backup run %s failed: %s", outcome.run.text,
                                                 shown(error.message.text)),
                    error.detail.empty() ? 0 : errdetail("%s", shown(error.detail.text)),
                    error.hint.empty() ? 0 : errhint("%s", shown(error.hint.text))));
    pg_unreachable();
}

char* size_text(std::uint64_t bytes) {
    if (bytes < 10'000) {
        return psprintf("%" PRIu64 " bytes", bytes);
    }
    const bool mega = bytes >= 10'000'000;
    return psprintf("%" PRIu64 " %s", bytes / (mega ? 1'000'000 : 1'000), mega ? "MB" : "kB");
}

void notice_progress(const char* run, const RunProgress& progress) {
    const char* database = server_text(progress.database.text, strlen(progress.database.text));
    const TimestampTz since = GetCurrentTimestamp() - progress.database_started;
    const std::uint64_t rate =
        since > 0 ? static_cast<std::uint64_t>(static_cast<double>(progress.bytes_in) * 1e6 /
                                               static_cast<double>(since))
                  : 0;
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, "backup run %s: %s", run[0] != '\0' ? run : "(new)",
                     progress.phase.text);
    if (database[0] != '\0') {
        appendStringInfo(&text, " database \"%s\"", database);
    }
    if (progress.databases_total > 0) {
        appendStringInfo(&text, " (%u of %u done)", progress.databases_done,
                         progress.databases_total);
    }
    if (progress.bytes_in > 0) {
        appendStringInfo(&text, ", %s", size_text(progress.bytes_in));
        if (progress.bytes_total > 0) {
            appendStringInfo(&text, " of about %s", size_text(progress.bytes_total));
        }
        appendStringInfo(&text, ", %s/s", size_text(rate));
    }
    ereport(NOTICE, (errmsg_internal("%s", text.data)));
}

// Returns the run id once the request is answered: as done, or as durable where `to_end` is false.
// An interrupt ends the wait, not the run.
char* await(std::uint64_t id, bool to_end) {
    Outcome* outcome = static_cast<Outcome*>(palloc0(sizeof(Outcome)));
    RunProgress* progress = static_cast<RunProgress*>(palloc0(sizeof(RunProgress)));
    char run[sizeof outcome->run.text];
    TimestampTz noticed = GetCurrentTimestamp();
    ConditionVariablePrepareToSleep(&shared->changed);
    for (;;) {
        LWLockAcquire(shared->lock, LW_SHARED);
        const Outcome* found = find_outcome(id);
        const bool mine = shared->request.id == id && shared->request.state != RequestState::idle;
        strlcpy(run, mine ? shared->request.run.text : "", sizeof run);
        *progress = shared->progress;
        if (found != nullptr) {
            *outcome = *found;
        }
        LWLockRelease(shared->lock);

        if (found != nullptr || !mine || (!to_end && run[0] != '\0')) {
            ConditionVariableCancelSleep();
            if (found != nullptr && outcome->error.code != static_cast<int>(ErrorCode::ok)) {
                raise_outcome(*outcome);
            }
            if (found == nullptr && !mine) {
                // Shared memory was made anew, or many runs have ended since.
                ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                                errmsg("the outcome of the backup run is not known here any more"),
                                errhint("See view immbackup.runs.")));
            }
            return pstrdup(found != nullptr ? outcome->run.text : run);
        }
        const TimestampTz now = GetCurrentTimestamp();
        if (to_end && TimestampDifferenceExceeds(noticed, now, kNoticeSeconds * 1000)) {
            noticed = now;
            notice_progress(run, *progress);
        }
        ConditionVariableTimedSleep(&shared->changed, kPollMs,
                                    compat_wait_event("ImmbackupRun", &run_wait_event));
    }
}

}  // namespace

}  // namespace immbackup

Datum immbackup_run_now(PG_FUNCTION_ARGS) {
    using namespace immbackup;
    require_preloaded();
    const bool wait = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
    Request* request = static_cast<Request*>(palloc0(sizeof(Request)));
    if (!PG_ARGISNULL(0)) {
        read_names(PG_GETARG_ARRAYTYPE_P(0), request);
    }
    request->actor.set(session_user_utf8());
    if (wait) {
        refuse_deadlock();
    }
    const std::uint64_t id = submit(request);
    PG_RETURN_TEXT_P(cstring_to_text(await(id, wait)));
}

Datum immbackup_cancel_run(PG_FUNCTION_ARGS) {
    using namespace immbackup;
    (void)fcinfo;
    require_preloaded();
    const char* canceller = session_user_utf8();
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    const bool going_on = shared->worker_pid != 0 && shared->request.state != RequestState::idle;
    if (going_on && !shared->request.cancel) {
        shared->request.cancel = true;
        shared->request.canceller.set(canceller);
        SetLatch(&shared->worker->procLatch);
    }
    LWLockRelease(shared->lock);
    PG_RETURN_BOOL(going_on);
}

Datum immbackup_version(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_TEXT_P(cstring_to_text(IMMBACKUP_VERSION));
}
