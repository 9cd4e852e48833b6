// The dump scan on tables of small dumps: what counts, what must not fool it, and that no cut of
// the input changes anything.
#include "dump/scan.h"
#include "unit/bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace immbackup {
namespace {

const std::string kClosing = "--\n-- PostgreSQL database dump complete\n--\n\n";

using test::bytes_of;

ScanResult scan(std::string_view dump, const std::vector<std::size_t>& cuts = {},
                DumpKind kind = DumpKind::database) {
    DumpScanner scanner(kind);
    std::size_t from = 0;
    for (const std::size_t cut : cuts) {
        scanner.feed(bytes_of(dump.substr(from, cut - from)));
        from = cut;
    }
    scanner.feed(bytes_of(dump.substr(from)));
    return scanner.finish();
}

// All that was counted, as one text that two results can be compared by.
std::string summary(const ScanResult& result) {
    std::string text;
    for (const TableContent& table : result.tables) {
        text +=
            table.name + '=' + std::to_string(table.rows) + '/' + std::to_string(table.bytes) + ' ';
    }
    text += "lo=" + std::to_string(result.large_objects) + '/' +
            std::to_string(result.large_object_bytes);
    text += result.restricted ? " restricted" : "";
    text += result.complete ? " complete" : " incomplete: " + result.problem;
    return text;
}

std::vector<std::size_t> every_byte(std::size_t size) {
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < size; ++i) {
        cuts.push_back(i);
    }
    return cuts;
}

struct Case {
    const char* name;
    std::string dump;
    std::string expected;
};

void PrintTo(const Case& test, std::ostream* out) {
    *out << test.name;
}

