// Anchors against each other and against the log: what agrees, what is missing, what was changed.
#include "core/anchors.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace immbackup {
namespace {

constexpr const char* kUntil = "2026-02-17T12:00:00.000Z";
constexpr const char* kLater = "2026-03-17T12:00:00.000Z";

struct NumberedLog {
    std::vector<AuditRecord> records;
    std::vector<std::string> lines;
    explicit NumberedLog(std::uint64_t count, const std::string& body = "{}") {
        std::string prev(kZeroHash);
        for (std::uint64_t seq = 1; seq <= count; ++seq) {
            AuditRecord record{seq, "2026-01-18T12:00:00.000Z", "job", prev, "sweep", body, ""};
            lines.push_back(format_audit_line(record));
            prev = record.hash;
            records.push_back(record);
        }
    }
    std::string piece(std::size_t first, std::size_t last) const {
        std::string out;
        for (std::size_t seq = first; seq <= last; ++seq) {
            out += lines[seq - 1];
        }
        return out;
    }
};

std::string text(const std::vector<AnchorRange>& ranges) {
    std::string out;
    for (const auto& range : ranges) {
        out += fmt::format("{}-{}{} ", range.first, range.last,
                           range.until.empty() ? "" : "@" + range.until.substr(0, 10));
    }
    return out;
}

AnchorReport compared(AnchorBook& book, const NumberedLog& log) {
    for (const auto& record : log.records) {
        book.compare(record);
    }
    return book.finish(true);
}

TEST(Anchors, AnchoredAndNotAnchoredAreToldApart) {
    const NumberedLog log(10);
    AnchorBook book;
    book.add("a", log.piece(1, 3), kUntil);
    book.add("b", log.piece(3, 5), kLater);  // an overlap that agrees
    book.add("c", log.piece(7, 8), "");      // held no more
    const AnchorReport report = compared(book, log);
    EXPECT_TRUE(report.findings.empty());
    EXPECT_EQ(report.objects, 3U);
    EXPECT_EQ(text(report.anchored), "1-5@2026-02-17 ");
    EXPECT_EQ(text(report.unanchored), "6-10 ");
}

TEST(Anchors, ALogThatWasCutOff) {
    const NumberedLog log(10);
    AnchorBook book;
    book.add("a", log.piece(1, 9), kUntil);
    const AnchorReport report = compared(book, NumberedLog(4));
    ASSERT_EQ(report.findings.size(), 1U);
    EXPECT_NE(report.findings[0].find("cut off: it ends with record 4"), std::string::npos);
    AnchorBook alone;
    alone.add("a", log.piece(1, 9), kUntil);
    EXPECT_TRUE(alone.finish(false).findings.empty()) << "there is no log to be cut off";
    AnchorBook gone;
    gone.add("a", log.piece(1, 9), "");
    EXPECT_EQ(gone.finish(true).findings.size(), 1U) << "also by what is held no more";
}

TEST(Anchors, ALogThatWasWrittenAnew) {
    const NumberedLog log(10);
    AnchorBook book;
    book.add("a", log.piece(1, 5), kUntil);
    const AnchorReport report = compared(book, NumberedLog(10, "{\"x\":1}"));
    ASSERT_EQ(report.findings.size(), 1U) << "told once";
    EXPECT_NE(report.findings[0].find("record 1 is not the one"), std::string::npos);
}

TEST(Anchors, Forks) {
    const NumberedLog log(10);
    const NumberedLog other(10, "{\"x\":1}");
    AnchorBook book;
    book.add("a", log.piece(1, 5), kUntil);
    book.add("b", other.piece(4, 6), kUntil);
    const AnchorReport overlap = compared(book, log);
    ASSERT_FALSE(overlap.findings.empty());
    EXPECT_NE(overlap.findings[0].find("forks: record 4"), std::string::npos);
    AnchorBook link;
    link.add("a", log.piece(1, 5), kUntil);
    link.add("b", other.piece(6, 8), kUntil);
    const AnchorReport seam = link.finish(false);
    ASSERT_EQ(seam.findings.size(), 1U);
    EXPECT_NE(seam.findings[0].find("record 6"), std::string::npos);
}

// Whoever may write can put anything there.
TEST(Anchors, WhatIsNoPieceOfALogProvesNothing) {
    const NumberedLog log(10);
    std::string changed = log.piece(1, 3);
    changed[changed.find("sweep")] = 'x';
    for (const std::string& bad :
         {std::string(), std::string("x\n"), std::string("\n\n"), changed, log.piece(1, 2) + "{",
          log.piece(1, 2) + log.piece(4, 5), log.piece(2, 2) + log.piece(1, 1)}) {
        AnchorBook book;
        book.add("a", bad, kUntil);
        const AnchorReport report = compared(book, log);
        EXPECT_TRUE(report.findings.empty());
        EXPECT_EQ(report.notes.size(), 1U);
        EXPECT_EQ(report.objects, 0U);
        EXPECT_EQ(text(report.unanchored), "1-10 ");
    }
}

TEST(Anchors, AGapAsLargeAsANumberCanBe) {
    AuditRecord record{UINT64_MAX - 1,
                       "2026-01-18T12:00:00.000Z",
                       "job",
                       std::string(kZeroHash),
                       "sweep",
                       "{}",
                       ""};
    AnchorBook book;
    book.add("a", format_audit_line(record), kUntil);
    const AnchorReport report = book.finish(false);
    EXPECT_EQ(text(report.unanchored), fmt::format("1-{} ", UINT64_MAX - 2));
}

}  // namespace
}  // namespace immbackup
