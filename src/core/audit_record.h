// One line of backup_audit.jsonl, and the rule by which the lines chain:
//
//   {"seq":N,"time":"…","origin":"…","prev":"<hex>","event":"…","body":{…},"hash":"<hex>"}
//
// in exactly this order and spacing, printable ASCII only (other characters are \u escapes inside
// body), at most kMaxAuditLine bytes with its newline. `hash` is SHA-256 of the line's bytes up
// to and without `,"hash":`. `prev` is the hash of the record before, 64 zeros for the first; seq
// starts at 1 and counts by one. The envelope is read and written without a JSON library, so that a
// server process and the privileged helper can do it too. docs/formats.md is the public text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/digest.h"

namespace immbackup {

inline constexpr std::size_t kMaxAuditLine = 256 * 1024;
inline constexpr std::string_view kZeroHash =
    "0000000000000000000000000000000000000000000000000000000000000000";

// Of records that the vault's helper made by itself; nobody else can write one.
inline constexpr std::string_view kVaultOrigin = "vault";

struct AuditRecord {
    std::uint64_t seq = 0;
    std::string time;    // format_time()
    std::string origin;  // who wrote it: "job", "cli", "vault"; [a-z_]{1,16}
    std::string prev;
    std::string event;  // [a-z0-9_]{1,48}
    std::string body;   // a JSON object on one line, ASCII
    std::string hash;
};

// The line with its newline; fills record.hash. Throws Error(internal) where a field breaks the
// grammar above or the line would be too long: the caller bounds its bodies.
std::string format_audit_line(AuditRecord& record);

// Reads the envelope of one line (without newline). On failure returns nothing and says why in
// one sentence. Checks the grammar and the record's own hash, not its place in the chain. The body
// is only checked to begin with '{' and to end with '}'; who uses it parses it.
std::optional<AuditRecord> parse_audit_line(std::string_view line, std::string& why);

// Walks a log from its beginning, line by line, in constant memory.
//
// What a write cut off by a power failure left cannot be removed from an append-only file. It
// stays, and the next record, `log_torn`, names its offset, length and SHA-256 (everything between
// the last whole record and the newline before the `log_torn` record) and chains to the last whole
// record: that is not a break. A last line without newline, not yet followed by a `log_torn`, is a
// `torn_tail`.
struct ChainReport {
    std::uint64_t records = 0;  // whole, well chained records
    std::uint64_t head_seq = 0;
    std::string head_hash = std::string(kZeroHash);
    std::uint64_t bytes = 0;       // read so far, including newlines
    std::uint64_t torn_lines = 0;  // explained by log_torn records
    bool torn_tail = false;
    // The first break; absent where the chain is sound.
    std::optional<std::uint64_t> first_bad_seq;  // the sequence number expected there
    std::uint64_t first_bad_offset = 0;
    std::string problem;  // a sentence, empty where sound
    bool sound() const { return problem.empty(); }
};

// The body of a log_torn record, byte for byte.
std::string torn_body(std::uint64_t offset, std::uint64_t bytes, std::string_view sha256);

class ChainVerifier {
  public:
    // `line` without its newline; `terminated` is false for a last line without newline.
    void feed(std::string_view line, bool terminated = true);
    // Call once after the last line.
    const ChainReport& finish();
    const ChainReport& report() const { return report_; }

  private:
    struct Pending {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        Sha256 digest;
        std::string why;
        bool terminated = false;
    };
    void fail(std::uint64_t offset, std::string why);

    ChainReport report_;
    std::optional<Pending> pending_;  // bad lines that a log_torn record may yet explain
};

}  // namespace immbackup
