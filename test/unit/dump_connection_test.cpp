// Password files, environments, argument lists and versions: what reaches pg_dump.
#include "dump/connection.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "dump/pg_dump.h"

namespace immbackup {
namespace {

class Files : public testing::Test {
  protected:
    Files() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
    ~Files() override { std::filesystem::remove_all(folder_); }
    std::string file(const std::string& name, const std::string& content, unsigned mode = 0600) {
        const std::string path = folder_ + '/' + name;
        std::ofstream(path, std::ios::binary) << content;
        ::chmod(path.c_str(), mode);
        return path;
    }
    std::string folder_ = std::filesystem::temp_directory_path() / "immbackup-connection-XXXXXX";
};

using PasswordFile = Files;

TEST_F(PasswordFile, IsReadRaw) {
    EXPECT_EQ(read_password_file(file("a", "secret\n")), "secret");
    EXPECT_EQ(read_password_file(file("b", "secret")), "secret");
    EXPECT_EQ(read_password_file(file("c", " se:cr\\et \n\n")), " se:cr\\et \n");
    EXPECT_EQ(read_password_file(file("d", "docker\n", 0444)), "docker");
    EXPECT_EQ(read_password_file(file("e", std::string(4096, 'x'))), std::string(4096, 'x'));
    std::filesystem::create_symlink(folder_ + "/a", folder_ + "/link");
    EXPECT_EQ(read_password_file(folder_ + "/link"), "secret");
}

TEST_F(PasswordFile, RefusalsSayWhy) {
    ASSERT_EQ(::mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
    const std::vector<std::pair<std::string, std::string>> cases = {
        {file("empty", ""), "it is empty"},
        {file("newline", "\n"), "it is empty"},
        {file("long", std::string(4097, 'x')), "it is longer than 4096 bytes"},
        {file("zero", std::string("a\0b", 3)), "it holds a zero byte"},
        {folder_ + "/none", "No such file or directory"},
        {folder_, "it is not a regular file"},
        {folder_ + "/fifo", "it is not a regular file"},
    };
    for (const auto& [path, why] : cases) {
        try {
            read_password_file(path);
            ADD_FAILURE() << path;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::config);
            EXPECT_EQ(error.message(), "could not read password file \"" + path + "\": " + why);
            EXPECT_FALSE(error.hint().empty());
        }
    }
}

TEST_F(PasswordFile, UnreadableNamesTheUser) {
    const auto secret = file("secret", "x", 0);
    // root may read everything: as root, somebody else tries.
    const uid_t nobody = 65534;
    const uid_t self = ::geteuid();
    ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
    ASSERT_TRUE(self != 0 || ::seteuid(nobody) == 0);
    try {
        read_password_file(secret);
        ADD_FAILURE() << "it was read";
    } catch (const Error& error) {
        EXPECT_NE(error.message().find("Permission denied"), std::string::npos);
        EXPECT_NE(error.hint().find("uid"), std::string::npos);
    }
    ASSERT_EQ(::seteuid(self), 0);
}

TEST(ConnectionTarget, EnvironmentHoldsOnlyWhatIsGiven) {
    ConnectionTarget target;
    EXPECT_EQ(target.environment("x"),
              (std::map<std::string, std::string>{
                  {"LC_ALL", "C"}, {"PGAPPNAME", "x"}, {"PGCONNECT_TIMEOUT", "30"}}));
    target = {"db", "5433", "me", "secret"};
    const auto variables = target.environment("immbackup pg_dump");
    EXPECT_EQ(variables.at("PGHOST"), "db");
    EXPECT_EQ(variables.at("PGPORT"), "5433");
    EXPECT_EQ(variables.at("PGUSER"), "me");
    EXPECT_EQ(variables.at("PGPASSWORD"), "secret");
}

TEST_F(PasswordFile, ReachesTheTargetAndForeignVariablesGo) {
    ::setenv("PGSERVICE", "elsewhere", 1);
    ::setenv("PGOPTIONS", "-c search_path=evil", 1);
    ::setenv("PGSSLMODE", "require", 1);
    Settings settings;
    settings.host = "db";
    settings.username = "me";
    settings.password_file = file("a", "secret\n");
    const ConnectionTarget target = ConnectionTarget::from_settings(settings);
    EXPECT_EQ(target.host, "db");
    EXPECT_EQ(target.username, "me");
    EXPECT_EQ(target.password, "secret");
    EXPECT_EQ(std::getenv("PGSERVICE"), nullptr);
    EXPECT_EQ(std::getenv("PGOPTIONS"), nullptr);
    EXPECT_STREQ(std::getenv("PGSSLMODE"), "require");
    ::unsetenv("PGSSLMODE");
}

// That libpq reads it so is shown on a real server (dump_server_test).
TEST(ConnectionString, QuotesTheName) {
    EXPECT_EQ(connection_string("plain"), "dbname='plain'");
    EXPECT_EQ(connection_string("a=b c"), "dbname='a=b c'");
    EXPECT_EQ(connection_string("postgres://x/y"), "dbname='postgres://x/y'");
    EXPECT_EQ(connection_string("it's"), "dbname='it\\'s'");
    EXPECT_EQ(connection_string("back\\slash"), "dbname='back\\\\slash'");
    EXPECT_EQ(connection_string(""), "dbname=''");
}

class Programs : public Files {
  protected:
    DumpProgram with_version(const std::string& text, int exit_code = 0) {
        file("pg_dump",
             "#!/bin/sh\ncat <<'X'\n" + text + "\nX\nexit " + std::to_string(exit_code) + "\n",
             0755);
        return find_program(folder_, "pg_dump", cancel_);
    }
    CancelToken cancel_;
};

TEST_F(Programs, VersionIsRead) {
    DumpProgram program = with_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)");
    EXPECT_EQ(program.path, folder_ + "/pg_dump");
    EXPECT_EQ(program.version, "15.18 (Debian 15.18-0+deb12u1)");
    EXPECT_EQ(program.major, 15);
    EXPECT_EQ(program.minor, 18);
    program = with_version("pg_dump (PostgreSQL) 19devel");
    EXPECT_EQ(program.version, "19devel");
    EXPECT_EQ(program.major, 19);
    EXPECT_EQ(program.minor, 0);
    EXPECT_EQ(with_version("pg_dump (PostgreSQL) 18rc1").major, 18);
}

TEST_F(Programs, WhatIsNotPgDumpIsRefused) {
    const auto code = [&](const std::string& text, int exit_code) {
        try {
            with_version(text, exit_code);
        } catch (const Error& error) {
            return error.code();
        }
        return ErrorCode::ok;
    };
    EXPECT_EQ(code("busybox 1.0", 0), ErrorCode::version);
    EXPECT_EQ(code("pg_dump (PostgreSQL) unknown", 0), ErrorCode::version);
    EXPECT_EQ(code("pg_dump (PostgreSQL) 15.1", 1), ErrorCode::version);
}

TEST_F(Programs, MissingOnesAreNotFound) {
    file("psql", "not executable", 0600);
    for (const char* name : {"pg_dump", "psql"}) {
        try {
            find_program(folder_, name, cancel_);
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_found);
            EXPECT_FALSE(error.hint().empty());
        }
    }
}

