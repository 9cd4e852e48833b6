#include "core/audit_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "core/events.h"
#include "core/time.h"

namespace immbackup {

namespace {

constexpr std::string_view kHashMark = ",\"hash\":\"";
constexpr std::size_t kMaxEventName = 48;
constexpr std::size_t kMaxOrigin = 16;

bool is_printable_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_word(std::string_view text, std::size_t limit) {
    return !text.empty() && text.size() <= limit &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

// Takes `expected` off the front of `text`.
bool take(std::string_view& text, std::string_view expected) {
    if (!text.starts_with(expected)) {
        return false;
    }
    text.remove_prefix(expected.size());
    return true;
}

// Takes everything up to the next quote, and the quote; false where there is none within `limit`.
bool take_quoted(std::string_view& text, std::size_t limit, std::string& out) {
    const auto end = text.substr(0, limit + 1).find('"');
    if (end == std::string_view::npos) {
        return false;
    }
    out = std::string(text.substr(0, end));
    text.remove_prefix(end + 1);
    return true;
}

bool take_number(std::string_view& text, std::uint64_t& out) {
    if (text.empty() || text[0] < '1' || text[0] > '9') {
        return false;  // no leading zero, and 0 is no sequence number
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc{}) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

// Why the fields other than body and hash are not what the grammar allows; empty: they are.
std::string envelope_problem(const AuditRecord& record) {
    if (record.seq == 0) {
        return "The sequence number is zero.";
    }
    if (!parse_time(record.time) || record.time.size() != 24) {
        return "The time is not of the form 2026-01-18T12:00:00.000Z.";
    }
    if (!is_word(record.origin, kMaxOrigin)) {
        return "The origin is not a short lower-case word.";
    }
    if (!is_sha256_hex(record.prev)) {
        return "The previous hash is not a SHA-256 digest.";
    }
    if (!is_word(record.event, kMaxEventName)) {
        return "The event is not a short lower-case word.";
    }
    return {};
}

bool is_object_text(std::string_view body) {
    return body.size() >= 2 && body.front() == '{' && body.back() == '}' &&
           is_printable_ascii(body);
}

}  // namespace

std::string format_audit_line(AuditRecord& record) {
    std::string problem = envelope_problem(record);
    if (problem.empty() && !is_object_text(record.body)) {
        problem = "The body is not a JSON object of printable ASCII on one line.";
    }
    if (!problem.empty()) {
        throw Error(ErrorCode::internal, "an audit record cannot be written", problem);
    }
    std::string line =
        fmt::format(R"({{"seq":{},"time":"{}","origin":"{}","prev":"{}","event":"{}","body":{})",
                    record.seq, record.time, record.origin, record.prev, record.event, record.body);
    record.hash = sha256_hex(line);
    line += kHashMark;
    line += record.hash;
    line += "\"}\n";
    if (line.size() > kMaxAuditLine) {
        throw Error(
            ErrorCode::internal, "an audit record cannot be written",
            fmt::format("The line has {} bytes; {} are allowed.", line.size(), kMaxAuditLine));
    }
    return line;
}

std::optional<AuditRecord> parse_audit_line(std::string_view line, std::string& why) {
    constexpr std::size_t kTail = kHashMark.size() + 64 + 2;  // ,"hash":"…"}
    if (line.size() + 1 > kMaxAuditLine) {
        why = "The line is longer than a record may be.";
        return std::nullopt;
    }
    if (!is_printable_ascii(line)) {
        why = "The line has bytes other than printable ASCII.";
        return std::nullopt;
    }
    if (line.size() < kTail || !line.ends_with("\"}") ||
        line.substr(line.size() - kTail, kHashMark.size()) != kHashMark) {
        why = "The line does not end with a hash.";
        return std::nullopt;
    }
    const std::string_view covered = line.substr(0, line.size() - kTail);
    AuditRecord record;
    record.hash = std::string(line.substr(line.size() - 66, 64));
    if (record.hash != sha256_hex(covered)) {
        why = "The hash does not match the record.";
        return std::nullopt;
    }
    std::string_view rest = covered;
    if (!take(rest, R"({"seq":)") || !take_number(rest, record.seq) ||
        !take(rest, R"(,"time":")") || !take_quoted(rest, 24, record.time) ||
        !take(rest, R"(,"origin":")") || !take_quoted(rest, kMaxOrigin, record.origin) ||
        !take(rest, R"(,"prev":")") || !take_quoted(rest, 64, record.prev) ||
        !take(rest, R"(,"event":")") || !take_quoted(rest, kMaxEventName, record.event) ||
        !take(rest, R"(,"body":)")) {
        why = "The members of the record are not the expected ones in the expected order.";
        return std::nullopt;
    }
    record.body = std::string(rest);
    why = envelope_problem(record);
    if (why.empty() && !is_object_text(record.body)) {
        why = "The body is not a JSON object.";
    }
    if (!why.empty()) {
        return std::nullopt;
    }
    return record;
}

std::string torn_body(std::uint64_t offset, std::uint64_t bytes, std::string_view sha256) {
    return fmt::format(R"({{"offset":{},"bytes":{},"sha256":"{}"}})", offset, bytes, sha256);
}

void ChainVerifier::fail(std::uint64_t offset, std::string why) {
    if (report_.sound()) {
        report_.first_bad_seq = report_.head_seq + 1;
        report_.first_bad_offset = offset;
        report_.problem = std::move(why);
    }
}

void ChainVerifier::feed(std::string_view line, bool terminated) {
    const std::uint64_t offset = report_.bytes;
    report_.bytes += line.size() + (terminated ? 1 : 0);
    if (!report_.sound()) {
        return;  // only the first break is told; what follows it proves nothing
    }
    std::string why;
    auto record = parse_audit_line(line, why);
    if (record && !terminated) {
        // A whole record whose newline is missing: it counts once the next writer has ended it.
        record.reset();
        why = "The last line has no newline.";
    }
    if (!record) {
        if (pending_) {
            pending_->digest.update("\n");
            pending_->bytes += 1;
        } else {
            pending_.emplace(Pending{offset, 0, Sha256(), std::move(why), terminated});
        }
        pending_->digest.update(line);
        pending_->bytes += line.size();
        pending_->terminated = terminated;
        return;
    }
    if (pending_) {
        if (record->event != event::kLogTorn ||
            record->body != torn_body(pending_->offset, pending_->bytes, pending_->digest.hex())) {
            fail(pending_->offset, pending_->why);
            return;
        }
        pending_.reset();
        ++report_.torn_lines;
    }
    if (record->seq != report_.head_seq + 1) {
        fail(offset, fmt::format("Sequence number {} follows {}.", record->seq, report_.head_seq));
    } else if (record->prev != report_.head_hash) {
        fail(offset, "The previous hash is not the hash of the record before.");
    } else {
        report_.head_seq = record->seq;
        report_.head_hash = record->hash;
        ++report_.records;
    }
}

const ChainReport& ChainVerifier::finish() {
    if (pending_ && report_.sound()) {
        // A write that was cut off has no newline; a bad line that has one was not torn.
        if (pending_->terminated) {
            fail(pending_->offset, pending_->why);
        } else {
            report_.torn_tail = true;
        }
        pending_.reset();
    }
    return report_;
}

}  // namespace immbackup
