// Are the artifacts still what they were? What bears the stamp under which it was last found is not
// read again; what does not is verified, and recorded once.
#pragma once

#include "io/cancel.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

// Raises an alarm for what is found missing or corrupt; what had merely lost its seal is sealed
// again. The caller holds the directory lock.
void inspect_artifacts(Store& store, AuditLog& audit, const CancelToken& cancel,
                       Progress& progress);

}  // namespace immbackup
