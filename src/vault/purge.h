// How an artifact leaves the vault.
#pragma once

#include "vault/session.h"

namespace immbackup::vault {

struct Removed {
    std::uint64_t bytes = 0;
    Appended said;  // artifact_pruned
};

// Checks all that keeps an artifact, and removes it. Failure(permission) with the reason why it
// stays. The caller holds Lock::publication and Lock::removal.
Removed remove_artifact(const Session& session, const Artifact& artifact, const ClockState& clock,
                        const std::string& reason);

}  // namespace immbackup::vault
