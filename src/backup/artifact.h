// Making one artifact: discover, stage, dump, prove, describe, publish.
#pragma once

#include <string>

#include "backup/plan.h"
#include "backup/run_uploads.h"
#include "core/manifest.h"
#include "dump/connection.h"
#include "dump/discovery.h"
#include "dump/pg_dump.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

// What the artifacts of a run have in common.
struct ArtifactContext {
    std::string run;
    const Settings& settings;
    bool sole = false;  // the run's setting names exactly one database: see core/names.h
    const ConnectionTarget& target;
    const Discovery& discovery;
    const DumpProgram& pg_dump;
    const DumpProgram* pg_dumpall = nullptr;  // where globals are dumped
    Store& store;
    const AuditLog& audit;
    const CancelToken& cancel;
    Progress& progress;
    RunUploads& uploads;
};

// Returns the manifest of a published, sealed artifact. On any error nothing of it is left, neither
// staged nor published. `progress` is what reports start from: databases done and in total.
Manifest make_artifact(const ArtifactContext& context, const DumpItem& item,
                       ProgressState progress);

}  // namespace immbackup
