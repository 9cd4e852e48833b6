// The audit log: a line that parses is the one line that says so, and a log of records and torn
// writes, whatever they hold, is sound until one byte of it is changed or a record is taken out.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/audit_record.h"
#include "core/error.h"
#include "core/events.h"
#include "fuzz.h"

namespace {

using namespace immbackup;
using fuzz::require;

bool same(const AuditRecord& a, const AuditRecord& b) {
    return a.seq == b.seq && a.time == b.time && a.origin == b.origin && a.prev == b.prev &&
           a.event == b.event && a.body == b.body && a.hash == b.hash;
}

void check_line(std::string_view line) {
    std::string why;
    auto record = parse_audit_line(line, why);
    require(record.has_value() == why.empty());
    if (record) {
        const std::string hash = record->hash;
        require(format_audit_line(*record) == std::string(line) + "\n" && record->hash == hash);
    }
}

ChainReport verify(std::string_view log) {
    ChainVerifier verifier;
    for (std::size_t at = 0; at < log.size();) {
        const auto end = log.find('\n', at);
        verifier.feed(log.substr(at, end - at), end != std::string_view::npos);
        at = end == std::string_view::npos ? log.size() : end + 1;
    }
    const ChainReport report = verifier.finish();
    require(report.bytes == log.size());
    require(report.sound() == !report.first_bad_seq.has_value());
    return report;
}

// A log that grows as a writer's does.
class Log {
  public:
    void record(const std::string& event, const std::string& body) {
        const std::string line = next(event, body);
        if (!line.empty()) {
            std::string why;
            const auto parsed =
                parse_audit_line(std::string_view(line).substr(0, line.size() - 1), why);
            require(parsed && same(*parsed, record_));
            take(line);
        }
    }
    // A write of which only a part, never the whole record, came to the file.
    void tear(std::string_view body, std::size_t part) {
        AuditRecord kept = record_;
        const std::string line = next("run_started", std::string(body));
        record_ = std::move(kept);
        torn_ += line.substr(0, line.empty() ? 0 : std::min(part, line.size() - 2));
    }
    void explain() {
        if (torn_.empty()) {
            return;
        }
        const std::string line =
            next(event::kLogTorn, torn_body(text_.size(), torn_.size(), sha256_hex(torn_)));
        text_ += torn_ + "\n";
        torn_.clear();
        ++torn_lines_;
        take(line);
    }
    std::string text() const { return text_ + torn_; }
    bool torn() const { return !torn_.empty(); }

    void check() const {
        const ChainReport report = verify(text());
        require(report.sound() && report.torn_tail == torn());
        require(report.records == records_ && report.head_seq == records_);
        require(report.torn_lines == torn_lines_);
        require(report.head_hash == (records_ == 0 ? std::string(kZeroHash) : record_.hash));
    }

  private:
    // Empty where the fields cannot be a record.
    std::string next(const std::string& event, const std::string& body) {
        const std::string prev = records_ == 0 ? std::string(kZeroHash) : record_.hash;
        AuditRecord record{records_ + 1, "2026-01-18T12:00:00.000Z", "job", prev, event, body, {}};
        try {
            std::string line = format_audit_line(record);
            record_ = std::move(record);
            return line;
        } catch (const Error& error) {
            require(error.code() == ErrorCode::internal);
            return {};
        }
    }
    void take(const std::string& line) {
        text_ += line;
        ++records_;
    }

    AuditRecord record_;
    std::string text_;
    std::string torn_;
    std::uint64_t records_ = 0;
    std::uint64_t torn_lines_ = 0;
};

// A record that is taken out of the middle is missed; the last one cannot be.
void check_removal(std::string text, std::size_t which) {
    std::vector<std::pair<std::size_t, std::size_t>> records;  // offset, bytes
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size() - 1) + 1;
        std::string why;
        if (parse_audit_line(std::string_view(text).substr(at, end - at - 1), why)) {
            records.emplace_back(at, end - at);
        }
        at = end;
    }
    if (records.size() > 1) {
        const auto [at, bytes] = records[which % (records.size() - 1)];
        text.erase(at, bytes);
        require(!verify(text).sound());
    }
}

// Each line of the input is one act of the writer: its first byte says which.
void check_log(std::string_view script, std::size_t damage) {
    constexpr std::array kEvents{event::kRunStarted, event::kLogTorn, event::kSweep};
    Log log;
    while (!script.empty()) {
        const auto end = std::min(script.find('\n'), script.size());
        std::string_view line = script.substr(0, end);
        script.remove_prefix(std::min(end + 1, script.size()));
        const unsigned act = line.empty() ? 0 : static_cast<unsigned char>(line[0]);
        const std::string body =
            "{" + std::string(line.substr(std::min<std::size_t>(1, end))) + "}";
        if (act % 4 == 3) {
            log.tear(body, act);
        } else {
            log.explain();
            log.record(kEvents[act % 4], body);
        }
    }
    log.check();
    check_removal(log.text(), damage);

    std::string text = log.text();
    if (!text.empty()) {
        char& byte = text[damage % text.size()];
        byte = static_cast<char>(byte ^ (1 << (damage % 7)));
        const ChainReport report = verify(text);
        require(!report.sound() || report.torn_tail);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    check_line(input);
    check_line(std::string(input) + R"(,"hash":")" + sha256_hex(input) + "\"}");
    verify(input);
    check_log(input, size < 2 ? size : data[0] * 256u + data[1]);
    return 0;
}
