// All that takes anything sealed away from the vault, and what ends a hold.
#pragma once

#include "vault/clock.h"
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

// Removes what a publication that was cut off left of a stem: not attested, not whole, not held,
// no flag, each file with a sound seal record, which it had before its name. What has no record of
// ours is nothing of ours to remove. False where there is no such thing; `removed` gets what is
// gone, also where the rest fails. The caller holds both locks, too.
struct RemovedFile {
    std::string name;
    std::uint64_t bytes = 0;
};
bool discard_unsealed(const Tree& tree, const Artifact& artifact,
                      std::vector<RemovedFile>& removed);

// Failure(permission) where remove_hold() would fail for want of the capability.
void check_releasable(const Fd& hold);
// Ends a hold; what is not held stays so. The caller holds Lock::removal.
void remove_hold(const Tree& tree, const std::string& stem);

}  // namespace immbackup::vault
