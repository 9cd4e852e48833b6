// Restoring roles and tablespaces. What exists on the target is left alone and reported: a restore
// must not change a living server's rights behind its owner's back.

#include <fmt/format.h>

#include "core/error.h"
#include "dump/scan.h"
#include "restore/dump_reader.h"
#include "restore/globals_plan.h"
#include "restore/psql_feed.h"
#include "restore/restore.h"
#include "restore/target.h"

namespace immbackup {

namespace {

// The roles and tablespaces that the target has, as pg_dumpall would state them.
ExistingGlobals existing_on(Session& session) {
    ExistingGlobals out;
    for (const auto& row : session.query("list the roles", R"(
            SELECT rolname, concat_ws(' ',
                CASE WHEN rolsuper THEN '' ELSE 'NO' END || 'SUPERUSER',
                CASE WHEN rolinherit THEN '' ELSE 'NO' END || 'INHERIT',
                CASE WHEN rolcreaterole THEN '' ELSE 'NO' END || 'CREATEROLE',
                CASE WHEN rolcreatedb THEN '' ELSE 'NO' END || 'CREATEDB',
                CASE WHEN rolcanlogin THEN '' ELSE 'NO' END || 'LOGIN',
                CASE WHEN rolreplication THEN '' ELSE 'NO' END || 'REPLICATION',
                CASE WHEN rolbypassrls THEN '' ELSE 'NO' END || 'BYPASSRLS',
                CASE WHEN rolconnlimit <> -1 THEN 'CONNECTION LIMIT ' || rolconnlimit END)
            FROM pg_catalog.pg_roles)")) {
        out.roles[row[0].value_or("")] = role_attributes(row[1].value_or(""));
    }
    for (const auto& row :
         session.query("list the tablespaces", "SELECT spcname FROM pg_catalog.pg_tablespace")) {
        out.tablespaces.insert(row[0].value_or(""));
    }
    return out;
}

}  // namespace

GlobalsReport restore_globals(const ArtifactSource& source, const std::string& artifact,
                              const ConnectionTarget& server, const std::string& bindir,
                              bool overwrite_roles, const CancelToken& cancel, Progress& progress) {
    const Manifest manifest = source.read_manifest(artifact);
    if (!manifest.globals) {
        throw Error(ErrorCode::usage,
                    fmt::format("\"{}\" holds a database, not roles and tablespaces", artifact), {},
                    "Leave out --globals, and name the new database with --to.");
    }
    const auto reading = read_dump(source, manifest, {}, "verifying", cancel, progress);
    Session session = maintenance_session(server, cancel);
    const DumpProgram psql = find_program(bindir, "psql", cancel);
    check_versions(manifest, session, psql, reading.scan.restricted);
    GlobalsReport report;
    report.passwords = manifest.role_passwords;
    GlobalsPlan plan(existing_on(session), overwrite_roles, report);
    // CREATE TABLESPACE cannot run in a transaction; what was made before a failure stays, and a
    // second attempt finds it.
    PsqlFeed feed(psql, server, session.database(), false, cancel);
    StatementFilter filter(
        [&feed](std::span<const std::byte> bytes) { feed.write(bytes); },
        [&plan](std::string_view statement) { return plan.leave_out(statement); });
    read_dump(
        source, manifest, [&filter](std::span<const std::byte> bytes) { filter.feed(bytes); },
        "restoring", cancel, progress);
    filter.finish();
    feed.finish();
    return report;
}

}  // namespace immbackup
