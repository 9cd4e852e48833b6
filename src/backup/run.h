// A backup run end to end: record the request, discover, dump each database, prove, publish, seal,
// record.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "core/settings.h"
#include "core/timetable.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

struct RunRequest {
    Settings settings;
    std::string bindir;
    std::string trigger;  // manual, schedule, cli
    std::string actor;
    std::vector<std::string> databases;  // of this run alone; empty: as the settings say
    std::optional<Time> due{};           // the due time that it serves
    std::vector<MissedTimes> missed{};   // due times that nobody served, recorded before it
};

struct RunResult {
    std::string run;
    std::vector<std::string> artifacts;  // stems
    std::uint64_t bytes = 0;
    std::vector<std::string> warnings;
};

// The caller holds the directory lock. Throws the run's error after recording it; where several
// databases failed, the error's message names them all and its detail holds each one's reason.
RunResult run_backup(const RunRequest& request, Store& store, AuditLog& audit, CancelToken& cancel,
                     Progress& progress);

// Closes what a dead job left open: runs without an end become failed or cancelled, incoming/ is
// swept, complete but unrecorded artifacts are recorded. The caller holds the directory lock.
void recover(Store& store, AuditLog& audit, const std::string& reason);

}  // namespace immbackup
