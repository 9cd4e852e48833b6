// Locks of what is in the bucket already: lengthened while the artifact is kept longer, proven
// where they were not, and with s3_prune the objects deleted when they are over.
#pragma once

#include <optional>

#include "backup/uploads.h"

namespace immbackup {

// When there is something to do about a lock; what could not be done is tried again after an hour.
std::optional<Time> locks_due(const Catalog& catalog, const S3Settings& settings);

// Does all of it that is due (with `all` also what waits for its next try). What goes wrong with
// one artifact keeps no other from its turn: it is recorded, and told as an alarm when it is new.
// Throws for what ends the job: cancellation, a record that cannot be written.
void keep_locks(Remote& remote, AuditLog& audit, bool all, const CancelToken& cancel,
                Progress& progress, UploadReport& report);

}  // namespace immbackup
