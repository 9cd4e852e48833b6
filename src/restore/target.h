// Questions about the server that a restore goes to, and the acts on it that are not psql's.
#pragma once

#include <string>
#include <vector>

#include "core/manifest.h"
#include "dump/pg_dump.h"
#include "dump/session.h"
#include "io/progress.h"
#include "restore/restore.h"

namespace immbackup {

// A session in a database that every server has ("postgres", else "template1").
Session maintenance_session(const ConnectionTarget& server, const CancelToken& cancel);

bool role_exists(Session& session, const std::string& role);
bool database_exists(Session& session, const std::string& database);
bool extension_available(Session& session, const std::string& extension);
// Objects of users: relations, functions, types, schemas, large objects; a fresh database has none.
std::uint64_t user_object_count(Session& session);

// Error(version) where the target is older than the server that was dumped, or psql is too old.
void check_versions(const Manifest& manifest, const Session& session, const DumpProgram& psql,
                    bool restricted);

// Counts the rows of every table of the manifest and the large objects; Error(restore) that names
// what differs. Returns the sum of rows.
std::uint64_t compare_rows(Session& session, const Manifest& manifest, const CancelToken& cancel,
                           Progress& progress);

}  // namespace immbackup
