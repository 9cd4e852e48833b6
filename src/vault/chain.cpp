#include "vault/chain.h"

#include "vault/digest.h"
#include "vault/failure.h"
#include "vault/json_check.h"
#include "vault/text.h"

namespace immbackup::vault {

namespace {

constexpr std::string_view kSeqMark = "{\"seq\":";
constexpr std::string_view kBodyMark = ",\"body\":";
constexpr std::string_view kHashMark = ",\"hash\":\"";
constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kTail = kHashMark.size() + kHashDigits + 2;  // ,"hash":"…"}

bool ends_as_record(std::string_view line) {
    return line.size() >= kTail && line.ends_with("\"}") &&
           line.substr(line.size() - kTail).starts_with(kHashMark);
}

}  // namespace

std::string format_line(Record& record) {
    if (!is_json_object(record.body)) {
        throw Failure{Code::usage, "the body is not one JSON object of printable ASCII"};
    }
    std::string line = std::string(kSeqMark) + std::to_string(record.seq) + ",\"time\":\"" +
                       record.time + "\",\"origin\":\"" + record.origin + "\",\"prev\":\"" +
                       record.prev + "\",\"event\":\"" + record.event + '"' +
                       std::string(kBodyMark) + record.body;
    record.hash = sha256_hex(line);
    line += std::string(kHashMark) + record.hash + "\"}\n";
    if (line.size() > kMaxLine) {
        throw Failure{Code::usage, "the record is longer than a line of the log may be"};
    }
    return line;
}

std::optional<Link> parse_line(std::string_view line) {
    if (line.size() >= kMaxLine || !is_printable(line) || !ends_as_record(line)) {
        return std::nullopt;
    }
    const std::string_view hashed = line.substr(0, line.size() - kTail);
    const std::string_view hash = line.substr(hashed.size() + kHashMark.size(), kHashDigits);
    const auto body = hashed.find(kBodyMark);
    if (hash != sha256_hex(hashed) || !hashed.starts_with(kSeqMark) ||
        body == std::string_view::npos ||
        !is_json_object(hashed.substr(body + kBodyMark.size()), Surrogates::lone)) {
        return std::nullopt;
    }
    const std::string_view rest = hashed.substr(kSeqMark.size());
    const auto seq = parse_number(rest.substr(0, rest.find(',')));
    return seq && *seq > 0 ? std::optional(Link{*seq, std::string(hash)}) : std::nullopt;
}

bool looks_torn(std::string_view line) {
    return line.size() < kMaxLine &&
           (!ends_as_record(line) || line.find('\0') != std::string_view::npos);
}

std::string torn_body(std::uint64_t offset, std::uint64_t bytes, const std::string& sha256) {
    return "{\"offset\":" + std::to_string(offset) + ",\"bytes\":" + std::to_string(bytes) +
           ",\"sha256\":\"" + sha256 + "\"}";
}

}  // namespace immbackup::vault
