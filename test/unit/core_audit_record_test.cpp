// The chain of audit records: whatever is changed, removed, swapped or cut off in a log is found.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/audit_record.h"
#include "core/error.h"
#include "sanitized.h"

namespace immbackup {
namespace {

std::vector<std::string> chain(int count) {
    std::vector<std::string> lines;
    AuditRecord record;
    record.prev = std::string(kZeroHash);
    for (int i = 1; i <= count; ++i) {
        record.seq = static_cast<std::uint64_t>(i);
        record.time = fmt::format("2026-01-18T12:00:{:02}.000Z", i);
        record.origin = i % 2 == 0 ? "cli" : "job";
        record.event = "run_finished";
        record.body = fmt::format(R"({{"run":"20260118T1200{:02}Z","text":"a \"b\" \u00e9"}})", i);
        lines.push_back(format_audit_line(record));
        record.prev = record.hash;
    }
    return lines;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) {
        text += line;
    }
    return text;
}

ChainReport verify(std::string_view text) {
    ChainVerifier verifier;
    while (!text.empty()) {
        const auto end = text.find('\n');
        verifier.feed(text.substr(0, end), end != std::string_view::npos);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return verifier.finish();
}

TEST(AuditRecord, RoundTrip) {
    AuditRecord record{7,
                       "2026-01-18T12:00:00.000Z",
                       "job",
                       std::string(kZeroHash),
                       "worker_started",
                       R"({"pid":1})",
                       ""};
    std::string line = format_audit_line(record);
    ASSERT_EQ(line.back(), '\n');
    line.pop_back();
    EXPECT_EQ(line.find("{\"seq\":7,\"time\":\"2026-01-18T12:00:00.000Z\",\"origin\":\"job\","),
              0U);
    const auto covered = line.substr(0, line.find(",\"hash\":"));
    EXPECT_EQ(record.hash, sha256_hex(covered));
    std::string why;
    const auto read = parse_audit_line(line, why);
    ASSERT_TRUE(read) << why;
    EXPECT_EQ(read->seq, 7U);
    EXPECT_EQ(read->body, record.body);
    EXPECT_EQ(read->hash, record.hash);
}

TEST(AuditRecord, RefusesToWriteWhatNobodyCouldRead) {
    const AuditRecord good{1, "2026-01-18T12:00:00.000Z", "job", std::string(kZeroHash), "x", "{}",
                           ""};
    const auto refused = [&](const auto& change) {
        AuditRecord bad = good;
        change(bad);
        EXPECT_THROW(format_audit_line(bad), Error);
    };
    refused([](AuditRecord& r) { r.origin = "JOB"; });
    refused([](AuditRecord& r) { r.event = "a b"; });
    refused([](AuditRecord& r) { r.body = "[]"; });
    refused([](AuditRecord& r) { r.body = "{\n}"; });
    refused([](AuditRecord& r) { r.body = "{\"\xc3\xa9\":1}"; });
    refused([](AuditRecord& r) { r.prev = "00"; });
    refused([](AuditRecord& r) { r.body = "{\"a\":\"" + std::string(kMaxAuditLine, 'x') + "\"}"; });
}

TEST(AuditChain, SoundOne) {
    const auto report = verify(joined(chain(5)));
    EXPECT_TRUE(report.sound()) << report.problem;
    EXPECT_EQ(report.records, 5U);
    EXPECT_EQ(report.head_seq, 5U);
    EXPECT_FALSE(report.torn_tail);
    EXPECT_TRUE(verify("").sound());
}

TEST(AuditChain, EverySingleByteChangeIsFound) {
    const std::string text = joined(chain(3));
    constexpr unsigned kStep = test::kSanitized ? 15 : 1;
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (unsigned flip = 1; flip < 256; flip += kStep) {
            std::string changed = text;
            changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ flip);
            const auto report = verify(changed);
            // The last newline alone may be lost: that is a torn tail, and said to be one.
            const bool found = !report.sound() || (at + 1 == text.size() && report.torn_tail);
            ASSERT_TRUE(found) << "byte " << at << " flipped by " << flip;
        }
    }
}

TEST(AuditChain, EveryInsertedOrRemovedByteIsFound) {
    const std::string text = joined(chain(3));
    for (std::size_t at = 0; at < text.size(); ++at) {
        std::string shorter = text;
        shorter.erase(at, 1);
        const auto report = verify(shorter);
        ASSERT_TRUE(!report.sound() || (at + 1 == text.size() && report.torn_tail)) << at;
        for (const char extra : {' ', '0', '"', '\n'}) {
            std::string longer = text;
            longer.insert(at, 1, extra);
            if (longer != text) {
                ASSERT_FALSE(verify(longer).sound()) << at << " " << extra;
            }
        }
    }
}

