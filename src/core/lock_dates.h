// Until when the objects of an artifact are locked, and what has to be done about it when. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "core/catalog.h"
#include "core/time.h"

namespace immbackup {

// Locks are extended while this much of them is left: jobs may fail for some days.
inline constexpr std::chrono::days kExtendBefore{3};

// Its lock has ended, though the artifact is still to be kept (its retention, or a hold).
bool lock_is_over(const ArtifactEntry& entry, Time now);

// ArtifactEntry::upload, but "expired" where lock_is_over().
std::string_view upload_state(const ArtifactEntry& entry, Time now);

// When a lock that ends before its artifact may go is to be extended: in its last three days, and
// not before that gains something worth a record. Nothing: it need not be.
std::optional<Time> extension_due(const ArtifactEntry& entry, int lock_days);
// Until when, where the store may hold it until `longest`. Nothing: it is held long enough.
std::optional<Time> extended_until(const ArtifactEntry& entry, Time longest);

}  // namespace immbackup
