// One line of backup_audit.jsonl as it is written (docs/formats.md; the same as
// src/core/audit_record.h), and what the next one chains to. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

// What the next record chains to.
struct Link {
    std::uint64_t seq = 0;
    std::string hash = std::string(64, '0');
};
// Of a whole line without its newline: its own hash holds, its number comes first, and its body is
// a JSON object. What else it says is for those who read the log.
std::optional<Link> parse_line(std::string_view line);
// A bad line that a cut-off write can have left: its end is not that of a record.
bool looks_torn(std::string_view line);
std::string torn_body(std::uint64_t offset, std::uint64_t bytes, const std::string& sha256);

}  // namespace immbackup::vault
