#include "core/manifest.h"

#include <fmt/format.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"
#include "core/json_reader.h"
#include "core/names.h"

namespace immbackup {

namespace {

constexpr const char* kManifestDocument = "manifest";

Json database_json(const DatabaseProperties& database) {
    Json settings = Json::array();
    for (const auto& entry : database.settings) {
        settings.push_back({{"role", entry.role}, {"setting", entry.setting}});
    }
    Json out{{"name", database.name},
             {"owner", database.owner},
             {"encoding", database.encoding},
             {"locale_provider", database.locale_provider},
             {"collate", database.collate},
             {"ctype", database.ctype},
             {"locale", database.locale},
             {"icu_rules", database.icu_rules},
             {"size", database.size},
             {"connection_limit", database.connection_limit},
             {"comment", database.comment},
             {"settings", std::move(settings)},
             {"grants", nullptr}};
    if (database.has_grants) {
        Json grants = Json::array();
        for (const auto& grant : database.grants) {
            grants.push_back({{"grantee", grant.grantee},
                              {"privilege", grant.privilege},
                              {"grantable", grant.grantable}});
        }
        out["grants"] = std::move(grants);
    }
    return out;
}

DatabaseProperties read_database(const JsonReader& in) {
    DatabaseProperties out;
    in.get("name", out.name);
    in.get("owner", out.owner);
    in.get("encoding", out.encoding);
    in.get("locale_provider", out.locale_provider);
    in.get("collate", out.collate);
    in.get("ctype", out.ctype);
    in.get("locale", out.locale);
    in.get("icu_rules", out.icu_rules);
    in.get("size", out.size);
    in.get("connection_limit", out.connection_limit);
    in.get("comment", out.comment);
    for (const Json& entry : in.array("settings")) {
        const JsonReader setting(kManifestDocument, entry, "\"database.settings\"");
        setting.get("role", out.settings.emplace_back().role);
        setting.get("setting", out.settings.back().setting);
    }
    out.has_grants = !in.member("grants").is_null();
    if (out.has_grants) {
        for (const Json& entry : in.array("grants")) {
            const JsonReader grant(kManifestDocument, entry, "\"database.grants\"");
            DatabaseGrant& added = out.grants.emplace_back();
            grant.get("grantee", added.grantee);
            grant.get("privilege", added.privilege);
            grant.get("grantable", added.grantable);
        }
    }
    return out;
}

Manifest read_manifest(const Json& json) {
    const JsonReader in(kManifestDocument, json);
    int format = 0;
    in.get("format", format);
    if (format > kManifestFormat) {
        throw Error(
            ErrorCode::version,
            fmt::format("the manifest has format {}, newer than this version reads", format), {},
            "Use the version of immbackup that wrote it, or a newer one.");
    }
    Manifest out;
    in.get("artifact", out.artifact);
    in.get("run", out.run);
    in.get("globals", out.globals);
    if (!out.globals) {
        out.database = read_database(in.object("database"));
    }
    const JsonReader server = in.object("server");
    server.get("version", out.server.version);
    server.get("version_num", out.server.version_num);
    server.get("system_identifier", out.server.system_identifier);
    server.get("host", out.server.host);
    server.get("port", out.server.port);
    server.get("in_recovery", out.server.in_recovery);
    in.get("pg_dump_version", out.pg_dump_version);
    in.get("pg_dump_arguments", out.pg_dump_arguments);
    in.get("psql_required", out.psql_required);
    in.get("started", out.started);
    in.get("finished", out.finished);
    in.get("snapshot_after", out.snapshot_after);
    in.get("snapshot_before", out.snapshot_before);
    in.get("size", out.size);
    in.get("sql_size", out.sql_size);
    in.get("sha256", out.sha256);
    in.get("compression", out.compression);
    in.get("compressor", out.compressor);
    for (const Json& entry : in.array("tables")) {
        const JsonReader table(kManifestDocument, entry, "\"tables\"");
        TableContent& added = out.tables.emplace_back();
        table.get("name", added.name);
        table.get("rows", added.rows);
        table.get("bytes", added.bytes);
    }
    in.get("rows", out.rows);
    in.get("large_objects", out.large_objects);
    in.get("large_object_bytes", out.large_object_bytes);
    in.get("role_passwords", out.role_passwords);
    in.get("tier", out.tier);
    in.get_if_present("anomaly", out.anomaly);
    in.get("retain_until", out.retain_until);
    in.get("seal", out.seal);
    in.get("audit_seq", out.audit_seq);
    in.get("audit_hash", out.audit_hash);
    in.get("instance", out.instance);
    in.get("immbackup_version", out.immbackup_version);
    in.get("warnings", out.warnings);
    if (!is_sha256_hex(out.sha256)) {
        throw in.bad("\"sha256\"", "is not a SHA-256 digest");
    }
    if (!dump_format(out.compression)) {
        throw Error(ErrorCode::version,
                    fmt::format("the artifact is compressed by \"{}\", which this version does not "
                                "read",
                                out.compression),
                    {}, "Use the version of immbackup that wrote it, or a newer one.");
    }
    if (!parse_stem(out.artifact)) {
        throw in.bad("\"artifact\"", "is not the name of an artifact");
    }
    return out;
}

}  // namespace

std::string manifest_to_json(const Manifest& manifest) {
    Json tables = Json::array();
    for (const auto& table : manifest.tables) {
        tables.push_back({{"name", table.name}, {"rows", table.rows}, {"bytes", table.bytes}});
    }
    const Json json{
        {"format", kManifestFormat},
        {"artifact", manifest.artifact},
        {"run", manifest.run},
        {"instance", manifest.instance},
        {"globals", manifest.globals},
        {"database", manifest.globals ? Json(nullptr) : database_json(manifest.database)},
        {"server",
         {{"version", manifest.server.version},
          {"version_num", manifest.server.version_num},
          {"system_identifier", manifest.server.system_identifier},
          {"host", manifest.server.host},
          {"port", manifest.server.port},
          {"in_recovery", manifest.server.in_recovery}}},
        {"pg_dump_version", manifest.pg_dump_version},
        {"pg_dump_arguments", manifest.pg_dump_arguments},
        {"psql_required", manifest.psql_required},
        {"started", format_time(manifest.started)},
        {"finished", format_time(manifest.finished)},
        {"snapshot_after", format_time(manifest.snapshot_after)},
        {"snapshot_before", format_time(manifest.snapshot_before)},
        {"size", manifest.size},
        {"sql_size", manifest.sql_size},
        {"sha256", manifest.sha256},
        {"compression", manifest.compression},
        {"compressor", manifest.compressor},
        {"rows", manifest.rows},
        {"large_objects", manifest.large_objects},
        {"large_object_bytes", manifest.large_object_bytes},
        {"role_passwords", manifest.role_passwords},
        {"tier", manifest.tier},
        {"anomaly", manifest.anomaly},
        {"retain_until", format_time(manifest.retain_until)},
        {"seal", manifest.seal},
        {"audit_seq", manifest.audit_seq},
        {"audit_hash", manifest.audit_hash},
        {"immbackup_version", manifest.immbackup_version},
        {"warnings", manifest.warnings},
        {"tables", std::move(tables)},
    };
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Manifest manifest_from_json(std::string_view text) {
    return read_manifest(parse_bounded(kManifestDocument, text, kMaxManifestSize));
}

}  // namespace immbackup
