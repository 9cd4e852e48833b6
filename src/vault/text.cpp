#include "vault/text.h"

#include <algorithm>
#include <charconv>
#include <ctime>

namespace immbackup::vault {

namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kMaxToken = 3 * std::size_t{63};  // NAMEDATALEN - 1 bytes, all encoded
constexpr std::size_t kRunId = 16;
constexpr const char* kSeconds = "%Y-%m-%dT%H:%M:%S";

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

std::string utc(Millis time, const char* format) {
    const std::time_t seconds = time / 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), format, &parts);
    return text.data();
}

// Of what utc() wrote: no other text means the same.
std::optional<Millis> read_utc(std::string_view text, const char* format) {
    std::tm parts{};
    if (::strptime(std::string(text).c_str(), format, &parts) == nullptr) {
        return std::nullopt;
    }
    const Millis time = Millis{::timegm(&parts)} * 1000;
    return time >= 0 && utc(time, format) == text ? std::optional(time) : std::nullopt;
}

constexpr std::array<std::string_view, 2> kFormatSuffixes{".sql.gz", ".sql.zst"};
constexpr std::array<std::string_view, 3> kKindSuffixes{"", ".sha256", ".manifest.json"};

std::string suffix_of(FileKind kind, Format format) {
    return std::string(kFormatSuffixes.at(static_cast<std::size_t>(format))) +
           std::string(kKindSuffixes.at(static_cast<std::size_t>(kind)));
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
    const std::size_t dot = std::min(text.find('.'), text.size());
    const auto whole = read_utc(text.substr(0, dot), kSeconds);
    // Three digits: a one before them, since numbers have no leading zeros.
    const auto millis =
        parse_number("1" + std::string(text.substr(std::min(dot + 1, text.size()), 3)));
    if (!whole || !millis) {
        return std::nullopt;
    }
    const Millis time = *whole + static_cast<Millis>(*millis) - 1000;
    return format_time(time) == text ? std::optional(time) : std::nullopt;
}

std::string format_time(Millis time) {
    time = std::clamp<Millis>(time, 0, kForever);
    return utc(time, kSeconds) + '.' + std::to_string(1000 + time % 1000).substr(1) + 'Z';
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
    if (!read_utc(stem.substr(0, kRunId), "%Y%m%dT%H%M%SZ")) {
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
    constexpr std::array kNames{"artifact", "digest", "manifest"};
    return kNames.at(static_cast<std::size_t>(kind));
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

std::optional<Fields> parse_fields(std::string_view text) {
    Fields fields;
    for (bool more = !text.empty(); more;) {
        const std::string_view item = text.substr(0, text.find(' '));
        more = item.size() < text.size();
        text.remove_prefix(item.size() + (more ? 1 : 0));
        const std::string key(item.substr(0, item.find('=')));
        const auto value = decode_value(item.substr(std::min(key.size() + 1, item.size())));
        if (!is_word(key, 32) || !value || value->empty() || !fields.emplace(key, *value).second) {
            return std::nullopt;
        }
    }
    return fields;
}

std::string_view value_of(const Fields& fields, std::string_view key) {
    const auto found = fields.find(key);
    return found == fields.end() ? std::string_view{} : std::string_view{found->second};
}

std::string field(std::string_view key, std::string_view value) {
    return ' ' + std::string(key) + '=' + encode_value(value);
}

std::string field(std::string_view key, std::uint64_t value) {
    return field(key, std::to_string(value));
}

}  // namespace immbackup::vault
