// The table of settings: every value of every setting is taken or refused with a reason; what the
// environment gives; argument lists without a shell.
#include "core/settings.h"

#include <gtest/gtest.h>

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

const std::vector<Values> kValues{
    {"schedule",
     {"* * * * *", "@daily", "0 2 * * 1-5; 0 3 * * sun", ""},
     {"* * * *", "61 * * * *", "@reboot", "0 0 31 2 *"}},
    {"timezone", {"", "UTC", "Europe/Vienna"}, {"Mars/Olympus", "/etc/localtime", ":x", "../UTC"}},
    {"catch_up", {"on", "off", "true", "no", "1", "0"}, {"", "maybe", "o"}},
    {"run_on", {"primary", "standby", "any", "ANY"}, {"", "both"}},
    {"on_event", {"", "/usr/bin/mail -s 'a b' root"}, {"mail root", "./x", "/bin/x 'open"}},
    {"directory", {"/backups", "/srv/a b"}, {"", "backups", "./x", "/a\nb"}},
    {"host", {"", "db", "/run/postgresql", "::1"}, {"a\tb"}},
    {"port", {"", "1", "5432", "65535"}, {"0", "65536", "x", "-1", "5432 "}},
    {"username", {"", "backup", "größe"}, {"a\nb"}},
    {"databases", {"", "app", "a, b", "\"odd,name\", c"}, {"a,,b", "\"open", "a b\""}},
    {"password_file", {"", "/run/secrets/db"}, {"secrets/db"}},
    {"compression",
     {"gzip:1", "gzip:9", "gzip:level=3", "6"},
     {"", "gzip:0", "gzip:10", "lzma", "gzip:x", "none"}},
    {"dump_globals", {"auto", "on", "off", "AUTO"}, {"", "maybe"}},
    {"pg_dump_options", {"", "--no-owner", "-n 'a b'", "--exclude-table-data=log --jobs-like"}, {}},
    {"run_timeout",
     {"0", "10", "10min", "2h", "1d"},
     {"-1", "x", "1 fortnight", "31d", "99999999999999999999"}},
    {"stall_timeout", {"0", "600"}, {"-1"}},
    {"lock_wait_timeout", {"0", "5min"}, {"5 min ", "-1"}},
    {"nice", {"0", "19"}, {"20", "-1", "5s", "1.5", ""}},
    {"retention_days", {"-1", "7", "36500"}, {"-2", "36501", "x"}},
    {"retention_hourly_days", {"-1", "2"}, {"-2", "x"}},
};

TEST(Settings, EveryValueIsTakenOrRefusedWithAReason) {
    for (const auto& [name, good, bad] : kValues) {
        const SettingDefinition* definition = find_setting(name);
        ASSERT_NE(definition, nullptr) << name;
        for (const auto& value : good) {
            if (std::string(name) == "pg_dump_options" && value.ends_with("-like")) {
                EXPECT_TRUE(setting_problem(*definition, value)) << value;
                continue;
            }
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

TEST(Settings, TheSeedsEnvironment) {
    for (const auto& [variable, setting] : std::map<std::string, const char*>{
             {"BACKUP_SCHEDULE", "schedule"},
             {"BACKUP_TIMEZONE", "timezone"},
             {"BACKUP_DIR", "directory"},
             {"DB_HOST", "host"},
             {"DB_PORT", "port"},
             {"DB_USER", "username"},
             {"DB_NAME", "databases"},
             {"DB_PASSWORD_FILE", "password_file"},
             {"BACKUP_RETENTION_DAYS", "retention_days"},
             {"BACKUP_RETENTION_HOURLY_DAYS", "retention_hourly_days"}}) {
        const auto value = given(setting, {{variable, "v"}});
        ASSERT_TRUE(value) << variable;
        EXPECT_EQ(value->variable, variable);
        EXPECT_EQ(value->value, "v");
        EXPECT_FALSE(given(setting, {{variable, ""}})) << "empty is unset: " << variable;
    }
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
    // Who names BACKUP_TIMEZONE means it: it comes through, and is refused.
    EXPECT_EQ(given("timezone", {{"BACKUP_TIMEZONE", "Mars"}, {"TZ", "UTC"}})->value, "Mars");
}

TEST(Settings, APasswordInTheEnvironmentIsRefused) {
    const auto problem = [](const char* password) {
        return environment_problem([=](const char* name) -> const char* {
            return std::string(name) == "DB_PASSWORD" ? password : nullptr;
        });
    };
    ASSERT_TRUE(problem("secret"));
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

TEST(Settings, RetentionFallsBack) {
    const auto days = [](const char* all, const char* hourly) {
        return resolve_settings({{"retention_days", all}, {"retention_hourly_days", hourly}})
            .effective_hourly_days();
    };
    EXPECT_EQ(days("-1", "-1"), 2);
    EXPECT_EQ(days("9", "-1"), 9);
    EXPECT_EQ(days("9", "3"), 3);
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
        {"'open", std::nullopt},
        {"\"open", std::nullopt},
        {"end\\", std::nullopt},
    };
    for (const auto& [text, want] : cases) {
        EXPECT_EQ(split_arguments(text), want) << text;
    }
}

TEST(DumpOptions, WhatWouldBreakTheDumpIsRefused) {
    const SettingDefinition& definition = *find_setting("pg_dump_options");
    for (const char* good :
         {"-n public -N x", "--exclude-table-data='log \"x\"'", "--exclude-table log",
          "-T log -T 'a b'", "--no-comments", "--inserts --rows-per-insert=100"}) {
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
                            "'open",
                            "-n",
                            "--schema"}) {
        EXPECT_TRUE(setting_problem(definition, bad)) << bad;
    }
}

}  // namespace
}  // namespace immbackup
