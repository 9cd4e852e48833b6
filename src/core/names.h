// Names of the files of a run. A stem is the run id where the run's `databases` setting names
// exactly one database, otherwise "<run id>.<database>" with the database percent-encoded so
// that it stays one path segment; the globals are "<run id>.globals", kept apart from a
// database of that name, whose stem ends in "%67lobals".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace immbackup {

// How a dump is compressed; decides how its files are called.
enum class DumpFormat { gzip, zstd };
inline constexpr std::array kDumpFormats{DumpFormat::gzip, DumpFormat::zstd};
// ".sql.gz", ".sql.zst": what follows the stem.
std::string_view artifact_suffix(DumpFormat format);
// Of a manifest's "compression", as "gzip:1"; nothing for what this version does not know.
std::optional<DumpFormat> dump_format(std::string_view compression);

inline constexpr std::string_view kDigestSuffix = ".sha256";           // after the artifact's name
inline constexpr std::string_view kManifestSuffix = ".manifest.json";  // after the artifact's name
inline constexpr std::string_view kGlobalsStem = "globals";

// Bytes other than [A-Za-z0-9_-] become %XX (upper-case). The result is never empty for a
// non-empty name, has no dot, slash or white space, and is at most three times as long.
std::string percent_encode(std::string_view name);
// Inverse; nothing where the text is not what percent_encode writes (or "%67lobals").
std::optional<std::string> percent_decode(std::string_view text);

// A database as it stands in a stem; never "globals".
std::string subject_token(std::string_view database);
// Stem of an artifact. `sole` says that the run's setting names exactly this one database.
std::string database_stem(std::string_view run_id, std::string_view database, bool sole);
std::string globals_stem(std::string_view run_id);

struct StemParts {
    std::string run_id;
    std::optional<std::string>
        database;  // absent where the stem is the run id alone, and for globals
    bool globals = false;
};
// What a stem says by itself; nothing where it is not one of ours.
std::optional<StemParts> parse_stem(std::string_view stem);
// The stem of "<stem>.sql.gz", "<stem>.sql.gz.sha256" or "<stem>.sql.gz.manifest.json", and of the
// same with .sql.zst.
std::optional<std::string> stem_of_file(std::string_view file_name);

// The three files of an artifact: nothing else makes these names.
std::string artifact_file(std::string_view stem, DumpFormat format);
std::string digest_file(std::string_view stem, DumpFormat format);
std::string manifest_file(std::string_view stem, DumpFormat format);
inline std::array<std::string, 3> artifact_files(std::string_view stem, DumpFormat format) {
    return {artifact_file(stem, format), digest_file(stem, format), manifest_file(stem, format)};
}

}  // namespace immbackup
