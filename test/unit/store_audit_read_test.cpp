// Reading the audit log as server processes do: checkpoints that fit or do not, pages of records,
// hostile content in bounded memory.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

#include "core/digest.h"
#include "store/audit_log.h"
#include "store/line_reader.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

class AuditReadTest : public testing::Test {
  protected:
    AuditReadTest() { fs::create_directory(layout().logs()); }
    Layout layout() const { return Layout{directory_.path()}; }
    fs::path log() const { return layout().audit_log(); }
    // A sound log without fsyncs: `count` records, bodies of `size` bytes.
    std::string chain(std::uint64_t count, std::size_t size = 20) const {
        std::string out;
        AuditRecord record;
        record.hash = kZeroHash;
        for (std::uint64_t seq = 1; seq <= count; ++seq) {
            record.seq = seq;
            record.prev = record.hash;
            record.time = "2026-01-18T12:00:00.000Z";
            record.origin = "job";
            record.event = seq == 1 ? "instance_created" : "note";
            record.body = "{\"instance\":\"x\",\"a\":\"" + std::string(size, 'a') + "\"}";
            out += format_audit_line(record);
        }
        return out;
    }
    struct Page {
        std::vector<std::uint64_t> seqs;
        std::vector<std::uint64_t> bad;  // offsets
    };
    Page page(std::uint64_t after, std::size_t limit = 1'000'000) const {
        Page out;
        read_audit(layout(), after,
                   [&](const AuditRecord* record, std::uint64_t offset, const std::string& why) {
                       if (record != nullptr) {
                           out.seqs.push_back(record->seq);
                           EXPECT_TRUE(why.empty());
                       } else {
                           out.bad.push_back(offset);
                           EXPECT_FALSE(why.empty());
                       }
                       return out.seqs.size() + out.bad.size() < limit;
                   });
        return out;
    }

    TemporaryDirectory directory_;
};

TEST_F(AuditReadTest, NoLog) {
    EXPECT_EQ(read_catalog(layout()).head_seq, 0U);
    EXPECT_TRUE(page(0).seqs.empty());
    EXPECT_TRUE(verify_audit_log(layout()).sound());
    put(log(), "");
    EXPECT_EQ(read_catalog(layout()).head_seq, 0U);
    EXPECT_TRUE(verify_audit_log(layout()).sound());
}

TEST_F(AuditReadTest, NothingButARegularFileIsRead) {
    ASSERT_EQ(::mkfifo(log().c_str(), 0600), 0);
    const auto read_all = {std::function<void()>([&] { read_catalog(layout()); }),
                           std::function<void()>([&] { page(0); }),
                           std::function<void()>([&] { verify_audit_log(layout()); })};
    for (const auto& read : read_all) {
        EXPECT_TRUE(throws_error(ErrorCode::io, "not a regular file", read));
    }
    fs::remove(log());
    put(directory_.path() / "elsewhere", chain(3));
    fs::create_symlink(directory_.path() / "elsewhere", log());
    for (const auto& read : read_all) {
        EXPECT_TRUE(throws_error(ErrorCode::io, "", read));
    }
}

TEST_F(AuditReadTest, CheckpointOnlyWhereItFits) {
    Catalog before;
    {
        AuditLog audit(layout(), "job");
        for (int i = 0; i < 5; ++i) {
            audit.append("settings_changed", R"({"settings":{"schedule":"from the log"}})");
        }
        audit.save_checkpoint();
        before = audit.catalog();
        audit.append("note", "{}");
    }
    clear_flags(log());
    const std::string text = content_of(log());
    const auto with_mark = [&](const std::function<void(Catalog&)>& change) {
        Catalog marked = before;
        marked.settings["schedule"] = "from the checkpoint";  // tells which of the two was read
        change(marked);
        put(layout().checkpoint(), catalog_to_checkpoint(marked));
    };
    const auto source = [&] { return read_catalog(layout()).settings["schedule"]; };
    const std::string other_hash(64, 'a');
    const struct {
        const char* what;
        std::function<void(Catalog&)> change;
        bool used;
    } cases[] = {
        {"fits", [](Catalog&) {}, true},
        {"offset too small", [](Catalog& c) { --c.offset; }, false},
        {"offset too large", [](Catalog& c) { ++c.offset; }, false},
        {"offset beyond the end", [](Catalog& c) { c.offset = 1ULL << 40; }, false},
        {"offset 0", [](Catalog& c) { c.offset = 0; }, false},
        {"offset 10", [](Catalog& c) { c.offset = 10; }, false},
        {"other hash", [&](Catalog& c) { c.head_hash = other_hash; }, false},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        with_mark(each.change);
        EXPECT_EQ(source(), each.used ? "from the checkpoint" : "from the log");
        EXPECT_EQ(read_catalog(layout()).head_seq, 7U);
        EXPECT_EQ(read_catalog(layout()).offset, text.size());
    }
    // Cut, changed, or no checkpoint at all.
    with_mark([](Catalog&) {});
    const std::string checkpoint = content_of(layout().checkpoint());
    for (std::size_t length = 0; length < checkpoint.size(); length += 7) {
        put(layout().checkpoint(), checkpoint.substr(0, length));
        ASSERT_EQ(source(), "from the log") << length;
    }
    for (std::size_t at = 0; at < checkpoint.size(); at += 5) {
        std::string changed = checkpoint;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        put(layout().checkpoint(), changed);
        ASSERT_EQ(source(), "from the log") << at;
    }
    fs::remove(layout().checkpoint());
    EXPECT_EQ(source(), "from the log");
    ASSERT_EQ(::mkfifo(layout().checkpoint().c_str(), 0600), 0);
    EXPECT_EQ(source(), "from the log");
    // A log that was replaced by another of the same length.
    fs::remove(layout().checkpoint());
    with_mark([](Catalog&) {});
    put(log(),
        text.substr(0, before.offset - 10) + std::string(10, '\n') + text.substr(before.offset));
    EXPECT_EQ(source(), "from the log");
}