const std::vector<Case> kCases = {
    {"nothing", "", "lo=0/0 incomplete: The dump is empty."},
    {"only_the_end", kClosing, "lo=0/0 complete"},
    {"copy", "COPY public.t (a, b) FROM stdin;\n1\tx\n2\t\\N\n\\.\n\n" + kClosing,
     "public.t=2/9 lo=0/0 complete"},
    {"empty_table_counts", "COPY public.t (a) FROM stdin;\n\\.\n" + kClosing,
     "public.t=0/0 lo=0/0 complete"},
    {"no_columns", "COPY public.t  FROM stdin;\n\n\n\n\\.\n" + kClosing,
     "public.t=3/3 lo=0/0 complete"},
    {"blocks_of_one_table_add_up",
     "COPY p.t (a) FROM stdin;\n1\n\\.\nCOPY p.u (a) FROM stdin;\n5\n\\.\n"
     "COPY p.t (a) FROM stdin;\n22\n\\.\n" +
         kClosing,
     "p.t=2/5 p.u=1/2 lo=0/0 complete"},
    {"quoted_names",
     "COPY \"s.;x\".\"a \"\"b\"\" (c) FROM stdin;\nd\" (\"e)f\") FROM stdin;\n1\n\\.\n" + kClosing,
     "\"s.;x\".\"a \"\"b\"\" (c) FROM stdin;\nd\"=1/2 lo=0/0 complete"},
    {"end_mark_as_data",
     "COPY t (a) FROM stdin;\n\\\\.\n\\.x\n \\.\n\\.\\.\n\\N\n\\\n\\\\\n\\.\n" + kClosing,
     "t=7/25 lo=0/0 complete"},
    {"statements_in_data_do_not_count",
     "COPY t (a) FROM stdin;\nCOPY u (a) FROM stdin;\nINSERT INTO v VALUES (1);\n"
     "-- PostgreSQL database dump complete\n'\n$$\n/*\n\\.\n" +
         kClosing,
     "t=6/94 lo=0/0 complete"},
    {"ends_in_data", "COPY public.t (a) FROM stdin;\n1\n2\n3",
     "public.t=2/5 lo=0/0 incomplete: The dump ends inside the data of table public.t."},
    {"end_mark_without_newline", "COPY t (a) FROM stdin;\n1\n\\.",
     "t=1/4 lo=0/0 incomplete: The dump ends inside the data of table t."},
    {"ends_before_the_data", "COPY t (a) FROM stdin;",
     "t=0/0 lo=0/0 incomplete: The dump ends inside the data of table t."},
    {"copy_to_is_not_copy_from", "COPY t TO stdout;\nCOPY t (a) FROM 'stdin';\n" + kClosing,
     "lo=0/0 complete"},
    {"string_body",
     "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS '\nCOPY t FROM stdin;\n''1''\n\\.\n"
     "-- PostgreSQL database dump complete\n';\n" +
         kClosing,
     "lo=0/0 complete"},
    {"dollar_body",
     "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $_$\nBEGIN; COPY t FROM stdin;\n"
     "'$$ $_ $$_X$$ $x$ it's $1$_X$ $__$\n"
     "INSERT INTO t VALUES (1);\n-- PostgreSQL database dump complete\n$_$;\n" +
         kClosing,
     "lo=0/0 complete"},
    {"dollar_tag_is_not_in_a_word",
     "SELECT a$x$, b$x$;\nCOPY t (a) FROM stdin;\n1\n\\.\n" + kClosing, "t=1/2 lo=0/0 complete"},
    {"parameters_are_no_tags",
     "PREPARE p AS SELECT $1, $2;\nSELECT $a FROM t;\nCOPY t (a) FROM stdin;\n\\.\n" + kClosing,
     "t=0/0 lo=0/0 complete"},
    {"begin_atomic",
     "CREATE FUNCTION public.f(a integer) RETURNS integer\n    LANGUAGE sql\n    BEGIN ATOMIC\n"
     " SELECT CASE WHEN (a > 1) THEN 2 ELSE 3 END AS \"case\";\n"
     " INSERT INTO t VALUES (1);\n SELECT 1;\nEND;\nCOPY t (a) FROM stdin;\n\\.\n" +
         kClosing,
     "t=0/0 lo=0/0 complete"},
    {"begin_atomic_or_replace",
     "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END;\n" + kClosing,
     "lo=0/0 complete"},
    {"begin_alone_ends_at_its_semicolon",
     "BEGIN;\nCOPY t (a) FROM stdin;\n1\n\\.\nCOMMIT;\n" + kClosing, "t=1/2 lo=0/0 complete"},
    {"rule_with_statements",
     "CREATE RULE r AS ON INSERT TO v DO INSTEAD ( INSERT INTO t VALUES (1);\n"
     " COPY t FROM stdin;\n);\n" +
         kClosing,
     "lo=0/0 complete"},
    {"comment_literal",
     "COMMENT ON TABLE t IS 'x; COPY t (a) FROM stdin;\n1\n-- PostgreSQL database dump complete\n'"
     ";\n" +
         kClosing,
     "lo=0/0 complete"},
    {"comments",
     "-- COPY t (a) FROM stdin;\n/* COPY t (a) FROM stdin; /* nested */ ' */\n"
     "--\n-- Name: it's \"a\" $$; Type: TABLE\n--\nSELECT 1 -- ' ; \"\n + 2 / 3 - 4 /* ; */;\n" +
         kClosing,
     "lo=0/0 complete"},
    {"comment_inside_copy", "COPY t (a) FROM /* x */ -- y\n stdin;\n1\n\\.\n" + kClosing,
     "t=1/2 lo=0/0 complete"},
    {"escape_strings",
     "SELECT E'a\\'; COPY t FROM stdin;\n', e'\\\\', E'''\\''''; COPY t (a) FROM stdin;\n\\.\n" +
         kClosing,
     "t=0/0 lo=0/0 complete"},
    {"plain_strings_keep_backslashes",
     "SELECT 'a\\', 'b\\\\'; COPY t (a) FROM stdin;\n\\.\n" + kClosing, "t=0/0 lo=0/0 complete"},
    {"not_an_escape_string", "SELECT one'a\\', ne'\\'; SELECT 1e'\\';\n" + kClosing,
     "lo=0/0 complete"},
    {"nonstandard_strings",
     "SET standard_conforming_strings = off;\nSELECT 'it\\'s; COPY t FROM stdin;\n\\\\';\n"
     "SET standard_conforming_strings = on;\nSELECT '\\';\n" +
         kClosing,
     "lo=0/0 complete"},
    {"two_byte_encoding",
     "SET client_encoding = 'SJIS';\nSELECT E'\x95\x5c', E'\xb1\\'', E'\x95\x5c\\'';\n" + kClosing,
     "lo=0/0 complete"},
    {"inserts",
     "INSERT INTO public.t VALUES (1, 'a;b');\nINSERT INTO public.t VALUES (2, ')');\n"
     "INSERT INTO public.u (x, \"values\") OVERRIDING SYSTEM VALUE VALUES (3, (4)) "
     "ON CONFLICT DO NOTHING;\nINSERT INTO public.z DEFAULT VALUES;\n" +
         kClosing,
     "public.t=2/78 public.u=1/99 public.z=1/37 lo=0/0 complete"},
    {"rows_per_insert",
     "INSERT INTO t VALUES\n\t(1, 'x'),\n\t(2, '('),\n\t(3, E'\\''),\n\t(4, (5));\n" + kClosing,
     "t=4/67 lo=0/0 complete"},
    {"insert_on_conflict_list",
     "INSERT INTO t (a) VALUES (1), (2) ON CONFLICT (a) DO UPDATE SET a = (3);\n" + kClosing,
     "t=2/73 lo=0/0 complete"},
    {"large_objects",
     "SELECT pg_catalog.lo_create('7');\nBEGIN;\n\nSELECT pg_catalog.lo_open('7', 131072);\n"
     "SELECT pg_catalog.lowrite(0, '\\x00ff27');\nSELECT pg_catalog.lowrite(0, '\\x41');\n"
     "SELECT pg_catalog.lo_close(0);\n\nSELECT pg_catalog.lo_open('8', 131072);\n"
     "SELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n" +
         kClosing,
     "lo=2/4 complete"},
    {"large_objects_nonstandard_strings",
     "SET standard_conforming_strings = off;\nSELECT pg_catalog.lo_open('7', 131072);\n"
     "SELECT pg_catalog.lowrite(0, '\\\\x00ff27');\n" +
         kClosing,
     "lo=1/3 complete"},
    {"restricted",
     "--\n-- PostgreSQL database dump\n--\n\n\\restrict Abc1\n\nSELECT 1;\n\n" + kClosing +
         "\\unrestrict Abc1\n\n",
     "lo=0/0 restricted complete"},
    {"unrestrict_before_the_closing_line",
     "\\restrict Abc1\nSELECT 1;\n\\unrestrict Abc1\n\n" + kClosing, "lo=0/0 restricted complete"},
    {"unrestrict_missing", "\\restrict Abc1\nSELECT 1;\n" + kClosing,
     "lo=0/0 restricted incomplete: The dump's \\restrict and \\unrestrict lines do not match."},
    {"unrestrict_cut_off", "\\restrict Abc1\nSELECT 1;\n" + kClosing + "\\unrestrict Ab",
     "lo=0/0 restricted incomplete: The dump ends inside a comment or a psql command."},
    {"unrestrict_other_key", "\\restrict Abc1\n" + kClosing + "\\unrestrict Abc2\n",
     "lo=0/0 restricted incomplete: The dump's \\restrict and \\unrestrict lines do not match."},
    {"unrestrict_alone", kClosing + "\\unrestrict Abc2\n",
     "lo=0/0 incomplete: The dump's \\restrict and \\unrestrict lines do not match."},
    {"no_closing_line", "SELECT 1;\n--\n-- PostgreSQL database dump\n--\n",
     "lo=0/0 incomplete: The dump has no closing line \"-- PostgreSQL database dump complete\"."},
    {"closing_line_cut_off", "SELECT 1;\n-- PostgreSQL database dump complete",
     "lo=0/0 incomplete: The dump ends inside a comment or a psql command."},
    {"closing_line_in_a_statement", "SELECT 1\n-- PostgreSQL database dump complete\n;\n",
     "lo=0/0 incomplete: The dump has no closing line \"-- PostgreSQL database dump complete\"."},
    {"closing_line_is_no_prefix", "-- PostgreSQL database dump completed\n",
     "lo=0/0 incomplete: The dump has no closing line \"-- PostgreSQL database dump complete\"."},
    {"something_follows", kClosing + "SELECT 1;\n",
     "lo=0/0 incomplete: Something follows the dump's closing line."},
    {"a_command_follows", kClosing + "\\connect x\n",
     "lo=0/0 incomplete: Something follows the dump's closing line."},
    {"forged_closing_line_does_not_spoil", kClosing + "SELECT 1;\n" + kClosing, "lo=0/0 complete"},
    {"open_statement", "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT",
     "lo=0/0 incomplete: The dump ends inside a statement that begins with "
     "\"ALTER TABLE ONLY public.t     ADD CONSTRAINT\"."},
    {"open_string", "SELECT 'abc;\n" + kClosing,
     "lo=0/0 incomplete: The dump ends inside a statement that begins with "
     "\"SELECT 'abc; -- -- PostgreSQL database dump complete --  \"."},
    {"open_dollar", "DO $a$ x; $b$;\n" + kClosing,
     "lo=0/0 incomplete: The dump ends inside a statement that begins with "
     "\"DO $a$ x; $b$; -- -- PostgreSQL database dump complete --  \"."},
    {"open_block_comment", "/* SELECT 1;\n" + kClosing,
     "lo=0/0 incomplete: The dump ends inside a comment or a psql command."},
    {"cluster_line_is_not_ours", "-- PostgreSQL database cluster dump complete\n",
     "lo=0/0 incomplete: The dump has no closing line \"-- PostgreSQL database dump complete\"."},
    {"lone_minus_at_the_end", kClosing + "-",
     "lo=0/0 incomplete: The dump ends inside a comment or a psql command."},
    {"minus_begins_a_statement", "- COPY t FROM stdin; / 2;\n" + kClosing, "lo=0/0 complete"},
};

