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
    path_setting(
        "password_file", "", "DB_PASSWORD_FILE", sighup,
        "File that holds the password of the role.",
        "An absolute path; the file holds the password alone. A password in DB_PASSWORD is "
        "refused."),
    text_setting("compression", "gzip:1", "BACKUP_COMPRESSION", "How dumps are compressed.",
                 "As pg_dump's --compress: gzip:LEVEL, gzip:level=LEVEL or LEVEL, from 1 (fast) to "
                 "9 (small)."),
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
    SettingDefinition{"nice", integer, "5", 0, 19, "", "", "BACKUP_NICE", sighup, false,
                      "Niceness of the job and of pg_dump.", "0 is the server's own priority."},
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
                      "pending.",
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
