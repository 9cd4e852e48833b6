// Restoring an artifact into a database, with a proof afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/manifest.h"
#include "dump/connection.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/artifact_source.h"

namespace immbackup {

struct RestoreRequest {
    std::string artifact;
    std::string database;  // the target
    ConnectionTarget server;
    std::string bindir;        // of psql; empty: as find_program() looks
    std::string owner;         // empty: the manifest's
    bool existing = false;     // the database exists already, and must be empty
    bool nonempty = false;     // it exists, and may hold objects: nothing is compared afterwards
    bool keep_failed = false;  // leave a database that we made and could not fill
    bool analyze = true;
};

struct RestoreReport {
    std::string database;
    std::string host;
    std::string port;
    std::uint64_t rows = 0;
    std::uint64_t tables = 0;
    bool compared = false;              // rows of every table counted and equal to the manifest's
    std::vector<std::string> left_out;  // statements of our own extension
    std::vector<std::string> not_applied;  // database properties whose role does not exist there
    double seconds = 0;
};

// Verifies the whole artifact before it touches the server. Makes the database (with the manifest's
// encoding, locale and owner), loads it by psql in one transaction, applies settings, comment and
// grants, counts rows. On any failure a database that it made is dropped again. Errors: corrupt,
// exists, version, not_found (owner, database), connect, restore.
RestoreReport restore_database(const ArtifactSource& source, const RestoreRequest& request,
                               const CancelToken& cancel, Progress& progress);

struct GlobalsReport {
    std::vector<std::string> created;    // "role app", "tablespace fast"
    std::vector<std::string> equal;      // exist already, with the same attributes
    std::vector<std::string> different;  // exist already, with others: left as they are
    bool passwords = true;               // the dump has role passwords
};
// Roles and tablespaces of a globals artifact. What exists is left as it is, unless
// `overwrite_roles`.
GlobalsReport restore_globals(const ArtifactSource& source, const std::string& artifact,
                              const ConnectionTarget& server, const std::string& bindir,
                              bool overwrite_roles, const CancelToken& cancel, Progress& progress);

// Statements that only a server with immbackup installed can run. Pure.
bool is_own_statement(std::string_view statement);
// Does a psql of this version know \restrict (CVE-2025-8714)?
bool psql_knows_restrict(int major, int minor);

}  // namespace immbackup
