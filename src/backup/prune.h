// Removing what may be removed: plan (core/prune_plan.h), then, for each artifact, a record that it
// will be removed, the removal, and a record that it was. Killed at any point, the next prune
// finishes what has begun.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/settings.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

struct PruneReport {
    struct Pruned {
        std::string artifact;
        std::uint64_t bytes = 0;
        std::string reason;
    };
    std::vector<Pruned> pruned;
    std::vector<std::string> failed;  // could not be removed; the next prune tries again
    struct Refused {
        std::string artifact;
        std::string reason;
    };
    std::vector<Refused> refused;  // the vault keeps it; the next prune asks again
    std::uint64_t extended = 0;    // artifacts that a longer setting keeps longer
    std::string blocked;           // why nothing may be removed, or empty
};

// The caller holds the directory lock. Throws where a record cannot be written, and on
// cancellation.
PruneReport prune(Store& store, AuditLog& audit, const Settings& settings,
                  const CancelToken& cancel, Progress& progress);

// The same beside a run, which does not fail because of it: errors become alarms.
void prune_after(Store& store, AuditLog& audit, const Settings& settings, const CancelToken& cancel,
                 Progress& progress);

}  // namespace immbackup
