// The shared memory of shmem.h: requested while preloading, made when the server starts (and again
// after a crash of any server process).
#include "postgres/shmem.h"

#include <new>

namespace immbackup {

SharedState* shared = nullptr;

namespace {

constexpr const char* kTranche = "immbackup";

#if IMMBACKUP_HAVE_SHMEM_REQUEST_HOOK
shmem_request_hook_type previous_request_hook = nullptr;
#endif
shmem_startup_hook_type previous_startup_hook = nullptr;

void request_space() {
#if IMMBACKUP_HAVE_SHMEM_REQUEST_HOOK
    if (previous_request_hook != nullptr) {
        previous_request_hook();
    }
#endif
    RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
    RequestNamedLWLockTranche(kTranche, 1);
}

void startup() {
    if (previous_startup_hook != nullptr) {
        previous_startup_hook();
    }
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found = false;
    shared = static_cast<SharedState*>(ShmemInitStruct(kTranche, sizeof(SharedState), &found));
    if (!found) {
        std::memset(static_cast<void*>(shared), 0, sizeof(SharedState));
        shared->lock = &GetNamedLWLockTranche(kTranche)->lock;
        ConditionVariableInit(&shared->changed);
        shared->worker_state = WorkerState::down;
        shared->worker_since = GetCurrentTimestamp();
    }
    LWLockRelease(AddinShmemInitLock);
}

}  // namespace

const char* worker_state_name(WorkerState state) {
    switch (state) {
        case WorkerState::down:
            return "down";
        case WorkerState::starting:
            return "starting";
        case WorkerState::ready:
            return "ready";
        case WorkerState::misconfigured:
            return "misconfigured";
        case WorkerState::stopping:
            return "stopping";
    }
    return "unknown";
}

void request_shared_memory() {
#if IMMBACKUP_HAVE_SHMEM_REQUEST_HOOK
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = request_space;
#else
    request_space();
#endif
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = startup;
}

void finish_request(const FixedError& error) {
    Request& request = shared->request;
    Outcome& outcome = shared->outcomes[request.id % kKeptOutcomes];
    outcome.request = request.id;
    outcome.run = request.run;
    outcome.error = error;
    request.state = RequestState::idle;
    request.cancel = false;
}

const Outcome* find_outcome(std::uint64_t request) {
    const Outcome& outcome = shared->outcomes[request % kKeptOutcomes];
    return outcome.request == request ? &outcome : nullptr;
}

void finish_maintenance(const FixedError& error) {
    MaintenanceRequest& request = shared->maintenance;
    Outcome& outcome = shared->maintenance_outcomes[request.id % kKeptOutcomes];
    outcome.request = request.id;
    outcome.run.set("");
    outcome.error = error;
    request.state = RequestState::idle;
}

const Outcome* find_maintenance_outcome(std::uint64_t request) {
    const Outcome& outcome = shared->maintenance_outcomes[request % kKeptOutcomes];
    return outcome.request == request ? &outcome : nullptr;
}

void require_preloaded() {
    if (shared == nullptr) {
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("immbackup must be loaded via shared_preload_libraries"),
                        errhint("Add immbackup to shared_preload_libraries in postgresql.conf and "
                                "restart the server.")));
    }
}

}  // namespace immbackup
