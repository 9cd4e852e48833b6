#include "core/names.h"

#include <algorithm>
#include <array>

#include "core/time.h"

namespace immbackup {

namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::string_view kDatabaseNamedGlobals = "%67lobals";

bool is_plain(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

}  // namespace

std::string percent_encode(std::string_view name) {
    std::string out;
    out.reserve(name.size());
    for (const char c : name) {
        if (is_plain(c)) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += kHex[byte >> 4U];
            out += kHex[byte & 0xFU];
        }
    }
    return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
    if (text == kDatabaseNamedGlobals) {
        return std::string(kGlobalsStem);
    }
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_plain(text[i])) {
            out += text[i];
            continue;
        }
        if (text[i] != '%' || i + 2 >= text.size()) {
            return std::nullopt;
        }
        const auto high = kHex.find(text[i + 1]);
        const auto low = kHex.find(text[i + 2]);
        if (high == std::string_view::npos || low == std::string_view::npos) {
            return std::nullopt;
        }
        const char byte = static_cast<char>(high * 16 + low);
        if (is_plain(byte)) {
            return std::nullopt;
        }
        out += byte;
        i += 2;
    }
    return out;
}

std::string subject_token(std::string_view database) {
    return database == kGlobalsStem ? std::string(kDatabaseNamedGlobals) : percent_encode(database);
}

std::string database_stem(std::string_view run_id, std::string_view database, bool sole) {
    std::string stem(run_id);
    if (!sole) {
        stem += '.';
        stem += subject_token(database);
    }
    return stem;
}

std::string globals_stem(std::string_view run_id) {
    std::string stem(run_id);
    stem += '.';
    stem += kGlobalsStem;
    return stem;
}

std::optional<StemParts> parse_stem(std::string_view stem) {
    constexpr std::size_t kRunIdLength = 16;
    StemParts parts;
    parts.run_id = std::string(stem.substr(0, kRunIdLength));
    if (!parse_run_id(parts.run_id)) {
        return std::nullopt;
    }
    if (stem.size() == kRunIdLength) {
        return parts;
    }
    if (stem[kRunIdLength] != '.' || stem.size() == kRunIdLength + 1) {
        return std::nullopt;
    }
    const std::string_view rest = stem.substr(kRunIdLength + 1);
    if (rest == kGlobalsStem) {
        parts.globals = true;
        return parts;
    }
    parts.database = percent_decode(rest);
    if (!parts.database) {
        return std::nullopt;
    }
    return parts;
}

std::optional<std::string> stem_of_file(std::string_view file_name) {
    for (const std::string_view last : {kManifestSuffix, kDigestSuffix, std::string_view{}}) {
        if (!file_name.ends_with(last)) {
            continue;
        }
        const std::string_view artifact = file_name.substr(0, file_name.size() - last.size());
        for (const DumpFormat format : kDumpFormats) {
            const std::string_view suffix = artifact_suffix(format);
            const auto stem =
                artifact.substr(0, artifact.size() - std::min(suffix.size(), artifact.size()));
            if (artifact.ends_with(suffix) && parse_stem(stem)) {
                return std::string(stem);
            }
        }
    }
    return std::nullopt;
}

std::string_view artifact_suffix(DumpFormat format) {
    return format == DumpFormat::zstd ? ".sql.zst" : ".sql.gz";
}

std::optional<DumpFormat> dump_format(std::string_view compression) {
    const std::string_view method = compression.substr(0, compression.find(':'));
    if (method == "gzip") {
        return DumpFormat::gzip;
    }
    return method == "zstd" ? std::optional(DumpFormat::zstd) : std::nullopt;
}

std::string artifact_file(std::string_view stem, DumpFormat format) {
    return std::string(stem) + std::string(artifact_suffix(format));
}
std::string digest_file(std::string_view stem, DumpFormat format) {
    return artifact_file(stem, format) + std::string(kDigestSuffix);
}
std::string manifest_file(std::string_view stem, DumpFormat format) {
    return artifact_file(stem, format) + std::string(kManifestSuffix);
}

}  // namespace immbackup
