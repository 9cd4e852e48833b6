#include "restore/target.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"

namespace immbackup {

namespace {

bool exists(Session& session, const char* what, const char* sql, const std::string& name) {
    return !session.query(what, sql, {name}).empty();
}

std::uint64_t count(Session& session, const std::string& what, const std::string& sql) {
    const auto rows = session.query(what.c_str(), sql);
    return rows.empty() || !rows[0][0] ? 0 : std::stoull(*rows[0][0]);
}

// The minor releases of 2025-08-14 (CVE-2025-8714) brought \restrict to psql.
struct Release {
    int major, minor;
};
constexpr std::array<Release, 5> kFirstWithRestrict{
    {{13, 22}, {14, 19}, {15, 14}, {16, 10}, {17, 6}}};

}  // namespace

bool psql_knows_restrict(int major, int minor) {
    for (const auto& release : kFirstWithRestrict) {
        if (major == release.major) {
            return minor >= release.minor;
        }
    }
    return major >= 18;
}

Session maintenance_session(const ConnectionTarget& server, const CancelToken& cancel) {
    try {
        return Session(server, "postgres", cancel);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found && error.code() != ErrorCode::permission) {
            throw;
        }
    }
    return Session(server, "template1", cancel);
}

bool role_exists(Session& session, const std::string& role) {
    return exists(session, "look for a role",
                  "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", role);
}

bool database_exists(Session& session, const std::string& database) {
    return exists(session, "look for a database",
                  "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", database);
}

bool extension_available(Session& session, const std::string& extension) {
    return exists(session, "look for an extension",
                  "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = $1", extension);
}

std::uint64_t user_object_count(Session& session) {
    // Objects made by initdb have OIDs below FirstNormalObjectId.
    return count(session, "look for objects in the target database", R"(
        SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= 16384
                   AND relnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '^pg_(toast|temp)'))
             + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
             + (SELECT count(*) FROM pg_catalog.pg_type WHERE oid >= 16384 AND typrelid = 0)
             + (SELECT count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_')
             + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata))");
}

void check_versions(const Manifest& manifest, const Session& session, const DumpProgram& psql,
                    bool restricted) {
    constexpr int kMajor = 10000;
    if (session.server_version_num() / kMajor < manifest.server.version_num / kMajor) {
        throw Error(
            ErrorCode::version,
            fmt::format("the target server is older than the one that was dumped: {} and {}",
                        session.server_version_num() / kMajor,
                        manifest.server.version_num / kMajor),
            {}, "Restore into the same major version, or a newer one.");
    }
    if (restricted && !psql_knows_restrict(psql.major, psql.minor)) {
        throw Error(ErrorCode::version,
                    fmt::format("psql {} cannot restore this dump: it does not know \\restrict",
                                psql.version),
                    {}, fmt::format("Use a newer psql: {}.", manifest.psql_required));
    }
}

namespace {

// Rows that the dump wrote for this name: of the table alone, without what inherits from it; of all
// partitions where the name is a partitioned table (--load-via-partition-root).
std::uint64_t rows_of(Session& session, const std::string& table) {
    const auto kind = session.query(
        "look for a table",
        "SELECT relkind FROM pg_catalog.pg_class WHERE oid = $1::pg_catalog.regclass", {table});
    const bool partitioned = !kind.empty() && kind[0][0] == "p";
    return count(session, "count the rows of " + table,
                 fmt::format("SELECT count(*) FROM {}{}", partitioned ? "" : "ONLY ", table));
}

}  // namespace

std::uint64_t compare_rows(Session& session, const Manifest& manifest, const CancelToken& cancel,
                           Progress& progress) {
    ProgressState state;
    state.phase = "comparing";
    state.database = manifest.database.name;
    session.query("begin counting rows", "SET row_security = off");
    std::string differences;
    std::uint64_t total = 0;
    for (const auto& table : manifest.tables) {
        cancel.check();
        state.table = table.name;
        progress.update(state);
        const std::uint64_t rows = rows_of(session, table.name);
        total += rows;
        if (rows != table.rows) {
            differences +=
                fmt::format("{}Table {} has {} rows; {} were dumped.",
                            differences.empty() ? "" : "\n", table.name, rows, table.rows);
        }
    }
    const std::uint64_t objects = count(session, "count the large objects",
                                        "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata");
    if (objects != manifest.large_objects) {
        differences +=
            fmt::format("{}There are {} large objects; {} were dumped.",
                        differences.empty() ? "" : "\n", objects, manifest.large_objects);
    }
    if (!differences.empty()) {
        throw Error(ErrorCode::restore, "the restored database is not what the manifest says",
                    differences);
    }
    return total;
}

}  // namespace immbackup
