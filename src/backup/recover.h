// recover() of backup/run.h as a run needs it at its own beginning.
#pragma once

#include <string>
#include <string_view>

#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

// Files of others are no reason for a record in every run: a run makes a warning of them.
enum class ForeignFiles { record, leave };

// Runs without an end, other than own_run, are closed with `reason` (a sentence) as failed.
SweepReport recover_leftovers(Store& store, AuditLog& audit, const std::string& reason,
                              std::string_view own_run, ForeignFiles foreign);

}  // namespace immbackup
