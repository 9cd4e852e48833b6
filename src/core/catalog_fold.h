// For the files that fold records into the catalog: members of a body, looked at with a type and a
// default, since anybody may have changed the file; and what is in a file of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "core/catalog.h"
#include "core/json.h"
#include "core/time.h"

namespace immbackup::fold {

inline std::string text(const RecordJson& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

inline std::uint64_t number(const RecordJson& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

inline bool flag(const RecordJson& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_boolean() && found->get<bool>();
}

inline std::optional<ErrorText> error_of(const RecordJson& json) {
    const auto found = json.find("error");
    if (found == json.end() || !found->is_object()) {
        return std::nullopt;
    }
    return ErrorText{text(*found, "code"), text(*found, "message"), text(*found, "detail"),
                     text(*found, "hint")};
}

// Of what anybody may have changed only a real time counts.
inline void raise_time(std::string& newest, const std::string& time) {
    if (parse_time(time)) {
        newest = std::max(newest, time);
    }
}

// Uploads, locks, legal holds (catalog_uploads.cpp).
void upload(Catalog& catalog, const AuditRecord& record, const RecordJson& body);
void anchor(Catalog& catalog, const AuditRecord& record, const RecordJson& body);
void locks_tried(Catalog& catalog, const AuditRecord& record, const RecordJson& body);

}  // namespace immbackup::fold