class DumpScan : public testing::TestWithParam<Case> {};

TEST_P(DumpScan, CountsAndDecides) {
    EXPECT_EQ(summary(scan(GetParam().dump)), GetParam().expected);
}

TEST_P(DumpScan, NoCutMatters) {
    const std::string& dump = GetParam().dump;
    EXPECT_EQ(summary(scan(dump, every_byte(dump.size()))), GetParam().expected);
    for (std::size_t cut = 0; cut <= dump.size(); ++cut) {
        ASSERT_EQ(summary(scan(dump, {cut})), GetParam().expected) << "cut at " << cut;
    }
}

INSTANTIATE_TEST_SUITE_P(Table, DumpScan, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(DumpScanGlobals, NeedsItsOwnClosingLine) {
    const std::string globals =
        "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict k\n\nCREATE ROLE a;\n\n"
        "\\unrestrict k\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    EXPECT_TRUE(scan(globals, {}, DumpKind::globals).complete);
    EXPECT_FALSE(scan(kClosing, {}, DumpKind::globals).complete);
}

// Every prefix of a good dump is incomplete, up to the end of its closing line.
TEST(DumpScanTruncated, NoPrefixIsComplete) {
    const std::string dump =
        "\\restrict k\nSET x = 1;\nCOPY t (a) FROM stdin;\n1\n\\.\nINSERT INTO t VALUES (1);\n" +
        kClosing + "\\unrestrict k\n\n";
    for (std::size_t size = 0; size < dump.size() - 1; ++size) {
        EXPECT_FALSE(scan(std::string_view(dump).substr(0, size)).complete) << size;
    }
    EXPECT_TRUE(scan(dump).complete);
}

// Lines of every length around the vector width, so that newlines and end marks fall on every lane.
TEST(DumpScanData, LinesOfEveryLength) {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        std::string data;
        std::uint64_t rows = 0;
        const int lines = static_cast<int>(random() % 60);
        for (int i = 0; i < lines; ++i) {
            static constexpr std::string_view kAlphabet = "abc\\.\tN";
            std::string line;
            for (std::size_t n = random() % 40; n > 0; --n) {
                line += kAlphabet[random() % kAlphabet.size()];
            }
            if (line == "\\.") {
                line += '.';
            }
            data += line + '\n';
            ++rows;
        }
        const std::string dump = "COPY t (a) FROM stdin;\n" + data + "\\.\nSELECT 1;\n" + kClosing;
        const std::string expected =
            "t=" + std::to_string(rows) + '/' + std::to_string(data.size()) + " lo=0/0 complete";
        ASSERT_EQ(summary(scan(dump)), expected);
        std::vector<std::size_t> cuts;
        for (int i = 0; i < 5; ++i) {
            cuts.push_back(random() % dump.size());
        }
        std::sort(cuts.begin(), cuts.end());
        ASSERT_EQ(summary(scan(dump, cuts)), expected);
    }
}

