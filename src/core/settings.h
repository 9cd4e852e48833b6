// The only list of immbackup's settings. The module makes GUCs of it, the command line its
// flags and environment, the documentation its reference table (`immbackup settings --markdown`).
// Everything is text until resolve_settings() makes a Settings of it: one parser, one validator,
// used by the check hooks, the job and the command line alike.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/names.h"
#include "core/seal_level.h"

namespace immbackup {

enum class SettingType { string, integer, boolean, enumeration };
enum class SettingContext { postmaster, sighup };  // as PostgreSQL's GucContext

struct SettingDefinition {
    const char* name;  // without the prefix "immbackup."
    SettingType type;
    const char* default_value;  // the text of the default
    int min;                    // integers only
    int max;
    const char* unit;     // "", "s", "ms", "MB": integers only; as PostgreSQL's GUC_UNIT_*
    const char* choices;  // enumerations only: comma separated
    const char*
        environment;  // environment variables in order of precedence, comma separated; "" none
    SettingContext context;
    bool superuser_only;      // names a program, a path or a file: GUC_SUPERUSER_ONLY
    const char* summary;      // one sentence, for pg_settings and --help
    const char* description;  // further sentences, for the documentation
};

// In the order of the documentation.
std::span<const SettingDefinition> setting_definitions();
const SettingDefinition* find_setting(std::string_view name);

// Why `value` cannot be the value of `definition`: a sentence for the error detail. Nothing where
// it can. Pure but for the time zone database.
std::optional<std::string> setting_problem(const SettingDefinition& definition,
                                           std::string_view value);

// The value that the environment gives a setting, and the variable it comes from. An empty
// variable is an unset one. TZ counts for `timezone` only where it names a zone ("" and
// ":/file" and POSIX rules do not). `lookup` is getenv in production.
using EnvironmentLookup = std::function<const char*(const char*)>;
struct EnvironmentValue {
    std::string variable;
    std::string value;
};
std::optional<EnvironmentValue> setting_from_environment(const SettingDefinition& definition,
                                                         const EnvironmentLookup& lookup);
// Reasons in the environment itself that forbid any run, such as a password being set: message
// and hint. (Values that are merely invalid are found by setting_problem.)
struct EnvironmentProblem {
    std::string message;
    std::string hint;
};
std::optional<EnvironmentProblem> environment_problem(const EnvironmentLookup& lookup);

// Whether a server takes scheduled runs under this value of run_on.
bool role_matches(std::string_view run_on, bool standby);

// Of the job and what it starts, as ioprio_set(2) has it: the class and level of others of the
// same niceness; the last level of that class; only what nobody else wants.
enum class IoPriority { normal, low, idle };

enum class GlobalsMode { automatic, on, off };

inline constexpr int kMaxGzipLevel = 9;
// Levels above need windows that take more memory than a backup, or a restore, is to have.
inline constexpr int kMaxZstdLevel = 19;
struct Compression {
    DumpFormat format = DumpFormat::gzip;
    int level = 2;  // gzip: 1 to 3 by ISA-L where the platform has it, 4 to 9 by zlib
    bool operator==(const Compression&) const = default;
    std::string text() const;  // "gzip:1", "zstd:3"
};

// The settings that begin with s3_, without that.
struct S3Settings {
    std::string bucket;            // empty: nothing is uploaded
    std::string prefix;            // without slashes at its ends
    std::string object_lock_mode;  // "COMPLIANCE" or "GOVERNANCE"
    int object_lock_days = 30;
    int anchor_days = -1;  // -1: object_lock_days
    std::string region;
    std::string endpoint_url;
    std::string addressing;  // "auto", "path" or "virtual"
    std::string ca_file;
    std::string storage_class;
    std::string kms_key_id;
    bool required = false;
    bool extend_locks = true;
    bool prune = false;
    int concurrency = 4;
    int max_parts = 10'000;
    int bandwidth_limit = 0;    // kB a second, 0: none
    int connect_timeout = 10;   // seconds
    int stall_timeout = 60;     // seconds
    int retry_timeout = 600;    // seconds
    int upload_timeout = 3600;  // seconds, 0: none
};

// The typed values. Fields are named as the settings.
struct Settings {
    std::string schedule;  // empty: none
    std::string timezone;
    bool catch_up = true;
    std::string run_on;                 // "primary", "standby" or "any"
    std::vector<std::string> on_event;  // program and its arguments; empty: none
    std::string directory;
    std::string vault_helper;  // program or socket; empty: the plain store
    SealLevel require_seal = SealLevel::readonly;
    std::string host;      // empty: this server's own socket (the scheduler fills it in)
    std::string port;      // empty: this server's own port
    std::string username;  // empty: libpq's default
    std::vector<std::string> databases;  // empty: every connectable one
    std::string password_file;           // empty: none
    int connect_wait = 0;                // seconds that a run waits for a server to answer
    Compression compression;
    GlobalsMode dump_globals = GlobalsMode::automatic;
    std::vector<std::string> pg_dump_options;
    int run_timeout = 0;        // seconds, 0: none
    int stall_timeout = 0;      // seconds without a byte from pg_dump, 0: none
    int lock_wait_timeout = 0;  // seconds pg_dump waits for a table lock, 0: for ever
    int nice = 0;               // 0 to 19
    IoPriority io_priority = IoPriority::normal;
    std::uint64_t rate_limit = 0;    // bytes of SQL a second, 0: none
    int compression_threads = 0;     // 0: as many as there are cores
    int retention_days = -1;         // -1: unset
    int retention_hourly_days = -1;  // -1: unset; core/retention.h has what holds then
    int retention_daily_days = -1;
    int retention_weekly_days = -1;
    int min_keep = 3;            // good artifacts of each database that are never pruned
    int pending_max_days = 14;   // days that an artifact waits for its upload, 0: for ever
    int anomaly_percent = 50;    // 0: nothing is an anomaly
    std::uint64_t min_free = 0;  // bytes that a run must leave free
    S3Settings s3;

    bool globals_wanted() const {
        return dump_globals == GlobalsMode::on ||
               (dump_globals == GlobalsMode::automatic && databases.empty());
    }
};

// Name to text; settings that are absent take their default. An empty timezone becomes "UTC".
// Throws Error(config) with the first setting that is invalid: "invalid value for setting
// \"immbackup.nice\": \"99\"".
using SettingTexts = std::map<std::string, std::string, std::less<>>;
Settings resolve_settings(const SettingTexts& texts);

// The reference table of docs/configuration.md, in the order of the definitions.
std::string settings_markdown();

// Splits an argument list as a POSIX shell would, with quotes and backslashes but without any
// expansion: `--exclude-table-data='log "x"' -v`. Nothing where a quote is not closed.
std::optional<std::vector<std::string>> split_arguments(std::string_view text);
// Splits a comma separated list of SQL identifiers as PostgreSQL's SplitIdentifierString does,
// except that case is kept: `app, "odd,name"`. Nothing where it is malformed.
std::optional<std::vector<std::string>> split_names(std::string_view text);

}  // namespace immbackup
