// The seal record: what the helper said of a file when it sealed it. It lies on the file itself, as
// the extended attribute kSealAttribute, frozen by the file's mode and flag; README.md has its
// form.
#pragma once

#include <string>
#include <string_view>

#include "vault/text.h"

namespace immbackup::vault {

inline constexpr const char* kSealAttribute = "user.immbackup.seal";
inline constexpr std::size_t kMaxSealRecord = 2048;

enum class Level { none, dac, vault };  // weakest first
const char* level_name(Level level);

struct SealRecord {
    std::string stem;
    FileKind kind = FileKind::artifact;
    std::string database;  // token
    Millis retain_until = 0;
    Millis sealed = 0;
    std::uint64_t size = 0;
    std::string sha256;  // hexadecimal
    Level level = Level::none;
};

enum class RecordState { absent, sound, newer, broken };  // newer: of a version we do not know

std::string format_record(const SealRecord& record);
RecordState parse_record(std::string_view text, SealRecord& record);

}  // namespace immbackup::vault