TEST_F(AuditReadTest, CheckpointIsSavedAndUsed) {
    AuditLog audit(layout(), "job");
    audit.append("settings_changed", R"({"settings":{"schedule":"x"}})");
    audit.save_checkpoint();
    EXPECT_EQ(names_in(layout().logs()),
              (std::set<std::string>{"backup_audit.jsonl", "catalog.idx"}));
    const auto saved = catalog_from_checkpoint(content_of(layout().checkpoint()));
    ASSERT_TRUE(saved);
    EXPECT_EQ(saved->offset, fs::file_size(log()));
    EXPECT_EQ(saved->head_hash, audit.catalog().head_hash);
    EXPECT_EQ(saved->settings, audit.catalog().settings);
    // A leftover of a dead writer is in nobody's way, whatever it is.
    fs::create_symlink(directory_.path() / "target", layout().logs() / "catalog.idx.new");
    audit.append("note", "{}");
    audit.save_checkpoint();
    EXPECT_FALSE(fs::exists(directory_.path() / "target"));
    EXPECT_EQ(catalog_from_checkpoint(content_of(layout().checkpoint()))->head_seq, 3U);
    // Where it cannot be written, nothing fails.
    fs::remove(layout().checkpoint());
    fs::create_directories(layout().checkpoint() / "x");
    audit.save_checkpoint();
    EXPECT_EQ(AuditLog(layout(), "cli").append("note", "{}").seq, 4U);
}

TEST_F(AuditReadTest, PagesOfASoundLog) {
    constexpr std::uint64_t kCount = 20'000;  // large enough to bisect
    put(log(), chain(kCount, 200));
    ASSERT_GT(fs::file_size(log()), 16 * kMaxAuditLine);
    for (const std::uint64_t after :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{4'095},
          std::uint64_t{10'000}, kCount - 2, kCount - 1}) {
        const Page got = page(after, 3);
        ASSERT_EQ(got.seqs.size(), std::min<std::uint64_t>(3, kCount - after)) << after;
        for (std::size_t i = 0; i < got.seqs.size(); ++i) {
            EXPECT_EQ(got.seqs[i], after + 1 + i);
        }
        EXPECT_TRUE(got.bad.empty());
    }
    for (const std::uint64_t after : {kCount, kCount + 1, UINT64_MAX}) {
        EXPECT_TRUE(page(after).seqs.empty());
    }
    EXPECT_EQ(page(0).seqs.size(), kCount);
}

TEST_F(AuditReadTest, EveryRecordOnOnePageWithAnySizes) {
    std::mt19937 random(7);
    std::string text;
    AuditRecord record;
    record.hash = kZeroHash;
    constexpr std::uint64_t kCount = 60;
    for (std::uint64_t seq = 1; seq <= kCount; ++seq) {
        const std::size_t size = random() % 3 == 0 ? random() % 250'000 : random() % 100;
        record = {seq,    "2026-01-18T12:00:00.000Z",
                  "job",  record.hash,
                  "note", "{\"a\":\"" + std::string(size, 'a') + "\"}",
                  ""};
        text += format_audit_line(record);
    }
    put(log(), text);
    for (std::uint64_t after = 0; after <= kCount; ++after) {
        const Page got = page(after);
        ASSERT_EQ(got.seqs.size(), kCount - after);
        EXPECT_TRUE(got.seqs.empty() || got.seqs.front() == after + 1);
    }
}

TEST_F(AuditReadTest, BadLinesComeOnce) {
    const std::string text = chain(10);
    std::string broken;
    std::uint64_t bad_offset = 0;
    std::uint64_t seq = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at) + 1;
        broken += text.substr(at, end - at);
        at = end;
        if (++seq == 4) {
            bad_offset = broken.size();
            broken += "what is this\n";
        }
    }
    put(log(), broken + "torn");
    EXPECT_EQ(page(0).bad, (std::vector<std::uint64_t>{bad_offset, broken.size()}));
    EXPECT_EQ(page(3).bad.size(), 2U);
    EXPECT_EQ(page(4).bad.size(), 2U);
    EXPECT_EQ(page(5).bad.size(), 1U);  // it comes before record 5
    EXPECT_EQ(page(10).bad.size(), 1U);
    EXPECT_EQ(page(0).seqs.size(), 10U);
}

