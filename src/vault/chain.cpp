#include "vault/chain.h"

#include "vault/failure.h"
#include "vault/json_check.h"
#include "vault/text.h"

namespace immbackup::vault {

namespace {

constexpr std::string_view kHashMark = ",\"hash\":\"";
constexpr std::size_t kTail = kHashMark.size() + 64 + 2;  // ,"hash":"…"}

bool take(std::string_view& text, std::string_view expected) {
    if (!text.starts_with(expected)) {
        return false;
    }
    text.remove_prefix(expected.size());
    return true;
}

// Everything up to the next quote, and the quote.
std::optional<std::string> take_quoted(std::string_view& text, std::size_t limit) {
    const auto end = text.substr(0, limit + 1).find('"');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    std::string out(text.substr(0, end));
    text.remove_prefix(end + 1);
    return out;
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
    const std::string_view digits = text.substr(0, text.find(','));
    text.remove_prefix(digits.size());
    const auto value = parse_number(digits);
    return value && *value > 0 ? value : std::nullopt;
}

std::optional<std::string> take_member(std::string_view& text, std::string_view before,
                                       std::size_t limit) {
    return take(text, before) ? take_quoted(text, limit) : std::nullopt;
}

}  // namespace

std::string format_line(Record& record) {
    if (!is_json_object(record.body)) {
        throw Failure{Code::usage, "the body is not one JSON object of printable ASCII", {}};
    }
    std::string line = "{\"seq\":" + std::to_string(record.seq) + ",\"time\":\"" + record.time +
                       "\",\"origin\":\"" + record.origin + "\",\"prev\":\"" + record.prev +
                       "\",\"event\":\"" + record.event + "\",\"body\":" + record.body;
    record.hash = sha256_hex(line);
    line += std::string(kHashMark) + record.hash + "\"}\n";
    if (line.size() > kMaxLine) {
        throw Failure{Code::usage, "the record is longer than a line of the log may be", {}};
    }
    return line;
}

std::optional<Record> parse_line(std::string_view line) {
    if (line.size() < kTail || line.size() + 1 > kMaxLine || !is_printable(line) ||
        !line.ends_with("\"}") || line.substr(line.size() - kTail, kHashMark.size()) != kHashMark) {
        return std::nullopt;
    }
    std::string_view rest = line.substr(0, line.size() - kTail);
    Record record;
    record.hash = std::string(line.substr(line.size() - 66, 64));
    if (record.hash != sha256_hex(rest) || !take(rest, "{\"seq\":")) {
        return std::nullopt;
    }
    const auto seq = take_number(rest);
    const auto time = take_member(rest, ",\"time\":\"", 24);
    const auto origin = take_member(rest, ",\"origin\":\"", 16);
    const auto prev = take_member(rest, ",\"prev\":\"", 64);
    const auto event = take_member(rest, ",\"event\":\"", 48);
    if (!seq || !time || !parse_time(*time) || !origin || !is_word(*origin, 16) || !prev ||
        !is_hex_digest(*prev) || !event || !is_word(*event, 48) || !take(rest, ",\"body\":") ||
        !is_json_object(rest)) {
        return std::nullopt;
    }
    return Record{*seq, *time, *origin, *prev, *event, std::string(rest), record.hash};
}

bool looks_torn(std::string_view line) {
    const bool ends_as_record = line.size() >= kTail && line.ends_with("\"}") &&
                                line.substr(line.size() - kTail, kHashMark.size()) == kHashMark;
    return line.size() < kMaxLine && (!ends_as_record || line.find('\0') != std::string_view::npos);
}

std::string torn_body(std::uint64_t offset, std::uint64_t bytes, const std::string& sha256) {
    return "{\"offset\":" + std::to_string(offset) + ",\"bytes\":" + std::to_string(bytes) +
           ",\"sha256\":\"" + sha256 + "\"}";
}

void ChainCheck::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        partial_ += bytes.substr(0, end);
        if (partial_.size() + 1 > kMaxLine) {
            fail("the line is longer than a record may be");
        }
        if (end == std::string_view::npos) {
            return;
        }
        line(partial_);
        offset_ += partial_.size() + 1;
        partial_.clear();
        bytes.remove_prefix(end + 1);
    }
}

void ChainCheck::line(std::string_view line) {
    const auto record = parse_line(line);
    if (!record) {
        if (!looks_torn(line)) {
            fail("the line is no sound record");
        }
        if (torn_) {
            torn_->sha.update(std::string_view("\n"));
            torn_->bytes += 1;
        } else {
            torn_.emplace(Torn{});
            torn_->offset = offset_;
        }
        torn_->sha.update(line);
        torn_->bytes += line.size();
        return;
    }
    if (torn_ &&
        (record->event != "log_torn" ||
         record->body != torn_body(torn_->offset, torn_->bytes, to_hex(torn_->sha.finish())))) {
        fail("the line before is torn, and not explained");
    }
    torn_.reset();
    if (record->seq != seq_ + 1 || record->prev != hash_) {
        fail("the record does not chain to the one before");
    }
    seq_ = record->seq;
    hash_ = record->hash;
}

void ChainCheck::finish() {
    if (!partial_.empty() || torn_ || seq_ == 0) {
        fail(seq_ == 0 ? "there is no record" : "the last line is torn");
    }
}

void ChainCheck::fail(const std::string& why) const {
    throw Failure{Code::audit,
                  "the log cannot be adopted: after record " + std::to_string(seq_) + " (offset " +
                      std::to_string(offset_) + "), " + why,
                  "`immbackup audit verify` on the plain store says more."};
}

}  // namespace immbackup::vault