TEST(DumpScanData, ManyRowsInOneChunk) {
    std::string dump = "COPY t (a) FROM stdin;\n";
    for (int i = 0; i < 1000000; ++i) {
        dump += i % 3 == 0 ? "\n" : "1\n";
    }
    const std::size_t bytes = dump.size() - 23;
    EXPECT_EQ(summary(scan(dump + "\\.\n" + kClosing)),
              "t=1000000/" + std::to_string(bytes) + " lo=0/0 complete");
}

TEST(DumpScanBounds, LongColumnListAndLongTag) {
    std::string columns = "c0";
    for (int i = 1; i < 1600; ++i) {
        columns += ", \"a long column name; COPY x FROM stdin; " + std::to_string(i) + '"';
    }
    EXPECT_EQ(summary(scan("COPY s.t (" + columns + ") FROM stdin;\n1\n\\.\n" + kClosing)),
              "s.t=1/2 lo=0/0 complete");

    const std::string tag = "$" + std::string(100000, '_') + "$";
    EXPECT_TRUE(scan("DO " + tag + " ; $x$ ' " + tag + ";\n" + kClosing).complete);
    const std::string endless = "$" + std::string(2u << 20, '_') + "$";
    const ScanResult result = scan("DO " + endless + " " + endless + ";\n" + kClosing);
    EXPECT_EQ(result.problem,
              "The dump holds a dollar quote whose tag is too long to be followed.");
}

TEST(DumpScanProgress, NamesTheTableThatPasses) {
    DumpScanner scanner(DumpKind::database);
    EXPECT_EQ(scanner.current_table(), "");
    scanner.feed(bytes_of("SET x = 1;\nCOPY public.\"T 1\" (a) FROM stdin;\n1\n"));
    EXPECT_EQ(scanner.current_table(), "public.\"T 1\"");
    scanner.feed(bytes_of("\\.\n"));
    EXPECT_EQ(scanner.current_table(), "");
    scanner.feed(bytes_of("INSERT INTO u VALUES (1);\nINSERT INTO u VAL"));
    EXPECT_EQ(scanner.current_table(), "u");
    scanner.feed(bytes_of("UES (2);\nSELECT 1;\n"));
    EXPECT_EQ(scanner.current_table(), "");
}

}  // namespace
}  // namespace immbackup
