// What the audit log says about the schedule: what was promised, which due times nobody served.
#pragma once

#include <string>

#include "core/health.h"
#include "core/settings.h"
#include "core/time.h"
#include "store/audit_log.h"

namespace immbackup {

// A `run_missed` record for each due time of the promise, as the log has it, that is neither served
// nor recorded as missed, up to `now`.
void record_missed(AuditLog& audit, Time now, const std::string& reason);

// A `schedule_changed` record where the promise from now on is another one than the log has.
void record_promise(AuditLog& audit, const Settings& settings, bool active);

}  // namespace immbackup
