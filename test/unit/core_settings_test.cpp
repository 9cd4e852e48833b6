// The table of settings: every value of every setting is taken or refused with a reason; what the
// environment gives; argument lists without a shell.
#include "core/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/dump_options.h"
#include "core/error.h"

namespace immbackup {
namespace {

struct Values {
    const char* name;
    std::vector<std::string> good;
    std::vector<std::string> bad;
};

const std::string kTooLong(8193, '*');
const std::string kLong(8192, 'x');

const std::vector<Values> kValues{
    {"schedule",
     {"* * * * *", "@daily", "0 2 * * 1-5; 0 3 * * sun", ""},
     {"* * * *", "61 * * * *", "@reboot", "0 0 31 2 *", "0\t* * * *", kTooLong}},
    {"timezone", {"", "UTC", "Europe/Vienna"}, {"Mars/Olympus", "/etc/localtime", ":x", "../UTC"}},
    {"catch_up", {"on", "off", "true", "no", "1", "0"}, {"", "maybe", "o"}},
    {"run_on", {"primary", "standby", "any", "ANY"}, {"", "both"}},
    {"on_event", {"", "/usr/bin/mail -s 'a b' root"}, {"mail root", "./x", "/bin/x 'open"}},
    {"directory",
     {"/backups", "/srv/a b"},
     {"", "backups", "./x", "~/x", "/a\nb", "/\x7f", "/" + kLong}},
    {"host", {"", "db", "/run/postgresql", "::1", kLong}, {"a\tb", "\x7f", kTooLong}},
    {"port", {"", "1", "5432", "65535"}, {"0", "65536", "x", "-1", "+1", "5432 ", "5432,5433"}},
    {"username", {"", "backup", "größe"}, {"a\nb"}},
    {"databases",
     {"", " ", "app", "a, b", "\"odd,name\", c", "a, A", "\"a\nb\"", std::string(63, 'a')},
     {"a,,b", ",", "a,", "\"open", "a b\"", "a b", "\"\"", "a, a", "a, \"a\"",
      std::string(64, 'a')}},
    {"vault_helper",
     {"", "/usr/local/bin/immbackup-vault", "/run/immbackup/vault.socket"},
     {"immbackup-vault", "/a\nb"}},
    {"require_seal", {"readonly", "immutable", "vault-dac", "VAULT"}, {"", "none", "wax"}},
    {"password_file", {"", "/run/secrets/db"}, {"secrets/db", "/a\nb"}},
    {"compression",
     {"gzip", "gzip:1", "gzip:9", "gzip:level=3", "6", "zstd", "zstd:1", "zstd:19", "zstd:level=3"},
     {"",
      "0",
      "10",
      "-1",
      "gzip:0",
      "gzip:10",
      "gzip:level=0",
      "gzip:",
      "gzip:level=",
      "gzip:1,long",
      "GZIP:1",
      "lzma",
      "gzip:x",
      "none",
      "zstd:",
      "zstd:0",
      "zstd:20",
      "zstd:-1",
      "zstd:3,long",
      "zstd:workers=2"}},
    {"compression_threads", {"0", "1", "32"}, {"", "-1", "33", "x", "2s"}},
    {"io_priority", {"normal", "low", "idle", "LOW"}, {"", "high", "realtime", "lo"}},
    {"rate_limit", {"0", "50", "50MB", "1GB"}, {"-1", "x", "5s", "2TB"}},
    {"dump_globals", {"auto", "on", "off", "AUTO"}, {"", "maybe", "au", "on,off", "auto,on"}},
    {"pg_dump_options",
     {"", "--no-owner", "-n 'a b'", "--exclude-table-data=log"},
     {"--jobs-like", "'open", "x\\", "-Fc"}},
    {"run_timeout",
     {"0", "10", "10 s", "10min", "2h", "30d", "2592000"},
     {"", "-1", "x", "s", "1 fortnight", "1ms", "1m", "1.5h", "1e3", "1h30min", "31d", "2592001",
      "-1d", "- 1", "99999999999999999999", "9223372036854775807d"}},
    {"stall_timeout", {"0", "600"}, {"-1"}},
    {"lock_wait_timeout", {"0", "5min"}, {"5 min ", "-1"}},
    {"connect_wait", {"0", "90", "1h"}, {"2h", "-1"}},
    {"nice", {"0", "19"}, {"20", "-1", "5s", "1.5", "0x5", " 5", ""}},
    {"retention_days", {"-1", "1", "7", "36500"}, {"-2", "0", "36501", "7d", "x"}},
    {"retention_hourly_days", {"-1", "2"}, {"-2", "0", "x"}},
    {"retention_daily_days", {"-1", "2"}, {"-2", "0", "x"}},
    {"retention_weekly_days", {"-1", "2"}, {"-2", "0", "x"}},
    {"min_keep", {"1", "1000"}, {"0", "-1", "1001", "x"}},
    {"pending_max_days", {"0", "36500"}, {"-1", "36501", "1d"}},
    {"anomaly_percent", {"0", "99"}, {"-1", "100", "50%"}},
    {"s3_bucket",
     {"", "abc", "my.bucket-1", std::string(63, 'a')},
     {"ab", "My-Bucket", "a_b", "s3://abc", "abc/d", std::string(64, 'a')}},
    {"s3_prefix",
     {"", "backups", "a/b c", std::string(512, 'a')},
     {"/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\nb", std::string(513, 'a')}},
    {"s3_object_lock_mode", {"COMPLIANCE", "governance"}, {"", "none", "off"}},
    {"s3_object_lock_days", {"1", "36500"}, {"0", "-1", "36501", "1d"}},
    {"s3_anchor_days", {"-1", "1", "365"}, {"-2", "0", "x"}},
    {"s3_region", {"", "eu-central-1"}, {"a\nb"}},
    {"s3_endpoint_url",
     {"", "https://s3.example", "http://127.0.0.1:9000"},
     {"s3.example", "ftp://x", "https://key:secret@s3.example", "http://a\nb"}},
    {"s3_addressing", {"auto", "PATH", "virtual"}, {"", "host"}},
    {"s3_ca_file", {"", "/etc/ssl/own.pem"}, {"own.pem", "/a\nb"}},
    {"s3_storage_class", {"", "STANDARD_IA"}, {"a\nb"}},
    {"s3_kms_key_id", {"", "alias/backup"}, {"a\nb"}},
    {"s3_required", {"on", "off"}, {"", "maybe"}},
    {"s3_extend_locks", {"on", "off"}, {"", "maybe"}},
    {"s3_prune", {"on", "off"}, {"", "maybe"}},
    {"s3_concurrency", {"1", "64"}, {"0", "65", "x"}},
    {"s3_max_parts", {"1", "10000"}, {"0", "10001"}},
    {"s3_bandwidth_limit", {"0", "10000"}, {"-1", "1MB"}},
    {"s3_connect_timeout", {"1", "10s"}, {"-1", "x"}},
    {"s3_stall_timeout", {"1", "2min"}, {"-1", "x"}},
    {"s3_retry_timeout", {"0", "10min"}, {"-1", "x"}},
    {"s3_upload_timeout", {"0", "1h"}, {"-1", "x"}},
    {"min_free", {"0", "100", "100MB", "2 GB", "1TB"}, {"-1", "1kB", "x", "1d", "1.5GB"}},
};

TEST(Settings, EveryValueIsTakenOrRefusedWithAReason) {
    for (const auto& [name, good, bad] : kValues) {
        const SettingDefinition* definition = find_setting(name);
        ASSERT_NE(definition, nullptr) << name;
        for (const auto& value : good) {
            EXPECT_EQ(setting_problem(*definition, value), std::nullopt) << name << " " << value;
        }
        for (const auto& value : bad) {
            const auto problem = setting_problem(*definition, value);
            ASSERT_TRUE(problem) << name << " takes \"" << value << "\"";
            EXPECT_EQ(problem->back(), '.') << "no sentence: " << *problem;
        }
    }
}

TEST(Settings, DefaultsAreGoodAndEverySettingHasATestAndADescription) {
    for (const auto& definition : setting_definitions()) {
        const bool known = std::any_of(kValues.begin(), kValues.end(), [&](const Values& values) {
            return std::string(values.name) == definition.name;
        });
        EXPECT_TRUE(known) << definition.name;
        EXPECT_EQ(setting_problem(definition, definition.default_value), std::nullopt);
        EXPECT_NE(std::string(definition.summary), "");
        EXPECT_NE(std::string(definition.environment), "") << definition.name;
    }
}

std::optional<EnvironmentValue> given(const char* setting,
                                      const std::map<std::string, std::string>& environment) {
    return setting_from_environment(*find_setting(setting), [&](const char* name) -> const char* {
        const auto found = environment.find(name);
        return found == environment.end() ? nullptr : found->second.c_str();
    });
}

TEST(Settings, TheEnvironment) {
    for (const auto& [variable, setting] : std::map<std::string, const char*>{
             {"BACKUP_SCHEDULE", "schedule"},
             {"BACKUP_TIMEZONE", "timezone"},
             {"BACKUP_DIR", "directory"},
             {"DB_HOST", "host"},
             {"DB_PORT", "port"},
             {"DB_USER", "username"},
             {"DB_NAME", "databases"},
             {"DB_PASSWORD_FILE", "password_file"},
             {"BACKUP_COMPRESSION", "compression"},
             {"BACKUP_GLOBALS", "dump_globals"},
             {"BACKUP_PG_DUMP_OPTIONS", "pg_dump_options"},
             {"BACKUP_RUN_TIMEOUT", "run_timeout"},
             {"BACKUP_STALL_TIMEOUT", "stall_timeout"},
             {"BACKUP_LOCK_WAIT_TIMEOUT", "lock_wait_timeout"},
             {"BACKUP_CONNECT_WAIT", "connect_wait"},
             {"BACKUP_NICE", "nice"},
             {"BACKUP_RETENTION_DAYS", "retention_days"},
             {"S3_BUCKET", "s3_bucket"},
             {"S3_PREFIX", "s3_prefix"},
             {"S3_OBJECT_LOCK_MODE", "s3_object_lock_mode"},
             {"S3_OBJECT_LOCK_DAYS", "s3_object_lock_days"},
             {"S3_REGION", "s3_region"},
             {"AWS_REGION", "s3_region"},
             {"S3_ENDPOINT_URL", "s3_endpoint_url"},
             {"S3_STORAGE_CLASS", "s3_storage_class"},
             {"S3_KMS_KEY_ID", "s3_kms_key_id"},
             {"S3_REQUIRED", "s3_required"},
             {"BACKUP_RETENTION_HOURLY_DAYS", "retention_hourly_days"}}) {
        const auto value = given(setting, {{variable, "v"}});
        ASSERT_TRUE(value) << variable;
        EXPECT_EQ(value->variable, variable);
        EXPECT_EQ(value->value, "v");
        EXPECT_FALSE(given(setting, {{variable, ""}})) << "empty is unset: " << variable;
        EXPECT_FALSE(given(setting, {})) << variable;
    }
}

TEST(Settings, TheBucket) {
    EXPECT_EQ(given("s3_region", {{"AWS_REGION", "a"}, {"S3_REGION", "b"}})->value, "b");
    const S3Settings none = resolve_settings({}).s3;
    EXPECT_EQ(none.bucket, "");
    EXPECT_EQ(none.prefix, "backups");
    EXPECT_EQ(none.object_lock_mode, "COMPLIANCE");
    EXPECT_EQ(none.object_lock_days, 30);
    EXPECT_EQ(none.anchor_days, -1) << "as long as the backups";
    EXPECT_FALSE(none.required);
    EXPECT_FALSE(none.prune);
    const S3Settings some = resolve_settings({{"s3_object_lock_mode", "governance"},
                                              {"s3_object_lock_days", "90"},
                                              {"s3_anchor_days", "365"},
                                              {"s3_addressing", "Path"}})
                                .s3;
    EXPECT_EQ(some.object_lock_mode, "GOVERNANCE");
    EXPECT_EQ(some.object_lock_days, 90);
    EXPECT_EQ(some.anchor_days, 365);
    EXPECT_EQ(some.addressing, "path");
}

TEST(Settings, TimeZoneOfTheEnvironment) {
    EXPECT_EQ(given("timezone", {{"TZ", "Europe/Vienna"}})->value, "Europe/Vienna");
    EXPECT_EQ(
        given("timezone", {{"TZ", "Europe/Vienna"}, {"BACKUP_TIMEZONE", "Asia/Tokyo"}})->value,
        "Asia/Tokyo");
    for (const char* none :
         {"", ":/etc/localtime", "CET-1CEST,M3.5.0,M10.5.0/3", "/usr/share/zoneinfo/UTC"}) {
        EXPECT_FALSE(given("timezone", {{"TZ", none}})) << none;
    }
    EXPECT_EQ(given("timezone", {{"TZ", "UTC"}, {"BACKUP_TIMEZONE", ""}})->variable, "TZ");
    // Who names BACKUP_TIMEZONE means it: it comes through, and is refused.
    EXPECT_EQ(given("timezone", {{"BACKUP_TIMEZONE", "Mars"}, {"TZ", "UTC"}})->value, "Mars");
}

TEST(Settings, APasswordInTheEnvironmentIsRefused) {
    const auto problem = [](const char* password, const char* variable = "DB_PASSWORD") {
        return environment_problem([=](const char* name) -> const char* {
            return std::string_view(name) == variable ? password : nullptr;
        });
    };
    ASSERT_TRUE(problem("secret"));
    ASSERT_TRUE(problem("secret", "PGPASSWORD"));
    EXPECT_TRUE(problem("secret", "PGPASSWORD")->message.starts_with("PGPASSWORD is set"));
    EXPECT_FALSE(problem("/run/secrets/db_password", "DB_PASSWORD_FILE"));
    EXPECT_NE(problem("secret")->hint.find("DB_PASSWORD_FILE"), std::string::npos);
    EXPECT_EQ((problem("secret")->message + problem("secret")->hint).find("secret "),
              std::string::npos);
    EXPECT_FALSE(problem(nullptr));
    EXPECT_FALSE(problem(""));
}

TEST(Settings, Resolved) {
    const Settings settings = resolve_settings(
        {{"databases", "a, \"B,c\""}, {"run_timeout", "2h"}, {"compression", "gzip:7"}});
    EXPECT_EQ(settings.databases, (std::vector<std::string>{"a", "B,c"}));
    EXPECT_EQ(settings.run_timeout, 7200);
    EXPECT_EQ(settings.compression.level, 7);
    EXPECT_EQ(settings.timezone, "UTC");
    EXPECT_FALSE(settings.globals_wanted());
    EXPECT_TRUE(resolve_settings({}).globals_wanted());
    try {
        resolve_settings({{"nice", "99"}});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::config);
        EXPECT_NE(error.message().find("immbackup.nice"), std::string::npos);
    }
}

TEST(Settings, EveryValueArrivesInItsField) {
    const Settings s = resolve_settings({{"schedule", "@daily"},
                                         {"timezone", "Asia/Tokyo"},
                                         {"directory", "/srv"},
                                         {"host", "db"},
                                         {"port", "5433"},
                                         {"username", "anna"},
                                         {"databases", "a"},
                                         {"password_file", "/run/pw"},
                                         {"compression", "gzip:level=9"},
                                         {"dump_globals", "ON"},
                                         {"pg_dump_options", "-n 'a b' --no-owner"},
                                         {"run_timeout", "1min"},
                                         {"stall_timeout", "2 h"},
                                         {"lock_wait_timeout", "3d"},
                                         {"nice", "19"},
                                         {"retention_days", "30"},
                                         {"retention_hourly_days", "4"}});
    EXPECT_EQ(s.schedule, "@daily");
    EXPECT_EQ(s.timezone, "Asia/Tokyo");
    EXPECT_EQ(s.directory, "/srv");
    EXPECT_EQ(s.host, "db");
    EXPECT_EQ(s.port, "5433");
    EXPECT_EQ(s.username, "anna");
    EXPECT_EQ(s.databases, std::vector<std::string>{"a"});
    EXPECT_EQ(s.password_file, "/run/pw");
    EXPECT_EQ(s.compression.level, 9);
    EXPECT_EQ(s.dump_globals, GlobalsMode::on);
    EXPECT_TRUE(s.globals_wanted());
    EXPECT_EQ(s.pg_dump_options, (std::vector<std::string>{"-n", "a b", "--no-owner"}));
    EXPECT_EQ(s.run_timeout, 60);
    EXPECT_EQ(s.stall_timeout, 2 * 3600);
    EXPECT_EQ(s.lock_wait_timeout, 3 * 86400);
    EXPECT_EQ(s.nice, 19);
    EXPECT_EQ(s.retention_days, 30);
    EXPECT_EQ(s.retention_hourly_days, 4);
    const Settings defaults = resolve_settings({});
    EXPECT_EQ(defaults.schedule, "0 * * * *");
    EXPECT_EQ(defaults.directory, "/backups");
    EXPECT_TRUE(defaults.databases.empty());
    EXPECT_EQ(defaults.compression.level, 2);
    EXPECT_EQ(defaults.stall_timeout, 600);
    EXPECT_EQ(defaults.retention_days, -1);
    EXPECT_FALSE(resolve_settings({{"dump_globals", "off"}}).globals_wanted());
    for (const auto& [text, level] : {std::pair{"gzip", 2}, {"gzip:4", 4}, {"7", 7}}) {
        EXPECT_EQ(resolve_settings({{"compression", text}}).compression,
                  (Compression{DumpFormat::gzip, level}))
            << text;
    }
    for (const auto& [text, level] : {std::pair{"zstd", 3}, {"zstd:19", 19}, {"zstd:level=1", 1}}) {
        const Compression found = resolve_settings({{"compression", text}}).compression;
        EXPECT_EQ(found, (Compression{DumpFormat::zstd, level})) << text;
        EXPECT_EQ(resolve_settings({{"compression", found.text()}}).compression, found);
    }
    EXPECT_EQ(defaults.io_priority, IoPriority::low);
    EXPECT_EQ(defaults.rate_limit, 0u);
    const Settings gentle = resolve_settings(
        {{"io_priority", "IDLE"}, {"rate_limit", "20MB"}, {"compression_threads", "3"}});
    EXPECT_EQ(gentle.io_priority, IoPriority::idle);
    EXPECT_EQ(gentle.rate_limit, 20u * 1024 * 1024);
    EXPECT_EQ(gentle.compression_threads, 3);
}

TEST(Settings, BooleansAsPostgreSqlTakesThem) {
    const SettingDefinition d{"b", SettingType::boolean,   "on",  0,  0, "", "",
                              "",  SettingContext::sighup, false, "", ""};
    for (const char* good : {"on", "off", "of", "t", "TRUE", "fal", "y", "no", "1", "0"}) {
        EXPECT_FALSE(setting_problem(d, good)) << good;
    }
    for (const char* bad : {"", "o", "2", "onn", "wahr", " on"}) {
        EXPECT_TRUE(setting_problem(d, bad)) << bad;
    }
}

TEST(Settings, UnitsOfSpace) {
    const auto bytes = [](const char* value) {
        return resolve_settings({{"min_free", value}}).min_free;
    };
    EXPECT_EQ(bytes("0"), 0U);
    EXPECT_EQ(bytes("7"), 7U * 1024 * 1024);
    EXPECT_EQ(bytes("7MB"), 7U * 1024 * 1024);
    EXPECT_EQ(bytes("2GB"), 2048ULL * 1024 * 1024);
    EXPECT_EQ(bytes("1 TB"), 1024ULL * 1024 * 1024 * 1024);
    for (const char* bad : {"-1", "1kB", "1 day", "2s", "4097TB", "GB", ""}) {
        EXPECT_TRUE(setting_problem(*find_setting("min_free"), bad)) << bad;
    }
    EXPECT_TRUE(setting_problem(*find_setting("run_timeout"), "1GB"));
}

TEST(Arguments, AsAShellWouldButWithoutOne) {
    const std::map<std::string, std::optional<std::vector<std::string>>> cases{
        {"", std::vector<std::string>{}},
        {"  a  b ", std::vector<std::string>{"a", "b"}},
        {"'a b' \"c d\" e\\ f", std::vector<std::string>{"a b", "c d", "e f"}},
        {"--x='y \"z\"'", std::vector<std::string>{"--x=y \"z\""}},
        {"$HOME `id` $(id) * ~ ; | &",
         std::vector<std::string>{"$HOME", "`id`", "$(id)", "*", "~", ";", "|", "&"}},
        {"\"a\\\"b\" ''", std::vector<std::string>{"a\"b", ""}},
        {R"("a\b\\c\$" 'd\e')", std::vector<std::string>{R"(a\b\c\$)", R"(d\e)"}},
        {"a''b\"\"c", std::vector<std::string>{"abc"}},
        {"a\tb\nc\rd", std::vector<std::string>{"a", "b", "c", "d"}},
        {"'open", std::nullopt},
        {"\"open", std::nullopt},
        {"end\\", std::nullopt},
    };
    for (const auto& [text, want] : cases) {
        EXPECT_EQ(split_arguments(text), want) << text;
    }
}

TEST(Names, AsPostgreSqlsListsButWithCaseKept) {
    using Names = std::vector<std::string>;
    const std::map<std::string, std::optional<Names>> cases{
        {"", Names{}},
        {" \t\n", Names{}},
        {"app", Names{"app"}},
        {" App , b\t,\nc ", Names{"App", "b", "c"}},
        {"\"odd,name\" , \"say \"\"hi\"\"\"", Names{"odd,name", "say \"hi\""}},
        {"\" a \"", Names{" a "}},
        {"gr\xc3\xb6\xc3\x9f"
         "e",
         Names{"gr\xc3\xb6\xc3\x9f"
               "e"}},
        {"$(id);x", Names{"$(id);x"}},
        {",", std::nullopt},
        {"a,", std::nullopt},
        {",a", std::nullopt},
        {"a,,b", std::nullopt},
        {"a b", std::nullopt},
        {"\"\"", std::nullopt},
        {"\"a", std::nullopt},
        {"\"a\"\"", std::nullopt},
        {"\"a\"b", std::nullopt},
        {"a\"b\"", std::nullopt},
    };
    for (const auto& [text, want] : cases) {
        EXPECT_EQ(split_names(text), want) << text;
    }
}

TEST(DumpOptions, WhatWouldBreakTheDumpIsRefused) {
    const SettingDefinition& definition = *find_setting("pg_dump_options");
    for (const char* good :
         {"-n public -N x", "--exclude-table-data='log \"x\"'", "--exclude-table log",
          "-T log -T 'a b'", "--no-comments", "--inserts --rows-per-insert=100", "-n -Fc",
          "--schema --file=x", "-nFc", "-t=x"}) {
        EXPECT_EQ(setting_problem(definition, good), std::nullopt) << good;
    }
    for (const char* bad : {"-Fc",
                            "--format=c",
                            "--form=c",
                            "--file=/tmp/x",
                            "-f x",
                            "-j 4",
                            "-Z 9",
                            "--compress=9",
                            "-h other",
                            "-d postgres",
                            "--dbname=x",
                            "-U x",
                            "-W",
                            "--snapshot=x",
                            "-C",
                            "--clean",
                            "-c",
                            "database",
                            "--",
                            "-nx -Fc",
                            "--lock-wait-timeout=1",
                            "--nonsense",
                            "--no-owne",
                            "--n=x",
                            "--n x",
                            "--no-owner=x",
                            "--=x",
                            "-",
                            "''",
                            "-Ox",
                            "-OFc",
                            "-OC",
                            "--no-owner -v",
                            "--if-exists",
                            "-w",
                            "-p 5",
                            "--no-password",
                            "--role",
                            "--create",
                            "'open",
                            "-n",
                            "--schema"}) {
        EXPECT_TRUE(setting_problem(definition, bad)) << bad;
    }
    // The reason names the option, but no value that follows it.
    EXPECT_NE(setting_problem(definition, "-n x --file=/tmp/x")->find("--file "),
              std::string::npos);
    EXPECT_NE(setting_problem(definition, "-Fc")->find("-F "), std::string::npos);
    EXPECT_NE(setting_problem(definition, "-OC")->find("\"-OC\""), std::string::npos);
}

}  // namespace
}  // namespace immbackup
