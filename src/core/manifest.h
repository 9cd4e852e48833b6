// What is true of an artifact at the moment it was made. Written last, so that its presence means
// "complete". docs/formats.md describes the JSON field by field; its "format" is kManifestFormat.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/names.h"
#include "core/time.h"

namespace immbackup {

inline constexpr int kManifestFormat = 1;

struct TableContent {
    std::string name;  // as pg_dump quotes it: public."odd name"
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;  // of COPY text or INSERT statements, newlines included
};

// One ALTER DATABASE / ALTER ROLE … IN DATABASE setting; role empty: for every role.
struct DatabaseSetting {
    std::string role;
    std::string setting;  // name=value as in pg_db_role_setting
};
struct DatabaseGrant {
    std::string grantee;    // role name, "" for PUBLIC
    std::string privilege;  // CONNECT, CREATE, TEMPORARY
    bool grantable = false;
};

// What CREATE DATABASE and its companions need to make the database again.
struct DatabaseProperties {
    std::string name;
    std::string owner;
    std::string encoding;         // UTF8
    std::string locale_provider;  // libc, icu, builtin
    std::string collate;
    std::string ctype;
    std::string locale;     // ICU or builtin locale, empty for libc
    std::string icu_rules;  // empty: none
    std::int64_t size = 0;  // pg_database_size when the dump began, 0: unknown
    int connection_limit = -1;
    std::string comment;
    std::vector<DatabaseSetting> settings;
    bool has_grants = false;  // false: the default privileges (datacl is null)
    std::vector<DatabaseGrant> grants;
};

struct ServerProperties {
    std::string version;            // "15.18 (Debian 15.18-0+deb12u1)"
    int version_num = 0;            // 150018
    std::string system_identifier;  // decimal; empty where it may not be read
    std::string host;               // as connected to
    std::string port;
    bool in_recovery = false;
};

struct Manifest {
    std::string artifact;  // the stem
    std::string run;
    bool globals = false;  // a dump of roles and tablespaces; `database` is then empty
    DatabaseProperties database;
    ServerProperties server;
    std::string pg_dump_version;
    std::vector<std::string> pg_dump_arguments;  // without connection arguments; never a secret
    std::string psql_required;  // which psql can restore it: a version, or a sentence
    Time started;
    Time finished;
    Time snapshot_after;  // the dump's snapshot was taken between these two instants
    Time snapshot_before;
    std::uint64_t size = 0;      // compressed bytes
    std::uint64_t sql_size = 0;  // uncompressed bytes
    std::string sha256;          // of the compressed bytes
    std::string compression;     // "gzip:1", "zstd:3"
    std::string compressor;      // "isa-l", "zlib" or "zstd", with version
    std::vector<TableContent> tables;
    std::uint64_t rows = 0;
    std::uint64_t large_objects = 0;
    std::uint64_t large_object_bytes = 0;
    bool role_passwords = true;  // globals only: false where they could not be read
    std::string tier;            // "hourly", "daily", "weekly"
    std::string anomaly;         // how it falls short of the one before, a sentence, or empty
    Time retain_until;
    std::string seal;             // a seal level, core/seal_level.h
    std::uint64_t audit_seq = 0;  // head of the audit log when the manifest was written
    std::string audit_hash;
    std::string instance;
    std::string immbackup_version;
    std::vector<std::string> warnings;

    // How the artifact is compressed, and its files are called.
    DumpFormat format() const { return dump_format(compression).value_or(DumpFormat::gzip); }
};

// Pretty-printed UTF-8 JSON with a final newline. Bytes of names that are not UTF-8 are replaced.
std::string manifest_to_json(const Manifest& manifest);
// Throws Error(corrupt) that says which field is wrong; unknown fields are ignored, a newer
// "format" or another compression is refused with a hint to upgrade. Accepts at most
// kMaxManifestSize bytes.
inline constexpr std::size_t kMaxManifestSize = 64 * 1024 * 1024;
Manifest manifest_from_json(std::string_view text);

}  // namespace immbackup
