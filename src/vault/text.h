// The small grammars that requests, records, configuration and file names are made of. Pure; all
// of it reads what an attacker wrote.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace immbackup::vault {

using Millis = std::int64_t;                             // since 1970, or a duration
inline constexpr Millis kForever = 253'402'300'799'999;  // the last of year 9999

// Values of the protocol and of records: bytes other than printable ASCII, space and % are %XX.
std::string encode_value(std::string_view value);
std::optional<std::string> decode_value(std::string_view text);

// Decimal, no sign, no leading zeros, at most `limit`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t limit = INT64_MAX);
bool is_word(std::string_view text, std::size_t limit);  // [a-z0-9_]
bool is_printable(std::string_view text);                // ASCII, space included

// Exactly 2026-01-18T12:00:00.000Z; years 1970 to 9999.
std::optional<Millis> parse_time(std::string_view text);
std::string format_time(Millis time);

// A database as it stands in a stem (docs/formats.md), "globals" and "%67lobals" included.
bool is_token(std::string_view text);
// The token of a stem, empty where it is the run id alone; nothing where it is no stem.
std::optional<std::string_view> token_of_stem(std::string_view stem);

enum class FileKind { artifact, digest, manifest };
inline constexpr std::array<FileKind, 3> kFileKinds{FileKind::artifact, FileKind::digest,
                                                    FileKind::manifest};
const char* kind_name(FileKind kind);
// How the dump is compressed: it is in the names of all three files.
enum class Format { gzip, zstd };
inline constexpr std::array<Format, 2> kFormats{Format::gzip, Format::zstd};
std::optional<Format> format_from_name(std::string_view name);  // "gzip", "zstd"
std::string file_name(std::string_view stem, FileKind kind, Format format);
struct FileName {
    std::string stem;
    FileKind kind;
    Format format;
};
std::optional<FileName> parse_file_name(std::string_view name);

// "key=value" fields, separated by single spaces, values encoded; nothing where one is malformed or
// a key comes twice.
using Fields = std::map<std::string, std::string, std::less<>>;
std::optional<Fields> parse_fields(std::string_view text);
// Empty where it is absent.
std::string_view value_of(const Fields& fields, std::string_view key);
// " key=value"
std::string field(std::string_view key, std::string_view value);
std::string field(std::string_view key, std::uint64_t value);

}  // namespace immbackup::vault