// Without a folder: the programs of the PostgreSQL that we were built with.
TEST_F(Programs, DefaultIsTheBuildsOwn) {
    for (const char* name : {"pg_dump", "pg_dumpall", "psql"}) {
        EXPECT_GE(find_program("", name, cancel_).major, 14) << name;
    }
}

TEST(ProgramVersion, MustNotBeOlderThanTheServer) {
    DumpProgram program;
    program.path = "/usr/bin/pg_dump";
    program.major = 15;
    EXPECT_NO_THROW(check_program_version(program, 150099));
    EXPECT_NO_THROW(check_program_version(program, 140000));
    try {
        check_program_version(program, 160001);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::version);
        EXPECT_NE(error.hint().find("16"), std::string::npos);
    }
}

TEST(Arguments, OfPgDump) {
    Settings settings;
    settings.lock_wait_timeout = 5;
    settings.pg_dump_options = {"--exclude-table-data=log \"x\"", "-O"};
    EXPECT_EQ(
        pg_dump_arguments(settings),
        (std::vector<std::string>{"--format=plain", "--no-password", "--lock-wait-timeout=5000",
                                  "--exclude-table-data=log \"x\"", "-O"}));
    settings.lock_wait_timeout = 0;
    settings.pg_dump_options.clear();
    EXPECT_EQ(pg_dump_arguments(settings),
              (std::vector<std::string>{"--format=plain", "--no-password"}));
}

TEST(Arguments, OfPgDumpall) {
    Settings settings;
    settings.lock_wait_timeout = 5;
    settings.pg_dump_options = {"--inserts"};
    EXPECT_EQ(
        pg_dumpall_globals_arguments(settings, true),
        (std::vector<std::string>{"--globals-only", "--no-password", "--lock-wait-timeout=5000"}));
    EXPECT_EQ(pg_dumpall_globals_arguments(settings, false).back(), "--no-role-passwords");
}

TEST(Command, SecretsStayOutOfTheArguments) {
    DumpProgram program;
    program.path = "/bin/pg_dump";
    const ConnectionTarget target{"db", "", "me", "top-secret"};
    const SpawnOptions options = pg_dump_command(program, target, {"--no-password"}, "a=b");
    EXPECT_EQ(options.program, "/bin/pg_dump");
    EXPECT_EQ(options.arguments,
              (std::vector<std::string>{"--no-password", "--dbname=dbname='a=b'"}));
    EXPECT_EQ(options.environment_set.at("PGPASSWORD"), "top-secret");
    EXPECT_EQ(options.environment_set.at("PGAPPNAME"), "immbackup pg_dump");
    EXPECT_EQ(options.environment_set.count("PGPORT"), 0u);
    const auto unset = [&](const char* name) {
        return std::count(options.environment_unset.begin(), options.environment_unset.end(), name);
    };
    EXPECT_EQ(unset("PGOPTIONS"), 1);
    EXPECT_EQ(unset("PGSERVICE"), 1);
    EXPECT_EQ(unset("PGSSLMODE"), 0);

    program.path = "/bin/pg_dumpall";
    EXPECT_EQ(pg_dump_command(program, target, {}, "it's").arguments,
              (std::vector<std::string>{"--database=dbname='it\\'s'"}));
    EXPECT_TRUE(pg_dump_command(program, target, {}, "").arguments.empty());
}

TEST(PsqlRequired, NamesReleasesThatKnowRestrict) {
    EXPECT_EQ(psql_required(false, 150018), "psql 15 or later");
    for (const char* release : {"18", "17.6", "16.10", "15.14", "14.19", "13.22"}) {
        EXPECT_NE(psql_required(true, 150018).find(release), std::string::npos);
    }
}

}  // namespace
}  // namespace immbackup
