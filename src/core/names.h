// Names of the files of a run. A stem is the run id where the run's `databases` setting names
// exactly one database, otherwise "<run id>.<database>" with the database percent-encoded so
// that it stays one path segment; the globals are "<run id>.globals", kept apart from a
// database of that name, whose stem ends in "%67lobals".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace immbackup {

inline constexpr std::string_view kArtifactSuffix = ".sql.gz";
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
// The stem of "<stem>.sql.gz", "<stem>.sql.gz.sha256" or "<stem>.sql.gz.manifest.json".
std::optional<std::string> stem_of_file(std::string_view file_name);

inline std::string artifact_file(std::string_view stem) {
    return std::string(stem) + std::string(kArtifactSuffix);
}
inline std::string digest_file(std::string_view stem) {
    return artifact_file(stem) + std::string(kDigestSuffix);
}
inline std::string manifest_file(std::string_view stem) {
    return artifact_file(stem) + std::string(kManifestSuffix);
}

}  // namespace immbackup
