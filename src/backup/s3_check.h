// What bucket, store and credentials can do, as rows; recorded, so that it can be shown later.
#pragma once

#include <vector>

#include "core/settings.h"
#include "io/cancel.h"
#include "s3/preflight.h"
#include "store/audit_log.h"

namespace immbackup {

// The preflight's rows, and what the settings lead to: objects and bytes under lock once as many
// come as go. Error(config) where no bucket is set.
std::vector<s3::CheckRow> check_s3(const Settings& settings, AuditLog& audit, s3::Depth depth,
                                   const CancelToken& cancel);

}  // namespace immbackup
