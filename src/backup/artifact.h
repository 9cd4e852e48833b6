// One dump, from the question what the database is to the sealed and recorded artifact.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/run.h"
#include "core/manifest.h"
#include "dump/connection.h"
#include "dump/discovery.h"
#include "dump/pg_dump.h"

namespace immbackup {

// What all dumps of a run share.
struct RunContext {
    const RunRequest& request;
    Store& store;
    AuditLog& audit;
    CancelToken& cancel;
    Progress& progress;
    std::string run;
    ConnectionTarget target;
    ServerProperties server;
    DumpProgram pg_dump;
    std::optional<DumpProgram> pg_dumpall;
    bool role_passwords = true;
    ProgressState state;  // counts of databases
};

// Dumps, proves, publishes, seals and records. Throws without leaving anything under active/,
// except where the record could not be written: then Error(audit), and the sweep of a later run
// records it.
Manifest make_artifact(const RunContext& context, const std::string& database, bool sole);
Manifest make_globals(const RunContext& context);

// The compressed size to expect: of the last good artifact of the database, else a quarter of the
// database.
std::uint64_t expected_size(const Catalog& catalog, const DatabaseProperties& database);
// Error(no_space) with figures where `expected` and a margin do not fit.
void check_space(const Space& space, std::uint64_t expected, const std::string& database);

}  // namespace immbackup