TEST_F(AuditReadTest, HostileContentInBoundedMemory) {
    const std::string good = chain(3);
    const struct {
        const char* what;
        std::string content;
    } cases[] = {
        {"NULs", std::string(100'000, '\0')},
        {"NULs in lines", good + std::string("\0\n\0\0\n", 5) + good},
        {"only newlines", std::string(100'000, '\n')},
        {"one endless line", good + std::string(5'000'000, 'x')},
        {"deep nesting", good + std::string(200'000, '[') + "\n"},
        {"a longer line than any", good + std::string(kMaxAuditLine, '{') + "\n" + good},
        {"carriage returns", good + "\r\n" + good},
        {"numbers", "{\"seq\":99999999999999999999999,\n{\"seq\":-1,\n{\"seq\":0,\n"},
        {"twice the same", good + good},
        {"not UTF-8", good + "\xc3\x28\xff\n"},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        put(log(), each.content);
        const ChainReport report = verify_audit_log(layout());
        EXPECT_TRUE(!report.sound() || report.torn_tail);
        EXPECT_LE(report.records, 3U);
        const Catalog catalog = read_catalog(layout());
        EXPECT_LE(catalog.offset, each.content.size());
        const Page got = page(0);
        EXPECT_LE(got.seqs.size(), 6U);
        for (const std::uint64_t after : {1U, 2U, 3U, 4U}) {
            for (const std::uint64_t seq : page(after).seqs) {
                EXPECT_GT(seq, after);
            }
        }
    }
}

// A file of a gigabyte without a newline: read through, not into memory, and interruptible.
TEST_F(AuditReadTest, EndlessLine) {
    put(log(), chain(2));
    fs::resize_file(log(), 1ULL << 30);
    struct Interrupted {};
    int calls = 0;
    const auto interrupt = [&calls] {
        if (++calls == 5) {
            throw Interrupted();
        }
    };
    EXPECT_THROW(verify_audit_log(layout(), interrupt), Interrupted);
    calls = 0;
    EXPECT_THROW(read_catalog(layout(), interrupt), Interrupted);
    calls = 0;
    EXPECT_THROW(
        read_audit(
            layout(), 1, [](const auto*, std::uint64_t, const auto&) { return true; }, interrupt),
        Interrupted);
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_SELF, &before);
    EXPECT_TRUE(verify_audit_log(layout()).torn_tail);
    EXPECT_EQ(read_catalog(layout()).head_seq, 2U);
    ::getrusage(RUSAGE_SELF, &after);
    EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 20 * 1024);  // KiB
}

TEST_F(AuditReadTest, FileThatShrinksWhileItIsRead) {
    put(log(), chain(20'000, 200));
    const auto full = fs::file_size(log());
    int calls = 0;
    const auto cut = [&] {
        if (++calls == 1) {
            fs::resize_file(log(), full / 2);
        }
    };
    const ChainReport report = verify_audit_log(layout(), cut);
    EXPECT_EQ(calls > 0, true);
    EXPECT_LT(report.records, 20'000U);
    EXPECT_LE(report.bytes, full / 2);
    EXPECT_EQ(fs::file_size(log()), full / 2);
    calls = 0;
    put(log(), chain(20'000, 200));
    EXPECT_LT(read_catalog(layout(), cut).head_seq, 20'000U);
}

TEST_F(AuditReadTest, LinesAcrossBlocks) {
    std::mt19937 random(11);
    std::vector<std::string> lines;
    std::string text;
    for (int i = 0; i < 300; ++i) {
        lines.emplace_back(random() % 4 == 0 ? random() % 200'000 : random() % 50,
                           static_cast<char>('a' + i % 26));
        text += lines.back() + "\n";
    }
    text += "the last";
    put(log(), text);
    const Fd fd = open_log(layout());
    LineReader reader(fd, log(), 0, text.size());
    LineReader::Line line;
    for (const auto& expected : lines) {
        ASSERT_TRUE(reader.next(line));
        ASSERT_TRUE(line.terminated);
        ASSERT_EQ(line.bytes, expected.size() + 1);
        ASSERT_EQ(line.text, expected);
    }
    ASSERT_TRUE(reader.next(line));
    EXPECT_FALSE(line.terminated);
    EXPECT_EQ(line.text, "the last");
    EXPECT_FALSE(reader.next(line));
    LineReader beyond(fd, log(), text.size() + 100, text.size());
    EXPECT_FALSE(beyond.next(line));
}

// A line that becomes whole while it is waited for is whole.
TEST_F(AuditReadTest, LineOnItsWay) {
    put(log(), "first\nsec");
    const Fd fd = open_log(layout());
    LineReader waiting(fd, log(), 0, 9, {}, LineReader::LastLine::may_grow);
    LineReader::Line line;
    ASSERT_TRUE(waiting.next(line));
    std::ofstream(log(), std::ios::app) << "ond\nthird\n";
    ASSERT_TRUE(waiting.next(line));
    EXPECT_EQ(line.text, "second");
    EXPECT_TRUE(line.terminated);
}

}  // namespace
}  // namespace immbackup::test
