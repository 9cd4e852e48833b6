// The artifacts of a directory: what the audit log says, checked against the files, and what the
// files say where there is no log.
#pragma once

#include <string>
#include <vector>

#include "core/catalog.h"
#include "store/store.h"

namespace immbackup {

// In the order they were taken. States: as recorded (good, missing, corrupt); `missing` where one
// of the three files is gone; pruned ones are left out; `unrecorded` where a manifest is there and
// the log has no record of it; `unreadable` where that manifest cannot be read.
std::vector<ArtifactEntry> list_artifacts(const Store& store);
// The newest good one of a database; Error(not_found).
std::string latest_artifact(const Store& store, const std::string& database);

}  // namespace immbackup
