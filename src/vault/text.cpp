#include "vault/text.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace immbackup::vault {

namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kMaxToken = 3 * std::size_t{63};  // NAMEDATALEN - 1 bytes, all encoded
constexpr std::size_t kRunId = 16;

// Value of the %XX at `at`; -1 where there is none. Upper case only, as it is written.
int escaped_byte(std::string_view text, std::size_t at) {
    if (at + 2 >= text.size() || text[at] != '%') {
        return -1;
    }
    const auto high = kHex.find(text[at + 1]);
    const auto low = kHex.find(text[at + 2]);
    return high == std::string_view::npos || low == std::string_view::npos
               ? -1
               : static_cast<int>(high * 16 + low);
}

bool is_plain(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool is_value_char(char c) {
    return c > ' ' && c <= '~' && c != '%';
}

// `count` digits at `at`; -1 where there are none. The caller has checked the length.
int digits(std::string_view text, std::size_t at, std::size_t count) {
    int value = 0;
    for (const char c : text.substr(at, count)) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

std::optional<Millis> make_time(int year, int month, int day, int hour, int minute, int second) {
    if (year < 1970 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year{year},
                                           std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) {
        return std::nullopt;
    }
    const Millis days = std::chrono::sys_days{date}.time_since_epoch().count();
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

constexpr std::array<std::string_view, 2> kFormatSuffixes{".sql.gz", ".sql.zst"};
constexpr std::array<std::string_view, 3> kKindSuffixes{"", ".sha256", ".manifest.json"};

std::string suffix_of(FileKind kind, Format format) {
    return std::string(kFormatSuffixes.at(static_cast<std::size_t>(format))) +
           std::string(kKindSuffixes.at(static_cast<std::size_t>(kind)));
}

// The code point at `at`, which moves on; -1 where the bytes are not UTF-8 (RFC 3629).
int next_code_point(std::string_view text, std::size_t& at) {
    const auto first = static_cast<unsigned char>(text[at++]);
    if (first < 0x80) {
        return first;
    }
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || at + static_cast<std::size_t>(more) > text.size()) {
        return -1;
    }
    int point = first & (0x3F >> more);
    for (int i = 0; i < more; ++i) {
        const auto byte = static_cast<unsigned char>(text[at++]);
        if ((byte & 0xC0U) != 0x80) {
            return -1;
        }
        point = point << 6 | (byte & 0x3F);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    return overlong || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF) ? -1 : point;
}

std::string json_unit(int unit) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned>(unit) & 0xFFFFU);
    return text.data();
}

}  // namespace

std::string encode_value(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (is_value_char(c)) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += {'%', kHex[byte >> 4U], kHex[byte & 0xFU]};
        }
    }
    return out;
}

std::optional<std::string> decode_value(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (is_value_char(text[at])) {
            out += text[at];
            continue;
        }
        const int byte = escaped_byte(text, at);
        if (byte < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(byte);
        at += 2;
    }
    return out;
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t limit) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > limit ||
        (text[0] == '0' && text.size() > 1)) {
        return std::nullopt;
    }
    return value;
}

bool is_word(std::string_view text, std::size_t limit) {
    return !text.empty() && text.size() <= limit &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::optional<Millis> parse_time(std::string_view text) {
    if (text.size() != 24 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
        text[13] != ':' || text[16] != ':' || text[19] != '.' || text[23] != 'Z') {
        return std::nullopt;
    }
    const auto whole = make_time(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2),
                                 digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2));
    const int millis = digits(text, 20, 3);
    if (!whole || millis < 0) {
        return std::nullopt;
    }
    return *whole + millis;
}

std::string format_time(Millis time) {
    constexpr Millis kDay = 86'400'000;
    time = std::clamp<Millis>(time, 0, kForever);
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{time / kDay}}};
    const Millis rest = time % kDay;
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
                  static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()), static_cast<int>(rest / 3'600'000),
                  static_cast<int>(rest / 60'000 % 60), static_cast<int>(rest / 1000 % 60),
                  static_cast<int>(rest % 1000));
    return text.data();
}