TEST(AuditChain, EveryDeletionSwapAndRepetitionOfLinesIsFound) {
    const auto lines = chain(6);
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
        auto without = lines;
        without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
        const auto report = verify(joined(without));
        EXPECT_FALSE(report.sound()) << "without " << i + 1;
        EXPECT_EQ(report.first_bad_seq, i + 1);
        for (std::size_t j = i + 1; j < lines.size(); ++j) {
            auto swapped = lines;
            std::swap(swapped[i], swapped[j]);
            EXPECT_FALSE(verify(joined(swapped)).sound()) << i << " and " << j;
        }
        auto repeated = lines;
        repeated.insert(repeated.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
        EXPECT_FALSE(verify(joined(repeated)).sound()) << "repeated " << i + 1;
    }
}

TEST(AuditChain, EveryTruncationIsATornTailOrAShorterChain) {
    const auto lines = chain(3);
    const std::string text = joined(lines);
    std::size_t whole = 0;  // records wholly in the first `length` bytes
    std::size_t end = lines[0].size();
    for (std::size_t length = 0; length < text.size(); ++length) {
        if (length == end) {
            end += lines[++whole].size();
        }
        const auto report = verify(text.substr(0, length));
        const bool at_line_end = length == 0 || text[length - 1] == '\n';
        ASSERT_EQ(report.torn_tail, !at_line_end) << length;
        ASSERT_EQ(report.records, whole) << length;
        // The head tells whoever noted a later one that something is gone.
        ASSERT_EQ(report.head_seq, whole) << length;
    }
}

TEST(AuditChain, ARecordRewrittenWithAValidHashBreaksTheNext) {
    auto lines = chain(4);
    std::string why;
    auto record = *parse_audit_line(std::string_view(lines[1]).substr(0, lines[1].size() - 1), why);
    record.body = R"({"run":"forged"})";
    lines[1] = format_audit_line(record);
    const auto report = verify(joined(lines));
    EXPECT_FALSE(report.sound());
    EXPECT_EQ(report.first_bad_seq, 3U);
}

TEST(AuditChain, ATornLineIsExplainedByTheNextRecordAlone) {
    const auto lines = chain(3);
    const std::string torn = lines[1].substr(0, 50);
    std::string why;
    const auto first =
        *parse_audit_line(std::string_view(lines[0]).substr(0, lines[0].size() - 1), why);
    const auto explained = [&](std::uint64_t offset, std::uint64_t bytes, const std::string& hash) {
        AuditRecord record{2,          "2026-01-18T12:00:09.000Z",     "job", first.hash,
                           "log_torn", torn_body(offset, bytes, hash), ""};
        return lines[0] + torn + "\n" + format_audit_line(record);
    };
    const auto good = verify(explained(lines[0].size(), torn.size(), sha256_hex(torn)));
    EXPECT_TRUE(good.sound()) << good.problem;
    EXPECT_EQ(good.torn_lines, 1U);
    EXPECT_FALSE(verify(explained(lines[0].size() + 1, torn.size(), sha256_hex(torn))).sound());
    EXPECT_FALSE(verify(explained(lines[0].size(), torn.size() - 1, sha256_hex(torn))).sound());
    EXPECT_FALSE(verify(explained(lines[0].size(), torn.size(), sha256_hex("x"))).sound());
    EXPECT_FALSE(verify(lines[0] + torn + "\n" + lines[1]).sound());
}

// A line with the hash it ought to have, whatever stands in it.
std::string hashed(const std::string& covered) {
    return covered + ",\"hash\":\"" + sha256_hex(covered) + "\"}\n";
}

TEST(AuditChain, NumbersCountByOneFromOne) {
    const auto first = [](std::uint64_t seq) {
        AuditRecord record{
            seq, "2026-01-18T12:00:00.000Z", "job", std::string(kZeroHash), "x", "{}", ""};
        return format_audit_line(record);
    };
    EXPECT_TRUE(verify(first(1)).sound());
    EXPECT_FALSE(verify(first(2)).sound());
    for (const std::uint64_t seq : {std::uint64_t{1}, std::uint64_t{3}, ~std::uint64_t{0}}) {
        auto lines = chain(1);
        std::string why;
        auto record =
            *parse_audit_line(std::string_view(lines[0]).substr(0, lines[0].size() - 1), why);
        record.seq = seq;
        record.prev = record.hash;  // right, as its own hash will be
        lines.push_back(format_audit_line(record));
        const auto report = verify(joined(lines));
        EXPECT_FALSE(report.sound()) << seq;
        EXPECT_EQ(report.first_bad_seq, 2U);
        EXPECT_EQ(report.first_bad_offset, lines[0].size());
        EXPECT_NE(report.problem.find("follows 1"), std::string::npos) << report.problem;
    }
}

