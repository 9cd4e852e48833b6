// Moving what the plain store holds into the vault: copied, sealed, recorded, and only then removed
// there. Killed at any point, the next import goes on.
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

struct ImportReport {
    struct Imported {
        std::string artifact;
        std::uint64_t bytes = 0;
        std::string seal;
        std::string retain_until;
    };
    std::vector<Imported> imported;
    struct Left {
        std::string artifact;
        std::string reason;
        bool failed = false;  // otherwise its time is over, and a prune removes it
    };
    std::vector<Left> left;
};

// The caller holds the directory lock. Error(config) where the store is no vault; throws what
// concerns all artifacts (space, audit log, cancellation), after as many as were moved.
ImportReport import_artifacts(Store& store, AuditLog& audit, const Settings& settings,
                              const CancelToken& cancel, Progress& progress);

}  // namespace immbackup