bool is_token(std::string_view text) {
    if (text.empty() || text.size() > kMaxToken) {
        return false;
    }
    if (text == "%67lobals") {
        return true;
    }
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (is_plain(text[at])) {
            continue;
        }
        // One name has one encoding: what needs no escape has none.
        const int byte = escaped_byte(text, at);
        if (byte <= 0 || is_plain(static_cast<char>(byte))) {
            return false;
        }
        at += 2;
    }
    return true;
}

std::optional<std::string_view> token_of_stem(std::string_view stem) {
    if (stem.size() < kRunId || stem[8] != 'T' || stem[15] != 'Z' ||
        !make_time(digits(stem, 0, 4), digits(stem, 4, 2), digits(stem, 6, 2), digits(stem, 9, 2),
                   digits(stem, 11, 2), digits(stem, 13, 2))) {
        return std::nullopt;
    }
    if (stem.size() == kRunId) {
        return std::string_view{};
    }
    const std::string_view token = stem.substr(kRunId + 1);
    if (stem[kRunId] != '.' || !is_token(token)) {
        return std::nullopt;
    }
    return token;
}

const char* kind_name(FileKind kind) {
    return kind == FileKind::artifact ? "artifact"
           : kind == FileKind::digest ? "digest"
                                      : "manifest";
}

std::optional<Format> format_from_name(std::string_view name) {
    return name == "gzip"   ? std::optional(Format::gzip)
           : name == "zstd" ? std::optional(Format::zstd)
                            : std::nullopt;
}

std::string file_name(std::string_view stem, FileKind kind, Format format) {
    return std::string(stem) + suffix_of(kind, format);
}

std::optional<FileName> parse_file_name(std::string_view name) {
    for (const Format format : kFormats) {
        for (const FileKind kind : {FileKind::manifest, FileKind::digest, FileKind::artifact}) {
            const std::string suffix = suffix_of(kind, format);
            if (name.ends_with(suffix)) {
                const std::string_view stem = name.substr(0, name.size() - suffix.size());
                if (token_of_stem(stem)) {
                    return FileName{std::string(stem), kind, format};
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> json_string(std::string_view utf8) {
    std::string out = "\"";
    for (std::size_t at = 0; at < utf8.size();) {
        const int point = next_code_point(utf8, at);
        if (point < 0) {
            return std::nullopt;
        }
        if (point >= 0x10000) {
            out += json_unit(0xD800 + ((point - 0x10000) >> 10));
            out += json_unit(0xDC00 + ((point - 0x10000) & 0x3FF));
        } else if (point < ' ' || point > '~' || point == '"' || point == '\\') {
            out += json_unit(point);
        } else {
            out += static_cast<char>(point);
        }
    }
    return out + '"';
}

std::optional<Fields> parse_fields(std::string_view text) {
    Fields fields;
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(' '));
        const auto equals = item.find('=');
        if (equals == std::string_view::npos || !is_word(item.substr(0, equals), 32)) {
            return std::nullopt;
        }
        auto value = decode_value(item.substr(equals + 1));
        const std::string key(item.substr(0, equals));
        if (!value || value->empty() ||
            std::any_of(fields.begin(), fields.end(),
                        [&](const auto& f) { return f.first == key; })) {
            return std::nullopt;
        }
        fields.emplace_back(key, std::move(*value));
        text.remove_prefix(item.size());
        if (!text.empty()) {
            text.remove_prefix(1);
            if (text.empty()) {
                return std::nullopt;  // a space at the end
            }
        }
    }
    return fields;
}

std::string field(std::string_view key, std::string_view value) {
    return ' ' + std::string(key) + '=' + encode_value(value);
}

std::string field(std::string_view key, std::uint64_t value) {
    return field(key, std::to_string(value));
}

}  // namespace immbackup::vault
