#include "backup/remote_objects.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "core/receipt.h"

namespace immbackup {

std::vector<RemoteObject> objects_of(const ArtifactEntry& entry, const S3Settings& settings) {
    std::vector<RemoteObject> out;
    const auto json = RecordJson::parse(entry.objects, nullptr, false);
    if (!json.is_object()) {
        return out;
    }
    for (const auto& [file, object] : json.items()) {
        if (object.is_object() && object.contains("key") && object.contains("version_id") &&
            object["key"].is_string() && object["version_id"].is_string()) {
            const auto bucket = object.find("bucket");
            if (bucket != object.end() && *bucket != settings.bucket) {
                throw Error(
                    ErrorCode::config,
                    fmt::format("it is in bucket {}, which the settings do not name any more",
                                bucket->dump(-1, ' ', true, RecordJson::error_handler_t::replace)));
            }
            out.push_back(
                {file, object["key"].get<std::string>(), object["version_id"].get<std::string>()});
        }
    }
    // The receipt last: it says where the others are.
    std::stable_partition(out.begin(), out.end(), [](const RemoteObject& object) {
        return !object.file.ends_with(kReceiptSuffix);
    });
    return out;
}

}  // namespace immbackup
