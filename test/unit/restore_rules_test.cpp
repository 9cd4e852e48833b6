// What a restore leaves out, and what it compares.
#include <gtest/gtest.h>

#include "restore/dump_reader.h"
#include "restore/globals_plan.h"
#include "restore/restore.h"

namespace immbackup {
namespace {

TEST(OwnStatement, OfOurExtensionAlone) {
    struct {
        const char* statement;
        bool own;
    } const cases[] = {
        {"CREATE EXTENSION IF NOT EXISTS immbackup WITH SCHEMA immbackup;", true},
        {"CREATE EXTENSION immbackup;", true},
        {"COMMENT ON EXTENSION immbackup IS 'x';", true},
        {"ALTER EXTENSION immbackup UPDATE;", true},
        {"GRANT ALL ON FUNCTION immbackup.run_now(text) TO app;", true},
        {"REVOKE ALL ON FUNCTION immbackup.run_now(text) FROM PUBLIC;", true},
        {"GRANT SELECT ON TABLE immbackup.runs TO app;", true},
        {"GRANT USAGE ON SCHEMA immbackup TO app;", true},
        {"ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA immbackup GRANT SELECT ON TABLES TO b;",
         true},
        {"CREATE EXTENSION IF NOT EXISTS immbackup_tools;", false},
        {"CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA immbackup;", false},
        {"COMMENT ON EXTENSION pgcrypto IS 'immbackup';", false},
        {"GRANT USAGE ON SCHEMA immbackup_data TO app;", false},
        {"GRANT SELECT ON TABLE public.immbackup TO app;", false},
        {"CREATE TABLE immbackup.notes (a integer);", false},
        {"COPY immbackup.notes (a) FROM stdin;", false},
        {"INSERT INTO t VALUES (' ON TABLE immbackup.runs');", false},
        {"CREATE EXTENSION IF NOT EXISTS immbackup", false},
        {"", false},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(is_own_statement(c.statement), c.own) << c.statement;
    }
}

TEST(PsqlKnowsRestrict, FromTheReleasesOfAugust2025On) {
    for (const auto& [major, minor] : {std::pair(13, 22), {14, 19}, {15, 14}, {16, 10}, {17, 6}}) {
        EXPECT_TRUE(psql_knows_restrict(major, minor)) << major;
        EXPECT_FALSE(psql_knows_restrict(major, minor - 1)) << major;
        EXPECT_TRUE(psql_knows_restrict(major, minor + 1)) << major;
    }
    EXPECT_FALSE(psql_knows_restrict(12, 99));
    EXPECT_TRUE(psql_knows_restrict(18, 0));
    EXPECT_TRUE(psql_knows_restrict(19, 1));
}

TEST(ContentDifference, TheFirstOneInASentence) {
    Manifest manifest;
    manifest.sql_size = 100;
    manifest.tables = {{"public.a", 3, 30}, {"public.b", 0, 0}};
    manifest.large_objects = 1;
    manifest.large_object_bytes = 8;
    ScanResult same;
    same.complete = true;
    same.bytes = 100;
    same.tables = {{"public.b", 0, 0}, {"public.a", 3, 30}};
    same.large_objects = 1;
    same.large_object_bytes = 8;
    struct {
        void (*change)(ScanResult&);
        const char* expected;
    } const cases[] = {
        {[](ScanResult&) {}, ""},
        {[](ScanResult& s) { s.complete = false; }, "The dump has no closing line."},
        {[](ScanResult& s) { s.complete = false, s.problem = "P."; }, "P."},
        {[](ScanResult& s) { s.bytes = 99; }, "The dump has 99 bytes; 100 were written."},
        {[](ScanResult& s) { s.tables.pop_back(); }, "Table public.a is not in the dump."},
        {[](ScanResult& s) { s.tables[1].rows = 2; },
         "Table public.a has 2 rows in 30 bytes; 3 rows in 30 bytes were written."},
        {[](ScanResult& s) { s.tables[1].bytes = 31; },
         "Table public.a has 3 rows in 31 bytes; 3 rows in 30 bytes were written."},
        {[](ScanResult& s) {
             s.tables.push_back({"public.c", 0, 0});
         },
         "The dump has 3 tables; 2 were written."},
        {[](ScanResult& s) { s.large_objects = 2; },
         "The dump has 2 large objects in 8 bytes; 1 in 8 bytes were written."},
        {[](ScanResult& s) { s.large_object_bytes = 7; },
         "The dump has 1 large objects in 7 bytes; 1 in 8 bytes were written."},
    };
    for (const auto& c : cases) {
        ScanResult scan = same;
        c.change(scan);
        EXPECT_EQ(content_difference(scan, manifest), c.expected);
    }
}

TEST(RoleAttributes, WithoutWhatCannotBeCompared) {
    struct {
        const char* words;
        std::set<std::string> expected;
    } const cases[] = {
        {"", {}},
        {" WITH NOSUPERUSER LOGIN;", {"NOSUPERUSER", "LOGIN"}},
        {" WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:a';", {"LOGIN"}},
        {" WITH LOGIN CONNECTION LIMIT 5 PASSWORD 'md5x' VALID UNTIL '2026-01-01 00:00:00+00';",
         {"LOGIN", "CONNECTION LIMIT 5"}},
        {" WITH CONNECTION LIMIT 5;", {"CONNECTION LIMIT 5"}},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(role_attributes(c.words), c.expected) << c.words;
    }
}

const ExistingGlobals kExisting{
    {{"postgres", {"SUPERUSER", "LOGIN"}}, {"app", {"NOSUPERUSER", "LOGIN"}}, {"o\"x", {}}},
    {"pg_default", "fast"}};

TEST(GlobalsPlan, WhatExistsStaysAsItIs) {
    struct {
        const char* statement;
        bool left_out;
        bool left_out_overwriting;
    } const cases[] = {
        {"CREATE ROLE new;", false, false},
        {"CREATE ROLE app;", true, true},
        {"CREATE ROLE \"o\"\"x\";", true, true},
        {"CREATE ROLE \"app \";", false, false},
        {"ALTER ROLE app WITH SUPERUSER LOGIN;", true, false},
        {"ALTER ROLE app SET search_path TO 'x';", true, false},
        {"ALTER ROLE new WITH SUPERUSER;", false, false},
        {"COMMENT ON ROLE app IS 'x';", true, false},
        {"COMMENT ON ROLE new IS 'x';", false, false},
        // A membership is a right of the role that gets it.
        {"GRANT pg_read_all_data TO app;", true, false},
        {"GRANT postgres TO app WITH INHERIT TRUE GRANTED BY postgres;", true, false},
        {"GRANT app TO new;", false, false},
        {"GRANT \"a TO app\" TO new;", false, false},
        {"GRANT SET ON PARAMETER work_mem TO app;", true, false},
        {"GRANT SET ON PARAMETER work_mem TO new;", false, false},
        {"CREATE TABLESPACE fast OWNER app LOCATION '/x';", true, true},
        {"CREATE TABLESPACE slow OWNER app LOCATION '/x';", false, false},
        {"ALTER TABLESPACE fast SET (random_page_cost=1);", true, true},
        {"ALTER TABLESPACE slow SET (random_page_cost=1);", false, false},
        {"COMMENT ON TABLESPACE fast IS 'x';", true, true},
        {"GRANT ALL ON TABLESPACE fast TO new;", true, true},
        {"GRANT ALL ON TABLESPACE slow TO app;", false, false},
        {"REVOKE ALL ON TABLESPACE fast FROM PUBLIC;", true, true},
        {"SET client_encoding = 'UTF8';", false, false},
    };
    for (const auto& c : cases) {
        GlobalsReport report;
        EXPECT_EQ(GlobalsPlan(kExisting, false, report).leave_out(c.statement), c.left_out)
            << c.statement;
        EXPECT_EQ(GlobalsPlan(kExisting, true, report).leave_out(c.statement),
                  c.left_out_overwriting)
            << c.statement;
    }
}

TEST(GlobalsPlan, ReportsEachOnce) {
    GlobalsReport report;
    GlobalsPlan plan(kExisting, false, report);
    for (const char* statement :
         {"CREATE ROLE app;", "ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'x';",
          "ALTER ROLE app SET work_mem TO '1MB';", "CREATE ROLE new;", "ALTER ROLE new WITH LOGIN;",
          "CREATE ROLE postgres;", "ALTER ROLE postgres WITH NOSUPERUSER LOGIN;",
          "CREATE TABLESPACE fast OWNER app LOCATION '/x';",
          "CREATE TABLESPACE \"s low\" OWNER app LOCATION '/y';"}) {
        plan.leave_out(statement);
    }
    using Names = std::vector<std::string>;
    EXPECT_EQ(report.created, (Names{"role new", "tablespace s low"}));
    EXPECT_EQ(report.equal, (Names{"role app", "tablespace fast"}));
    EXPECT_EQ(report.different, (Names{"role postgres"}));
}

}  // namespace
}  // namespace immbackup
