// The order of a restore: verify, look, make, load, apply, compare.

#include "restore/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "dump/scan.h"
#include "io/clock.h"
#include "restore/database_ddl.h"
#include "restore/dump_reader.h"
#include "restore/psql_feed.h"
#include "restore/target.h"

namespace immbackup {

namespace {

// Drops the database that this restore made, unless all went well.
class MadeDatabase {
  public:
    MadeDatabase(ConnectionTarget server, std::string name)
        : server_(std::move(server)), name_(std::move(name)) {}
    ~MadeDatabase() {
        if (keep_) {
            return;
        }
        try {
            // A token of its own: cleaning up after a cancellation must not be cancelled.
            const CancelToken no_cancel;
            Session session = maintenance_session(server_, no_cancel);
            session.query(
                "drop the database",
                fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name_)));
        } catch (const std::exception&) {
            // The error that led here matters more; a server that is gone keeps the half-filled
            // database.
            return;
        }
    }
    MadeDatabase(const MadeDatabase&) = delete;
    MadeDatabase& operator=(const MadeDatabase&) = delete;
    void made(bool keep_failed) { keep_ = keep_failed; }
    void keep() { keep_ = true; }

  private:
    ConnectionTarget server_;
    std::string name_;
    bool keep_ = true;
};

void check_existing(const RestoreRequest& request, const CancelToken& cancel) {
    Session session(request.server, request.database, cancel);
    const auto objects = user_object_count(session);
    if (objects > 0 && !request.nonempty) {
        throw Error(ErrorCode::exists,
                    fmt::format("database \"{}\" is not empty: it has {} objects", request.database,
                                objects),
                    {}, "Restore into a new database, or say --into-nonempty if you mean it.");
    }
}

std::string owner_for(Session& session, const RestoreRequest& request, const Manifest& manifest) {
    const std::string owner = request.owner.empty() ? manifest.database.owner : request.owner;
    if (!owner.empty() && !role_exists(session, owner)) {
        throw Error(
            ErrorCode::not_found,
            fmt::format(
                "role \"{}\", the owner of the database, does not exist on the target server",
                owner),
            {}, "Restore the globals of the same run first, or name another owner with --owner.");
    }
    return owner;
}

// Makes the database, or looks at the one there is; true where it was made.
bool prepare_database(Session& session, const RestoreRequest& request, const Manifest& manifest,
                      const CancelToken& cancel) {
    const bool exists = database_exists(session, request.database);
    if (exists && !request.existing && !request.nonempty) {
        throw Error(ErrorCode::exists,
                    fmt::format("database \"{}\" exists already", request.database), {},
                    "Name a new database, or say --existing to fill an empty one.");
    }
    if (exists) {
        check_existing(request, cancel);
        return false;
    }
    if (request.existing || request.nonempty) {
        throw Error(ErrorCode::not_found,
                    fmt::format("database \"{}\" does not exist", request.database), {},
                    "Leave out --existing to have it made.");
    }
    const std::string owner = owner_for(session, request, manifest);
    session.query("create the database",
                  create_database_statement(manifest.database, request.database, owner,
                                            session.server_version_num()));
    return true;
}

std::vector<std::string> load(const ArtifactSource& source, const RestoreRequest& request,
                              const Manifest& manifest, const DumpProgram& psql, bool filter_own,
                              const CancelToken& cancel, Progress& progress) {
    // A database that we made is dropped on failure; one that was there is left as it was, by one
    // transaction, which a dump's own BEGIN and COMMIT around large objects would end early.
    const bool one_transaction =
        (request.existing || request.nonempty) && manifest.large_objects == 0;
    PsqlFeed feed(psql, request.server, request.database, one_transaction, cancel);
    StatementFilter filter(
        [&feed](std::span<const std::byte> bytes) { feed.write(bytes); },
        [filter_own](std::string_view head) { return filter_own && is_own_statement(head); });
    // Digest and content are compared once more: what is loaded is what was verified, or nothing
    // is.
    read_dump(
        source, manifest, [&filter](std::span<const std::byte> bytes) { filter.feed(bytes); },
        "restoring", cancel, progress);
    filter.finish();
    feed.finish();
    return filter.left_out();
}

void apply_properties(Session& session, const RestoreRequest& request, const Manifest& manifest,
                      RestoreReport& report) {
    for (const auto& statement :
         database_property_statements(manifest.database, request.database)) {
        if (!statement.role.empty() && !role_exists(session, statement.role)) {
            report.not_applied.push_back(statement.sql);
            continue;
        }
        session.query("apply a property of the database", statement.sql);
    }
}

}  // namespace

bool is_own_statement(std::string_view statement) {
    constexpr std::array<std::string_view, 4> kWhole{
        "CREATE EXTENSION immbackup", "CREATE EXTENSION IF NOT EXISTS immbackup",
        "COMMENT ON EXTENSION immbackup", "ALTER EXTENSION immbackup"};
    for (const std::string_view prefix : kWhole) {
        if (statement.starts_with(prefix) && statement.size() > prefix.size() &&
            (statement[prefix.size()] == ' ' || statement[prefix.size()] == ';')) {
            return true;
        }
    }
    // Rights that somebody granted on the extension's objects: GRANT … ON FUNCTION
    // immbackup.run_now(…) TO …
    if (!statement.starts_with("GRANT ") && !statement.starts_with("REVOKE ") &&
        !statement.starts_with("ALTER DEFAULT PRIVILEGES ")) {
        return false;
    }
    constexpr std::array<std::string_view, 5> kObjects{
        " ON FUNCTION immbackup.", " ON TABLE immbackup.", " ON SCHEMA immbackup ",
        " IN SCHEMA immbackup ", " ON SEQUENCE immbackup."};
    return std::any_of(kObjects.begin(), kObjects.end(), [statement](std::string_view object) {
        return statement.find(object) != std::string_view::npos;
    });
}

RestoreReport restore_database(const ArtifactSource& source, const RestoreRequest& request,
                               const CancelToken& cancel, Progress& progress) {
    const std::uint64_t begin = monotonic_ms();
    const Manifest manifest = source.read_manifest(request.artifact);
    if (manifest.globals) {
        throw Error(
            ErrorCode::usage,
            fmt::format("\"{}\" holds roles and tablespaces, not a database", request.artifact), {},
            "Say --globals to restore it.");
    }
    const auto reading = read_dump(source, manifest, {}, "verifying", cancel, progress);

    Session session = maintenance_session(request.server, cancel);
    const DumpProgram psql = find_program(request.bindir, "psql", cancel);
    check_versions(manifest, session, psql, reading.scan.restricted);
    RestoreReport report;
    report.database = request.database;
    report.host = session.host();
    report.port = session.port();

    MadeDatabase database(request.server, request.database);
    if (prepare_database(session, request, manifest, cancel)) {
        database.made(request.keep_failed);
    }
    report.left_out = load(source, request, manifest, psql,
                           !extension_available(session, "immbackup"), cancel, progress);
    apply_properties(session, request, manifest, report);
    if (!request.nonempty) {
        Session target(request.server, request.database, cancel);
        report.rows = compare_rows(target, manifest, cancel, progress);
        report.compared = true;
        if (request.analyze) {
            target.query("analyze the database", "ANALYZE");
        }
    }
    report.tables = manifest.tables.size();
    database.keep();
    report.seconds = static_cast<double>(monotonic_ms() - begin) / 1000.0;
    return report;
}

}  // namespace immbackup
