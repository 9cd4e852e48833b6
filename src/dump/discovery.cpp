#include "dump/discovery.h"

#include <poll.h>

#include <charconv>
#include <optional>

#include "core/error.h"
#include "dump/session.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// Names of databases and roles are in no encoding that the server knows of: the bytes as they are
// stored are the ones that a connection has to ask for.
void read_raw_bytes(Session& session) {
    session.query("set the client encoding",
                  "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)");
}

std::string text(const std::optional<std::string>& value) {
    return value.value_or("");
}
bool truth(const std::optional<std::string>& value) {
    return value == "t";
}
template <class Number>
Number number(const std::optional<std::string>& value, Number otherwise) {
    Number result = otherwise;
    if (value) {
        std::from_chars(value->data(), value->data() + value->size(), result);
    }
    return result;
}

// A database that is not there or refuses us says nothing about the server: the next one may do.
std::unique_ptr<Session> connect_somewhere(const ConnectionTarget& target,
                                           const std::vector<std::string>& candidates,
                                           const CancelToken& cancel) {
    std::optional<Error> first;
    for (const std::string& database : candidates) {
        try {
            return std::make_unique<Session>(target, database, cancel);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::not_found && error.code() != ErrorCode::permission) {
                throw;
            }
            if (!first) {
                first = error;
            }
        }
    }
    throw Error(ErrorCode::connect, first->message(), first->detail(),
                "Name a database that exists and accepts connections in the setting "
                "immbackup.databases (DB_NAME).");
}

// As long as nobody answers there, and for no longer than `wait`.
std::unique_ptr<Session> connect_when_ready(const ConnectionTarget& target,
                                            const std::vector<std::string>& candidates,
                                            const CancelToken& cancel, std::chrono::seconds wait) {
    constexpr int kPauseMs = 500;
    const std::uint64_t deadline =
        monotonic_ms() + static_cast<std::uint64_t>(std::chrono::milliseconds(wait).count());
    for (;;) {
        try {
            return connect_somewhere(target, candidates, cancel);
        } catch (const NotReady& error) {
            if (monotonic_ms() >= deadline) {
                throw Error(error);
            }
        }
        pollfd cancelled{cancel.fd(), POLLIN, 0};
        ::poll(&cancelled, 1, kPauseMs);
        cancel.check();
    }
}

std::string system_identifier(Session& session) {
    constexpr const char* kMayRead =
        "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    // Two statements: the right to execute is checked before a CASE could ask for it.
    if (!truth(session.query("check a privilege", kMayRead).at(0).at(0))) {
        return {};
    }
    return text(session
                    .query("read the system identifier",
                           "SELECT system_identifier::pg_catalog.text "
                           "FROM pg_catalog.pg_control_system()")
                    .at(0)
                    .at(0));
}

// The locale of a database: provider, ICU or builtin locale, ICU rules, by server version.
std::string locale_columns(int version_num) {
    constexpr int kIcuDatabases = 150000;
    constexpr int kIcuRules = 160000;
    constexpr int kBuiltinProvider = 170000;
    if (version_num < kIcuDatabases) {
        return "'libc', '', ''";
    }
    std::string columns =
        "CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' "
        "ELSE d.datlocprovider::pg_catalog.text END, ";
    columns += version_num < kBuiltinProvider ? "d.daticulocale" : "d.datlocale";
    columns += version_num < kIcuRules ? ", ''" : ", d.daticurules";
    return columns;
}

DatabaseProperties read_properties(Session& session, const std::string& database) {
    const std::string properties_query =
        "SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), "
        "d.datcollate, d.datctype, d.datconnlimit, d.datacl IS NOT NULL, "
        "pg_catalog.shobj_description(d.oid, 'pg_database'), "
        "CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') "
        "OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') "
        "THEN pg_catalog.pg_database_size(d.oid) END, " +
        locale_columns(session.server_version_num()) +
        " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    const Session::Row row =
        session.query("read the properties of the database", properties_query).at(0);
    DatabaseProperties properties;
    properties.name = database;
    properties.owner = text(row[0]);
    properties.encoding = text(row[1]);
    properties.collate = text(row[2]);
    properties.ctype = text(row[3]);
    properties.connection_limit = number(row[4], -1);
    properties.has_grants = truth(row[5]);
    properties.comment = text(row[6]);
    properties.size = number<std::int64_t>(row[7], 0);
    properties.locale_provider = text(row[8]);
    properties.locale = text(row[9]);
    properties.icu_rules = text(row[10]);

    for (const Session::Row& setting : session.query(
             "read the settings of the database",
             "SELECT r.rolname, c.setting FROM pg_catalog.pg_db_role_setting s "
             "JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase "
             "LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole "
             "CROSS JOIN pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS c(setting, place) "
             "WHERE d.datname = pg_catalog.current_database() "
             "AND (s.setrole = 0 OR r.oid IS NOT NULL) "
             "ORDER BY r.rolname NULLS FIRST, c.place")) {
        properties.settings.push_back({text(setting[0]), text(setting[1])});
    }
    for (const Session::Row& grant : session.query(
             "read the privileges of the database",
             "SELECT r.rolname, a.privilege_type, a.is_grantable FROM pg_catalog.pg_database d "
             "CROSS JOIN pg_catalog.aclexplode(d.datacl) a "
             "LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee "
             "WHERE d.datname = pg_catalog.current_database() "
             "AND (a.grantee = 0 OR r.oid IS NOT NULL) "
             "ORDER BY r.rolname NULLS FIRST, a.privilege_type, a.is_grantable")) {
        properties.grants.push_back({text(grant[0]), text(grant[1]), truth(grant[2])});
    }
    return properties;
}

}  // namespace

Discovery discover_server(const ConnectionTarget& target, const std::vector<std::string>& wanted,
                          const CancelToken& cancel, std::chrono::seconds wait) {
    std::vector<std::string> candidates = wanted;
    candidates.emplace_back("postgres");
    candidates.emplace_back("template1");
    const std::unique_ptr<Session> session = connect_when_ready(target, candidates, cancel, wait);
    read_raw_bytes(*session);

    Discovery found;
    found.server.version = session->parameter("server_version");
    found.server.version_num = session->server_version_num();
    found.server.host = session->host();
    found.server.port = session->port();
    found.server.system_identifier = system_identifier(*session);
    const Session::Row row =
        session
            ->query("read the state of the server",
                    "SELECT pg_catalog.pg_is_in_recovery(), "
                    "pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')")
            .at(0);
    found.server.in_recovery = truth(row[0]);
    found.superuser = truth(row[1]);

    // A connection limit of -2 marks what an interrupted DROP DATABASE left: nobody can connect.
    const std::string list_query =
        "SELECT datname FROM pg_catalog.pg_database "
        "WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 "
        "AND NOT pg_catalog.starts_with(datname::pg_catalog.text, " +
        quote_literal(kScratchPrefix) + ") ORDER BY datname::pg_catalog.text COLLATE \"C\"";
    for (const Session::Row& database : session->query("list the databases", list_query)) {
        found.databases.push_back(text(database[0]));
    }
    return found;
}

DatabaseProperties discover_database(const ConnectionTarget& target, const std::string& database,
                                     const CancelToken& cancel) {
    Session session(target, database, cancel);
    try {
        return read_properties(session, database);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::failed) {
            throw;
        }
    }
    // A name or comment that is not valid in this database's encoding cannot become UTF-8.
    read_raw_bytes(session);
    return read_properties(session, database);
}

}  // namespace immbackup
