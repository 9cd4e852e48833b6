#include "vault/record.h"

#include <algorithm>

#include "vault/digest.h"

namespace immbackup::vault {

namespace {

constexpr std::string_view kVersion = "1";

std::optional<FileKind> kind_of(std::string_view name) {
    for (const FileKind kind : kFileKinds) {
        if (name == kind_name(kind)) {
            return kind;
        }
    }
    return std::nullopt;
}

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
    const auto fields =
        parse_fields(text.size() > version.size() ? text.substr(version.size() + 1) : "");
    if (!fields || fields->size() != 8) {
        return RecordState::broken;
    }
    const auto value = [&](std::string_view key) -> std::string {
        const auto found = std::find_if(fields->begin(), fields->end(),
                                        [&](const auto& f) { return f.first == key; });
        return found == fields->end() ? std::string{} : found->second;
    };
    const auto kind = kind_of(value("file"));
    const auto retain_until = parse_time(value("retain_until"));
    const auto sealed = parse_time(value("sealed"));
    const auto size = parse_number(value("size"));
    const auto token = token_of_stem(value("stem"));
    if (!kind || !retain_until || !sealed || !size || !token) {
        return RecordState::broken;
    }
    record = {value("stem"), *kind, value("database"), *retain_until,
              *sealed,       *size, value("sha256"),   Level::none};
    const std::string level = value("level");
    record.level = level == "vault"       ? Level::vault
                   : level == "vault-dac" ? Level::dac
                                          : Level::none;
    // What is read is what would be written: no two texts mean the same.
    return is_token(record.database) && is_hex_digest(record.sha256) &&
                   record.level != Level::none && format_record(record) == text
               ? RecordState::sound
               : RecordState::broken;
}

std::string format_hold(std::string_view stem, Millis time, std::uint64_t uid,
                        std::string_view actor, std::string_view reason) {
    return std::string(kVersion) + field("stem", stem) + field("time", format_time(time)) +
           field("uid", uid) + field("actor", actor) +
           (reason.empty() ? std::string{} : field("reason", reason));
}

}  // namespace immbackup::vault
