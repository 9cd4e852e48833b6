#include "restore/database_ddl.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "dump/session.h"

namespace immbackup {

namespace {

constexpr int kVersionIcuDatabases = 150000;
constexpr int kVersionIcuRules = 160000;
constexpr int kVersionBuiltinProvider = 170000;

// Settings whose value is a list of names: pg_db_role_setting holds it ready quoted, and quoting it
// again as one literal would make one name of it (PostgreSQL's GUC_LIST_QUOTE, pg_dump's
// variable_is_guc_list_quote).
constexpr std::array<std::string_view, 6> kListQuoted{
    "local_preload_libraries",  "search_path",      "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"};

// A custom setting has a dot in its name, which is a qualified name, not one identifier.
std::string quote_setting_name(const std::string& name) {
    const auto dot = name.find('.');
    return dot == std::string::npos ? quote_identifier(name)
                                    : quote_identifier(name.substr(0, dot)) + "." +
                                          quote_identifier(name.substr(dot + 1));
}

// The names in such a list, which may be empty ones: SET search_path = '' is stored as "". Every
// name is as quote_identifier() of the server wrote it.
std::vector<std::string> listed_names(std::string_view list) {
    std::vector<std::string> out;
    bool in_name = false;
    bool quoted = false;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const char c = list[i];
        if (!quoted && (c == ',' || c == ' ')) {
            in_name = false;
            continue;
        }
        if (!in_name) {
            out.emplace_back();
            in_name = true;
        }
        if (c != '"') {
            out.back() += c;
        } else if (quoted && i + 1 < list.size() && list[i + 1] == '"') {
            out.back() += list[++i];
        } else {
            quoted = !quoted;
        }
    }
    return out;
}

std::string set_clause(const std::string& setting) {
    const auto equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    std::string text;
    if (std::find(kListQuoted.begin(), kListQuoted.end(), name) != kListQuoted.end()) {
        for (const auto& item : listed_names(value)) {
            text += (text.empty() ? "" : ", ") + quote_literal(item);
        }
    }
    return fmt::format("SET {} TO {}", quote_setting_name(name),
                       text.empty() ? quote_literal(value) : text);
}

}  // namespace

std::string create_database_statement(const DatabaseProperties& database, const std::string& name,
                                      const std::string& owner, int server_version_num) {
    std::string sql =
        fmt::format("CREATE DATABASE {} WITH TEMPLATE = template0", quote_identifier(name));
    const auto add = [&sql](const char* option, const std::string& value) {
        if (!value.empty()) {
            sql += fmt::format(" {} = {}", option, quote_literal(value));
        }
    };
    if (!owner.empty()) {
        sql += fmt::format(" OWNER = {}", quote_identifier(owner));
    }
    add("ENCODING", database.encoding);
    add("LC_COLLATE", database.collate);
    add("LC_CTYPE", database.ctype);
    const std::string& provider = database.locale_provider;
    if (provider == "icu" || provider == "builtin") {
        const bool builtin = provider == "builtin";
        if (server_version_num < (builtin ? kVersionBuiltinProvider : kVersionIcuDatabases)) {
            throw Error(ErrorCode::version,
                        fmt::format("the target server has no locale provider \"{}\" for databases",
                                    provider),
                        {},
                        "Restore into the version that the dump was taken from, or a newer one.");
        }
        sql += fmt::format(" LOCALE_PROVIDER = {}", provider);
        add(builtin ? "BUILTIN_LOCALE" : "ICU_LOCALE", database.locale);
        if (server_version_num >= kVersionIcuRules) {
            add("ICU_RULES", database.icu_rules);
        }
    } else if (provider == "libc" && server_version_num >= kVersionIcuDatabases) {
        sql += " LOCALE_PROVIDER = libc";
    }
    return sql;
}

std::vector<DatabaseStatement> database_property_statements(const DatabaseProperties& database,
                                                            const std::string& name) {
    const std::string target = quote_identifier(name);
    std::vector<DatabaseStatement> out;
    if (database.connection_limit != -1) {
        out.push_back({fmt::format("ALTER DATABASE {} CONNECTION LIMIT {}", target,
                                   database.connection_limit),
                       {}});
    }
    if (!database.comment.empty()) {
        out.push_back(
            {fmt::format("COMMENT ON DATABASE {} IS {}", target, quote_literal(database.comment)),
             {}});
    }
    for (const auto& entry : database.settings) {
        out.push_back(
            {entry.role.empty()
                 ? fmt::format("ALTER DATABASE {} {}", target, set_clause(entry.setting))
                 : fmt::format("ALTER ROLE {} IN DATABASE {} {}", quote_identifier(entry.role),
                               target, set_clause(entry.setting)),
             entry.role});
    }
    if (database.has_grants) {
        // The list states everything there is: begin from nothing.
        out.push_back({fmt::format("REVOKE ALL ON DATABASE {} FROM PUBLIC", target), {}});
        for (const auto& grant : database.grants) {
            constexpr std::array<std::string_view, 4> kPrivileges{"CONNECT", "CREATE", "TEMPORARY",
                                                                  "TEMP"};
            if (std::find(kPrivileges.begin(), kPrivileges.end(), grant.privilege) ==
                kPrivileges.end()) {
                throw Error(ErrorCode::corrupt,
                            "the manifest names a privilege that databases do not have",
                            fmt::format("It is \"{}\".", grant.privilege));
            }
            out.push_back(
                {fmt::format("GRANT {} ON DATABASE {} TO {}{}", grant.privilege, target,
                             grant.grantee.empty() ? "PUBLIC" : quote_identifier(grant.grantee),
                             grant.grantable ? " WITH GRANT OPTION" : ""),
                 grant.grantee});
        }
    }
    return out;
}

}  // namespace immbackup
