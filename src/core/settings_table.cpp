// The table of settings: the only place where a setting is listed.

#include <fmt/format.h>

#include <array>

#include "core/settings.h"

namespace immbackup {

namespace {

using enum SettingContext;
using enum SettingType;

constexpr SettingDefinition text_setting(const char* name, const char* default_value,
                                         const char* environment, const char* summary,
                                         const char* description) {
    return {name, string,      default_value, 0,     0,       "",
            "",   environment, sighup,        false, summary, description};
}

constexpr SettingDefinition path_setting(const char* name, const char* default_value,
                                         const char* environment, SettingContext context,
                                         const char* summary, const char* description) {
    return {name, string,      default_value, 0,    0,       "",
            "",   environment, context,       true, summary, description};
}

constexpr SettingDefinition seconds_setting(const char* name, const char* default_value, int max,
                                            const char* environment, const char* summary,
                                            const char* description) {
    return {name, integer,     default_value, 0,     max,     "s",
            "",   environment, sighup,        false, summary, description};
}

constexpr SettingDefinition days_setting(const char* name, const char* environment,
                                         const char* summary, const char* description) {
    return {name, integer,     "-1",   -1,    36500,   "",
            "",   environment, sighup, false, summary, description};
}

constexpr int kMaxSeconds = 30 * 24 * 3600;

constexpr std::array kDefinitions{
    text_setting("schedule", "0 * * * *", "BACKUP_SCHEDULE", "When to back up, as in crontab(5).",
                 "Five fields, or @hourly and the like; several expressions are separated by "
                 "semicolons. Empty (in the configuration file): no run but by hand."),
    text_setting("timezone", "", "BACKUP_TIMEZONE,TZ", "Time zone of the schedule.",
                 "A name such as Europe/Vienna; empty means UTC. TZ counts only where it names a "
                 "zone."),
    SettingDefinition{
        "catch_up", boolean, "on", 0, 0, "", "", "BACKUP_CATCH_UP", sighup, false,
        "Whether a start makes up for a missed backup.",
        "One run at the start of the server, where the last good one is older than a period of the "
        "schedule."},
    SettingDefinition{"run_on", enumeration, "primary", 0, 0, "", "primary,standby,any",
                      "BACKUP_RUN_ON", sighup, false,
                      "On which servers of a replication group scheduled runs are taken.",
                      "What counts is what the server is at the due time; run_now() works on any."},
    path_setting("on_event", "", "BACKUP_ON_EVENT", sighup,
                 "Program that is told of failures, recoveries and overdue backups.",
                 "An argument list whose first word is an absolute path, with quotes as in a shell "
                 "but without "
                 "any expansion; it gets the event as JSON on stdin and 30 s of time."),
    path_setting("directory", "/backups", "BACKUP_DIR", postmaster, "Where backups are stored.",
                 "An absolute path; it must exist and belong to the OS user that runs PostgreSQL. "
                 "Changing it needs a restart."),
    path_setting("vault_helper", "", "BACKUP_VAULT_HELPER", sighup,
                 "Helper that keeps the backup directory as a vault.",
                 "An absolute path: of the program immbackup-vault, or of the socket of its "
                 "service. Empty: backups belong to the OS user that runs PostgreSQL."),
    SettingDefinition{"require_seal", enumeration, "readonly", 0, 0, "",
                      "readonly,immutable,vault-dac,vault", "BACKUP_REQUIRE_SEAL", sighup, false,
                      "The weakest seal that a run may end with.",
                      "A run that would end below it fails, before anything is dumped."},
    text_setting("host", "", "DB_HOST", "Host of the server to back up.",
                 "A host name, an address, or the directory of a socket. Empty means this server, "
                 "by its own socket."),
    text_setting("port", "", "DB_PORT", "Port of the server to back up.",
                 "Empty means this server's own port."),
    text_setting("username", "", "DB_USER", "Role that takes the backup.",
                 "Empty means the name of the OS user that runs PostgreSQL. It must be able to "
                 "read everything that is to be dumped."),
    text_setting("databases", "", "DB_NAME", "Databases to back up.",
                 "Names separated by commas, with double quotes around odd ones; case counts. "
                 "Empty means every database that allows connections, except templates."),
    path_setting("password_file", "", "DB_PASSWORD_FILE", sighup,
                 "File that holds the password of the role.",
                 "An absolute path; the file holds the password alone. A password in DB_PASSWORD "
                 "or PGPASSWORD "
                 "is refused."),
    seconds_setting("connect_wait", "60", 3600, "BACKUP_CONNECT_WAIT",
                    "How long a run waits for a server that does not answer or is just starting.",
                    "0: not at all. What refuses the login is not waited for."),
    text_setting(
        "compression", "gzip:2", "BACKUP_COMPRESSION", "How dumps are compressed.",
        "As pg_dump's --compress: gzip:LEVEL from 1 (fast) to 9 (small), zstd:LEVEL from 1 "
        "to 19, with or without \"level=\" before the level; a level alone means gzip. gzip:2 "
        "takes the time of gzip:3 for text alone, where it gains something."),
    SettingDefinition{"compression_threads", integer, "0", 0, 32, "", "",
                      "BACKUP_COMPRESSION_THREADS", sighup, false, "Threads that compress a dump.",
                      "0 means as many as there are cores to run on, and at most 8. zstd takes at "
                      "most two of them, one from level 7 on, none of its own from level 10 on."},
    SettingDefinition{
        "dump_globals", enumeration, "auto", 0, 0, "", "auto,on,off", "BACKUP_GLOBALS", sighup,
        false, "Whether roles and tablespaces are dumped too.",
        "auto: on, unless the setting databases names databases. Without the right to "
        "read role passwords the globals are dumped without them, with a warning."},
    path_setting(
        "pg_dump_options", "", "BACKUP_PG_DUMP_OPTIONS", sighup, "Further options for pg_dump.",
        "An argument list, with quotes as in a shell but without any expansion. Options that "
        "would change format, output, connection or completeness are refused."),
    seconds_setting("run_timeout", "0", kMaxSeconds, "BACKUP_RUN_TIMEOUT",
                    "How long a run may take.", "0 means without limit."),
    seconds_setting("stall_timeout", "600", kMaxSeconds, "BACKUP_STALL_TIMEOUT",
                    "How long pg_dump may go without producing a byte.",
                    "Before the first byte ten times as long counts. 0 means without limit."),
    seconds_setting("lock_wait_timeout", "300", kMaxSeconds, "BACKUP_LOCK_WAIT_TIMEOUT",
                    "How long pg_dump waits for a table lock.", "0 means for ever."),
    SettingDefinition{"nice", integer, "10", 0, 19, "", "", "BACKUP_NICE", sighup, false,
                      "Niceness of the job and of pg_dump.",
                      "0 is the server's own priority. Where the kernel shares its time among "
                      "sessions (autogroup), the worker's session has it while a backup runs."},
    SettingDefinition{"io_priority", enumeration, "low", 0, 0, "", "normal,low,idle",
                      "BACKUP_IO_PRIORITY", sighup, false,
                      "Priority of what the job reads and writes.",
                      "idle: only when nobody else does, which may be never. It counts where the "
                      "disk's scheduler knows priorities; what the server reads for pg_dump is the "
                      "server's own."},
    SettingDefinition{"rate_limit", integer, "0", 0, 1 << 20, "MB", "", "BACKUP_RATE_LIMIT", sighup,
                      false, "SQL a second that is taken from pg_dump.",
                      "pg_dump, and the server for it, then work no faster. 0 means without "
                      "limit."},
    days_setting("retention_days", "BACKUP_RETENTION_DAYS",
                 "Days an artifact is kept where its tier has no setting of its own.",
                 "-1 means unset."),
    days_setting("retention_hourly_days", "BACKUP_RETENTION_HOURLY_DAYS",
                 "Days an artifact of the hourly tier is kept.",
                 "-1 means unset: retention_days, and where that is unset too, 2."),
    days_setting("retention_daily_days", "BACKUP_RETENTION_DAILY_DAYS",
                 "Days an artifact of the daily tier is kept.",
                 "-1 means unset: retention_days, and where that is unset too, 7."),
    days_setting("retention_weekly_days", "BACKUP_RETENTION_WEEKLY_DAYS",
                 "Days an artifact of the weekly tier is kept.",
                 "-1 means unset: retention_days, and where that is unset too, 28."),
    SettingDefinition{"min_keep", integer, "3", 1, 1000, "", "", "BACKUP_MIN_KEEP", sighup, false,
                      "Good artifacts of each database that are kept whatever their age.",
                      "The newest ones. Those with an anomaly that nobody accepted do not count."},
    SettingDefinition{"pending_max_days", integer, "14", 0, 36500, "", "",
                      "BACKUP_PENDING_MAX_DAYS", sighup, false,
                      "Days beyond its retention that an artifact is kept because its upload is "
                      "pending or failed.",
                      "0 means for ever."},
    SettingDefinition{"anomaly_percent", integer, "50", 0, 99, "", "", "BACKUP_ANOMALY_PERCENT",
                      sighup, false,
                      "An artifact below so many percent of the rows or of the SQL of the last "
                      "accepted one is an anomaly.",
                      "It is kept and flagged, and nothing older of that database is pruned until "
                      "it is accepted or a normal one follows. 0 means never."},
    SettingDefinition{"min_free", integer, "256", 0, 1 << 30, "MB", "", "BACKUP_MIN_FREE", sighup,
                      false, "Space that a run must leave free on the backup file system.",
                      "A run that would leave less is refused, after pruning what may go."},
    text_setting("s3_bucket", "", "S3_BUCKET", "Bucket that every backup is uploaded to.",
                 "It must have Object Lock. Empty: nothing is uploaded. Credentials are found as "
                 "AWS's own tools find them, and are never settings."),
    text_setting("s3_prefix", "backups", "S3_PREFIX", "Where in the bucket.",
                 "One prefix belongs to one backup directory. May be empty."),
    SettingDefinition{"s3_object_lock_mode", enumeration, "COMPLIANCE", 0, 0, "",
                      "compliance,governance", "S3_OBJECT_LOCK_MODE", sighup, false,
                      "Who may lift a lock before its date.",
                      "COMPLIANCE: nobody. GOVERNANCE: who has a special right."},
    SettingDefinition{
        "s3_object_lock_days", integer, "30", 1, 36500, "", "", "S3_OBJECT_LOCK_DAYS", sighup,
        false, "Days that uploads are locked.",
        "A longer value counts once it is acknowledged: a lock cannot be taken back."},
    SettingDefinition{"s3_anchor_days", integer, "-1", -1, 36500, "", "", "S3_ANCHOR_DAYS", sighup,
                      false, "Days that anchors of the audit log are locked.",
                      "-1 means s3_object_lock_days."},
    text_setting("s3_region", "", "S3_REGION,AWS_REGION", "Region of the bucket.",
                 "Empty: us-east-1, until the store says otherwise."),
    text_setting("s3_endpoint_url", "", "S3_ENDPOINT_URL", "Where the store answers.",
                 "http:// or https://, for stores other than AWS. Empty means AWS."),
    SettingDefinition{"s3_addressing", enumeration, "auto", 0, 0, "", "auto,path,virtual",
                      "S3_ADDRESSING", sighup, false,
                      "Whether the bucket's name stands in the path or in the host name.",
                      "auto: host name on AWS, path at an endpoint of your own."},
    path_setting("s3_ca_file", "", "S3_CA_FILE", sighup,
                 "Certificates that the store's own is checked against.",
                 "PEM. Empty means the system's."),
    text_setting("s3_storage_class", "", "S3_STORAGE_CLASS", "Storage class of uploads.",
                 "Empty means the bucket's default. Classes that must be thawed before a restore "
                 "are warned of."),
    text_setting("s3_kms_key_id", "", "S3_KMS_KEY_ID", "KMS key that uploads are encrypted with.",
                 "Empty: none is asked for."),
    SettingDefinition{"s3_required", boolean, "off", 0, 0, "", "", "S3_REQUIRED", sighup, false,
                      "Whether a run fails where its upload fails or is not proven locked.",
                      "The artifact stays good and is uploaded later all the same."},
    SettingDefinition{"s3_extend_locks", boolean, "on", 0, 0, "", "", "S3_EXTEND_LOCKS", sighup,
                      false, "Whether locks are extended while a backup is kept longer.",
                      "Under a hold, or by a longer retention. A lock is never shortened."},
    SettingDefinition{"s3_prune", boolean, "off", 0, 0, "", "", "S3_PRUNE", sighup, false,
                      "Whether objects are deleted once their lock and retention are over.",
                      "Otherwise immbackup never deletes an object, and a lifecycle rule may."},
    SettingDefinition{"s3_concurrency", integer, "4", 1, 64, "", "", "S3_CONCURRENCY", sighup,
                      false, "Parts of an upload that are sent at the same time.", ""},
    SettingDefinition{"s3_max_parts", integer, "10000", 1, 10'000, "", "", "S3_MAX_PARTS", sighup,
                      false, "Parts that an upload may have.", "Some stores take 1000."},
    SettingDefinition{"s3_bandwidth_limit", integer, "0", 0, 2'000'000'000, "", "",
                      "S3_BANDWIDTH_LIMIT", sighup, false, "kB a second that uploads may take.",
                      "0 means without limit."},
    seconds_setting("s3_connect_timeout", "10", 3600, "S3_CONNECT_TIMEOUT",
                    "How long a connection to the store may take.", ""),
    seconds_setting("s3_stall_timeout", "60", kMaxSeconds, "S3_STALL_TIMEOUT",
                    "How long a request may go without a byte.", ""),
    seconds_setting("s3_retry_timeout", "600", kMaxSeconds, "S3_RETRY_TIMEOUT",
                    "How long a request is tried again.",
                    "Then the upload is pending, and is tried again later."),
    seconds_setting("s3_upload_timeout", "3600", kMaxSeconds, "S3_UPLOAD_TIMEOUT",
                    "How long a run waits for its uploads once its dumps are done.",
                    "Then they are pending. 0 means without limit."),
};

}  // namespace

std::span<const SettingDefinition> setting_definitions() {
    return kDefinitions;
}

const SettingDefinition* find_setting(std::string_view name) {
    for (const auto& definition : kDefinitions) {
        if (name == definition.name) {
            return &definition;
        }
    }
    return nullptr;
}

std::string settings_markdown() {
    std::string out =
        "| setting | type | default | environment | change needs | meaning |\n"
        "|---|---|---|---|---|---|\n";
    for (const auto& d : kDefinitions) {
        std::string type =
            d.type == SettingType::boolean       ? "boolean"
            : d.type == SettingType::enumeration ? std::string(d.choices)
            : d.type == SettingType::string
                ? "text"
                : fmt::format("{} to {}{}{}", d.min, d.max, *d.unit != 0 ? " " : "", d.unit);
        std::string environment;
        for (const char c : std::string_view(d.environment)) {
            environment += c == ',' ? std::string("`, `") : std::string(1, c);
        }
        const std::string default_value =
            *d.default_value != 0 ? fmt::format("`{}`", d.default_value) : std::string("empty");
        out +=
            fmt::format("| `{}` | {} | {} | `{}` | {}{} | {} {} |\n", d.name, type, default_value,
                        environment, d.context == SettingContext::postmaster ? "restart" : "reload",
                        d.superuser_only ? ", superuser" : "", d.summary, d.description);
    }
    return out;
}

}  // namespace immbackup