// The grammar admits one text for a record, even to one who computes its hash.
TEST(AuditRecord, OtherSpellingsAreRefused) {
    const std::string zero(kZeroHash);
    const auto good = [&] {
        return R"({"seq":1,"time":"2026-01-18T12:00:00.000Z","origin":"job","prev":")" + zero +
               R"(","event":"x_1","body":{})";
    };
    ASSERT_TRUE(verify(hashed(good())).sound());
    struct Change {
        std::string from, to;
    };
    for (const auto& [from, to] : std::vector<Change>{
             {"{\"seq\":1", "{\"seq\":01"},
             {"{\"seq\":1", "{\"seq\":0"},
             {"{\"seq\":1", "{\"seq\":+1"},
             {"{\"seq\":1", "{\"seq\":1.0"},
             {"{\"seq\":1", "{\"seq\": 1"},
             {"{\"seq\":1", "{\"seq\":\"1\""},
             {"{\"seq\":1", "{\"seq\":18446744073709551617"},
             {"{\"seq\":1", "{ \"seq\":1"},
             {"{\"seq\":1", "[\"seq\":1"},
             {"00.000Z", "00Z"},
             {"00.000Z", "00.0000Z"},
             {"01-18", "02-30"},
             {"T12", " 12"},
             {"\"job\"", "\"Job\""},
             {"\"job\"", "\"\""},
             {"\"job\"", "\"a234567890123456x\""},
             {"\"job\"", "\"jo\\u0062\""},
             {zero, zero.substr(1)},
             {zero, zero + "0"},
             {zero, "A" + zero.substr(1)},
             {"x_1", ""},
             {"x_1", std::string(49, 'x')},
             {"x_1", "x-1"},
             {"\"body\":{}", "\"body\":[]"},
             {"\"body\":{}", "\"body\":{"},
             {"\"body\":{}", "\"body\":"},
             {"\"body\":{}", "\"more\":1,\"body\":{}"},
             {"\"body\":{}", "\"body\":{\"\x7f\":1}"},
             {"\"body\":{}", "\"body\":{\"a\":\t1}"},
             {",\"event\":\"x_1\"", ""},
             {"\"origin\"", "\"event\""},
         }) {
        std::string covered = good();
        covered.replace(covered.find(from), from.size(), to);
        const std::string line = hashed(covered);
        std::string why;
        EXPECT_FALSE(parse_audit_line(std::string_view(line).substr(0, line.size() - 1), why))
            << line;
        EXPECT_TRUE(why.ends_with('.')) << "no sentence: " << why;
    }
    const auto of_size = [&](std::size_t size) {
        std::string covered = good();
        covered.insert(covered.size() - 1, "\"a\":\"\"");
        covered.insert(covered.size() - 2, size - hashed(covered).size(), 'x');
        return hashed(covered);
    };
    ASSERT_EQ(of_size(kMaxAuditLine).size(), kMaxAuditLine);
    EXPECT_TRUE(verify(of_size(kMaxAuditLine)).sound());
    EXPECT_FALSE(verify(of_size(kMaxAuditLine + 1)).sound());
}

// What stands between two records, and the log_torn record that accounts for it.
TEST(AuditChain, TornLinesInARowAreExplainedTogether) {
    const auto lines = chain(2);
    std::string why;
    const auto first =
        *parse_audit_line(std::string_view(lines[0]).substr(0, lines[0].size() - 1), why);
    const auto after = [&](const std::string& torn, const char* event) {
        AuditRecord record{2,     "2026-01-18T12:00:09.000Z",
                           "job", first.hash,
                           event, torn_body(lines[0].size(), torn.size(), sha256_hex(torn)),
                           ""};
        return verify(lines[0] + torn + "\n" + format_audit_line(record));
    };
    const std::string half = lines[1].substr(0, 50);
    const std::string whole = lines[1].substr(0, lines[1].size() - 1);  // a record never ended
    for (const std::string& torn : {half, half + "\n" + half, "\n" + half, half + "\n\n" + half,
                                    std::string("\0\xff\r", 3), half + "\n" + whole.substr(1)}) {
        const auto report = after(torn, "log_torn");
        EXPECT_TRUE(report.sound()) << report.problem;
        EXPECT_EQ(report.torn_lines, 1U);
        EXPECT_EQ(report.head_seq, 2U);
        const auto other = after(torn, "sweep");
        EXPECT_FALSE(other.sound()) << "only log_torn explains";
        EXPECT_EQ(other.first_bad_offset, lines[0].size());
    }
    EXPECT_FALSE(after(whole, "log_torn").sound()) << "a whole record is not torn";
}

}  // namespace
}  // namespace immbackup
