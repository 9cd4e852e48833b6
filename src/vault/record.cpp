#include "vault/record.h"

#include <algorithm>

#include "vault/digest.h"

namespace immbackup::vault {

namespace {

constexpr std::string_view kVersion = "1";

}  // namespace

const char* level_name(Level level) {
    return level == Level::vault ? "vault" : level == Level::dac ? "vault-dac" : "none";
}

std::string format_record(const SealRecord& record) {
    return std::string(kVersion) + field("stem", record.stem) +
           field("file", kind_name(record.kind)) + field("database", record.database) +
           field("retain_until", format_time(record.retain_until)) +
           field("sealed", format_time(record.sealed)) + field("size", record.size) +
           field("sha256", record.sha256) + field("level", level_name(record.level));
}

RecordState parse_record(std::string_view text, SealRecord& record) {
    if (text.empty()) {
        return RecordState::absent;
    }
    const std::string_view version = text.substr(0, text.find(' '));
    if (version != kVersion) {
        return parse_number(version) ? RecordState::newer : RecordState::broken;
    }
    const auto fields = parse_fields(text.substr(std::min(version.size() + 1, text.size())));
    if (!fields) {
        return RecordState::broken;
    }
    SealRecord read;
    read.stem = value_of(*fields, "stem");
    for (const FileKind kind : kFileKinds) {
        read.kind = value_of(*fields, "file") == kind_name(kind) ? kind : read.kind;
    }
    read.database = value_of(*fields, "database");
    read.retain_until = parse_time(value_of(*fields, "retain_until")).value_or(0);
    read.sealed = parse_time(value_of(*fields, "sealed")).value_or(0);
    read.size = parse_number(value_of(*fields, "size")).value_or(0);
    read.sha256 = value_of(*fields, "sha256");
    read.level = value_of(*fields, "level") == level_name(Level::vault) ? Level::vault : Level::dac;
    // What is read is what would be written: no two texts mean the same, and what could not be read
    // is not what was there.
    if (!token_of_stem(read.stem) || !is_token(read.database) || !is_hex_digest(read.sha256) ||
        format_record(read) != text) {
        return RecordState::broken;
    }
    record = read;
    return RecordState::sound;
}

}  // namespace immbackup::vault
