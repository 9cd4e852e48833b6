// From unnamed files to a sealed artifact, and what is left where that is cut off.
#pragma once

#include <array>

#include "vault/read_back.h"
#include "vault/session.h"

namespace immbackup::vault {

// One of the three files, written and synced, before it has a name.
struct Unnamed {
    Fd fd;
    std::uint64_t size = 0;
    Digest sha256{};
};

// Seal records, modes, names (manifest last), flags, read-back under the flags, attestation.
// `seal` says what all three have in common. On a failure nothing is attested and nothing taken
// back, neither flag nor name: recover finishes or removes what is left.
Appended publish(const Session& session, const SealRecord& seal, Format format,
                 std::array<Unnamed, 3> files);

// Sets the flags that the records state and that are not there.
void flag_all(const Tree& tree, const Artifact& artifact);

// Reads everything back under the flags, and says so in the log and in records/: from the device
// where it is recovered, perhaps from the page cache after put, which read it from the device
// before. Failure(corrupt) where something is not what its record states.
Appended prove_and_attest(const Session& session, const Artifact& artifact, ReadFrom from);

}  // namespace immbackup::vault
