// StatementFilter: what is left out, and that everything else passes byte for byte.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "dump/scan.h"

namespace immbackup {
namespace {

struct Filtered {
    std::string text;
    std::vector<std::string> left_out;
};

Filtered filter(std::string_view dump, const StatementFilter::Predicate& leave_out,
                std::size_t chunk) {
    Filtered result;
    StatementFilter filter(
        [&](std::span<const std::byte> bytes) {
            result.text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        },
        leave_out);
    for (std::size_t i = 0; i < dump.size(); i += chunk) {
        filter.feed(std::as_bytes(std::span(dump.substr(i, chunk))));
    }
    filter.finish();
    result.left_out = filter.left_out();
    return result;
}

bool ours(std::string_view statement) {
    return statement.find("EXTENSION immbackup") != std::string_view::npos;
}

const std::string kDump =
    "--\n-- Name: immbackup; Type: EXTENSION\n--\n\nCREATE EXTENSION immbackup;\n\n"
    "\\restrict k\nSELECT 1 - 2 / 3; -- x\n"
    "COMMENT ON EXTENSION immbackup\n  IS 'a; \"b\"';\n"
    "CREATE FUNCTION f() AS $$ CREATE EXTENSION immbackup_; EXTENSION immbackup; $$;\n"
    "COPY t (a) FROM stdin;\nCREATE EXTENSION immbackup;\n\\.\n- -\nopen statement";

TEST(StatementFilter, LeavesOutWholeStatementsOnly) {
    const std::string expected =
        "--\n-- Name: immbackup; Type: EXTENSION\n--\n\n\n\n\\restrict k\nSELECT 1 - 2 / 3; -- "
        "x\n\n"
        "\nCOPY t (a) FROM stdin;\nCREATE EXTENSION immbackup;\n\\.\n- -\nopen statement";
    for (std::size_t chunk = 1; chunk <= kDump.size(); ++chunk) {
        const Filtered result = filter(kDump, ours, chunk);
        ASSERT_EQ(result.text, expected) << "chunks of " << chunk;
        ASSERT_EQ(
            result.left_out,
            (std::vector<std::string>{
                "CREATE EXTENSION immbackup;", "COMMENT ON EXTENSION immbackup IS 'a; \"b\"';",
                "CREATE FUNCTION f() AS $$ CREATE EXTENSION immbackup_; EXTENSION immbackup; "
                "$$;"}))
            << "chunks of " << chunk;
    }
}

TEST(StatementFilter, PassesEverythingWhereNothingMatches) {
    std::mt19937 random(3);
    for (int round = 0; round < 500; ++round) {
        static constexpr std::string_view kAlphabet = "aE-/*'\"$;()\\\n .";
        std::string text;
        for (int i = 0; i < 200; ++i) {
            text += kAlphabet[random() % kAlphabet.size()];
        }
        const Filtered result = filter(
            text, [](std::string_view) { return false; }, 1 + random() % 50);
        ASSERT_EQ(result.text, text);
    }
}

TEST(StatementFilter, LeavesOutCopyWithItsData) {
    const Filtered result = filter(
        "SELECT 1;\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\nSELECT 2;\n",
        [](std::string_view statement) { return statement.starts_with("COPY"); }, 7);
    EXPECT_EQ(result.text, "SELECT 1;\nSELECT 2;\n");
}

TEST(StatementFilter, AsksOnlyAboutShortStatements) {
    const auto statement = [](std::size_t size) {
        return "SELECT '" + std::string(size - 10, 'x') + "';";
    };
    std::vector<std::size_t> asked;
    const auto leave_all_out = [&](std::string_view head) {
        asked.push_back(head.size());
        return true;
    };
    const std::string dump =
        statement(kMaxStatementHead) + statement(kMaxStatementHead + 1) + statement(20);
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{1000}, dump.size()}) {
        asked.clear();
        EXPECT_EQ(filter(dump, leave_all_out, chunk).text, statement(kMaxStatementHead + 1));
        EXPECT_EQ(asked, (std::vector<std::size_t>{kMaxStatementHead, 20}));
    }
}

TEST(StatementFilter, ReportIsBounded) {
    std::string dump = "SELECT '" + std::string(300, 'x') + "';\n";
    for (int i = 0; i < 1500; ++i) {
        dump += "SELECT 1;\n";
    }
    const Filtered result = filter(
        dump, [](std::string_view) { return true; }, 4096);
    ASSERT_EQ(result.left_out.size(), 1001u);
    EXPECT_EQ(result.left_out.front().size(), 203u);
    EXPECT_EQ(result.left_out.back(), "and 501 more");
}

}  // namespace
}  // namespace immbackup
