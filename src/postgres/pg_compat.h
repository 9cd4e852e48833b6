// PostgreSQL's headers, and what differs between 14 and 18: nothing else in this folder asks for
// the server's version. Include it after all C++ headers, since PostgreSQL defines macros such as
// snprintf and _. Each shim names the release (and commit) that made it necessary.
#pragma once

extern "C" {
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "postmaster/postmaster.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"  // 18 moved it out of latch.h (393e0d2314)
#endif
}

#if PG_VERSION_NUM < 140000
#error "immbackup needs PostgreSQL 14 or newer"
#endif

namespace immbackup {

// 18 lets a module state its name and version, which pg_get_loaded_modules() shows (9324c8c580).
#if PG_VERSION_NUM >= 180000
#define IMMBACKUP_MODULE_MAGIC \
    PG_MODULE_MAGIC_EXT(.name = "immbackup", .version = IMMBACKUP_VERSION)
#else
#define IMMBACKUP_MODULE_MAGIC PG_MODULE_MAGIC
#endif

// 15 reserves a prefix, so that misspelt settings are refused (88103567cb); 14 only warns of them.
inline void compat_reserve_prefix(const char* prefix) {
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved(prefix);
#else
    EmitWarningsOnPlaceholders(prefix);
#endif
}

// 15 wants shared memory requested in a hook of its own (4f2400cb3f).
#if PG_VERSION_NUM >= 150000
using ShmemRequestHook = shmem_request_hook_type;
#define IMMBACKUP_HAVE_SHMEM_REQUEST_HOOK 1
#else
#define IMMBACKUP_HAVE_SHMEM_REQUEST_HOOK 0
#endif

// 17 gives extensions wait events with names (c9af054653); before, all share one.
inline uint32 compat_wait_event(const char* name, uint32* cached) {
    if (*cached == 0) {
#if PG_VERSION_NUM >= 170000
        *cached = WaitEventExtensionNew(name);
#else
        (void)name;
        *cached = PG_WAIT_EXTENSION;
#endif
    }
    return *cached;
}

// 17 ties a wait event set to a resource owner instead of a memory context (50c67c2019); no owner
// means that it lives until it is freed.
inline WaitEventSet* compat_create_wait_event_set(int events) {
#if PG_VERSION_NUM >= 170000
    return CreateWaitEventSet(nullptr, events);
#else
    return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

// 15 has one function that prepares a materialized result (9e98583898, 5b81703787).
inline void compat_materialized_result(FunctionCallInfo fcinfo) {
#if PG_VERSION_NUM >= 150000
    InitMaterializedSRF(fcinfo, 0);
#else
    ReturnSetInfo* info = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    if (info == nullptr || !IsA(info, ReturnSetInfo) ||
        (info->allowedModes & SFRM_Materialize) == 0) {
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("set-valued function called in context that cannot accept a set")));
    }
    MemoryContext old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
    TupleDesc description = nullptr;
    if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE) {
        elog(ERROR, "return type must be a row type");
    }
    info->returnMode = SFRM_Materialize;
    info->setResult =
        tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
    info->setDesc = description;
    MemoryContextSwitchTo(old);
#endif
}

// AllocSetContextCreate without its macro, which is a GNU statement expression.
inline MemoryContext make_memory_context(MemoryContext parent, const char* name) {
    return AllocSetContextCreateInternal(parent, name, ALLOCSET_DEFAULT_SIZES);
}

}  // namespace immbackup
