// One line of backup_audit.jsonl and the rule by which lines chain (docs/formats.md; the same as
// src/core/audit_record.h). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vault/digest.h"

namespace immbackup::vault {

inline constexpr std::size_t kMaxLine = 256 * 1024;  // with its newline
inline constexpr const char* kOrigin = "vault";      // what only the helper writes

struct Record {
    std::uint64_t seq = 0;
    std::string time;
    std::string origin;
    std::string prev;
    std::string event;
    std::string body;
    std::string hash;
};

// The line with its newline; fills hash. Failure(usage) where the body is no JSON object of ASCII
// or the line would be too long.
std::string format_line(Record& record);
// A whole line without its newline, its own hash checked, its body a JSON object.
std::optional<Record> parse_line(std::string_view line);
// A bad line that a cut-off write can have left: its end is not that of a record.
bool looks_torn(std::string_view line);
std::string torn_body(std::uint64_t offset, std::uint64_t bytes, const std::string& sha256);

// Checks a log of somebody else's as it comes, in constant memory.
class ChainCheck {
  public:
    // Failure(audit) at the first line that does not belong, one that is torn and not explained by
    // the next record included.
    void feed(std::string_view bytes);
    // Failure(audit) where the last line has no newline, or there is no record.
    void finish();
    std::uint64_t seq() const { return seq_; }
    const std::string& hash() const { return hash_; }

  private:
    struct Torn {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        Sha256 sha;
    };
    void line(std::string_view line);
    [[noreturn]] void fail(const std::string& why) const;

    std::string partial_;
    std::uint64_t offset_ = 0;  // of the line that is coming
    std::uint64_t seq_ = 0;
    std::string hash_ = std::string(64, '0');
    std::optional<Torn> torn_;
};

}  // namespace immbackup::vault
