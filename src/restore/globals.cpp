// Restoring roles and tablespaces. What exists on the target is left alone and reported: a restore
// must not change a living server's rights behind its owner's back.

#include <fmt/format.h>

#include <map>
#include <set>
#include <sstream>

#include "core/error.h"
#include "dump/scan.h"
#include "restore/dump_reader.h"
#include "restore/psql_feed.h"
#include "restore/restore.h"
#include "restore/target.h"

namespace immbackup {

namespace {

// Takes the SQL identifier at the front of `text`, unquoted.
std::optional<std::string> take_identifier(std::string_view& text) {
    std::string out;
    if (text.starts_with('"')) {
        for (std::size_t i = 1; i < text.size(); ++i) {
            if (text[i] != '"') {
                out += text[i];
            } else if (i + 1 < text.size() && text[i + 1] == '"') {
                out += text[++i];
            } else {
                text.remove_prefix(i + 1);
                return out;
            }
        }
        return std::nullopt;
    }
    const auto end = std::min(text.find_first_of(" ;\n"), text.size());
    out = std::string(text.substr(0, end));
    text.remove_prefix(end);
    return out.empty() ? std::nullopt : std::optional(out);
}

// The attributes in "ALTER ROLE x WITH NOSUPERUSER INHERIT … PASSWORD '…' …": single words, and
// what is limited. Passwords are not compared: their hashes are salted.
std::set<std::string> attributes_of(std::string_view words) {
    std::set<std::string> out;
    std::istringstream in{std::string(words)};
    std::string word;
    while (in >> word) {
        while (!word.empty() && word.back() == ';') {
            word.pop_back();
        }
        if (word == "PASSWORD") {
            in >> word;
        } else if (word == "CONNECTION") {
            in >> word >> word;
            while (!word.empty() && word.back() == ';') {
                word.pop_back();
            }
            out.insert("CONNECTION LIMIT " + word);
        } else if (word == "VALID") {
            break;  // the rest is a time, in a time zone of the dump's session
        } else if (word != "WITH" && !word.empty()) {
            out.insert(word);
        }
    }
    return out;
}

// The roles and tablespaces that the target has, as pg_dumpall would state them.
struct Existing {
    std::map<std::string, std::set<std::string>> roles;
    std::set<std::string> tablespaces;
};

Existing existing_on(Session& session) {
    Existing out;
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
        out.roles[row[0].value_or("")] = attributes_of(row[1].value_or(""));
    }
    for (const auto& row :
         session.query("list the tablespaces", "SELECT spcname FROM pg_catalog.pg_tablespace")) {
        out.tablespaces.insert(row[0].value_or(""));
    }
    return out;
}

// Decides statement by statement, and keeps the report.
class GlobalsPlan {
  public:
    GlobalsPlan(Existing existing, bool overwrite, GlobalsReport& report)
        : existing_(std::move(existing)), overwrite_(overwrite), report_(report) {}

    bool leave_out(std::string_view statement) {
        if (statement.starts_with("CREATE ROLE ")) {
            return create_role(statement.substr(12));
        }
        if (statement.starts_with("ALTER ROLE ")) {
            return alter_role(statement.substr(11));
        }
        if (statement.starts_with("CREATE TABLESPACE ")) {
            return create_tablespace(statement.substr(18));
        }
        return false;
    }

  private:
    bool create_role(std::string_view rest) {
        const auto name = take_identifier(rest);
        if (!name || existing_.roles.contains(*name)) {
            return name.has_value();
        }
        report_.created.push_back("role " + *name);
        return false;
    }
    bool alter_role(std::string_view rest) {
        const auto name = take_identifier(rest);
        const auto found = name ? existing_.roles.find(*name) : existing_.roles.end();
        if (found == existing_.roles.end()) {
            return false;
        }
        if (rest.starts_with(" WITH ")) {
            const bool equal = attributes_of(rest) == found->second;
            (equal ? report_.equal : report_.different).push_back("role " + *name);
        }
        return !overwrite_;
    }
    bool create_tablespace(std::string_view rest) {
        const auto name = take_identifier(rest);
        if (name && existing_.tablespaces.contains(*name)) {
            report_.equal.push_back("tablespace " + *name);
            return true;
        }
        report_.created.push_back("tablespace " + name.value_or(""));
        return false;
    }

    Existing existing_;
    bool overwrite_;
    GlobalsReport& report_;
};

}  // namespace

GlobalsReport restore_globals(const Store& store, const std::string& artifact,
                              const ConnectionTarget& server, const std::string& bindir,
                              bool overwrite_roles, const CancelToken& cancel, Progress& progress) {
    const Manifest manifest = store.read_manifest(artifact);
    if (!manifest.globals) {
        throw Error(ErrorCode::usage,
                    fmt::format("\"{}\" holds a database, not roles and tablespaces", artifact), {},
                    "Leave out --globals, and name the new database with --to.");
    }
    const auto reading = read_dump(store, manifest, {}, "verifying", cancel, progress);
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
        store, manifest, [&filter](std::span<const std::byte> bytes) { filter.feed(bytes); },
        "restoring", cancel, progress);
    filter.finish();
    feed.finish();
    return report;
}

}  // namespace immbackup
