// The objects that an artifact has in the bucket, as its record names them.
#pragma once

#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/settings.h"

namespace immbackup {

struct RemoteObject {
    std::string file;
    std::string key;
    std::string version_id;
};
// The receipt last: what is left where a store lets only some of them go can still be told from
// what was never whole. Error(config) where they are in another bucket than the settings name now.
std::vector<RemoteObject> objects_of(const ArtifactEntry& entry, const S3Settings& settings);

}  // namespace immbackup
