// All that is done in the bucket beside an artifact's own upload: what is pending is tried again,
// locks are extended, forgotten uploads are aborted, the audit log is anchored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backup/remote.h"
#include "backup/upload.h"
#include "core/time.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

// Multipart uploads that the log knows as begun and that no living job works on: aborted. The
// caller holds the directory lock, or knows that no other job uploads.
void abort_forgotten(Remote& remote, AuditLog& audit);

// The records since the last anchor, stored as locked objects
// "<prefix>/audit/<first>-<last>.jsonl".
void store_anchors(Remote& remote, AuditLog& audit);

// When a pending upload is tried next: with each failure later, at most an hour.
Time next_try(const ArtifactEntry& entry);
struct PendingUploads {
    std::uint64_t count = 0;
    std::optional<Time>
        next;  // when there is something to do in the bucket, the daily anchor included
};
PendingUploads pending_uploads(const Catalog& catalog, const Settings& settings, Time now);

struct UploadReport {
    std::vector<UploadResult> uploaded;
    struct Failed {
        std::string artifact;
        Error error;
    };
    std::vector<Failed> failed;
    std::uint64_t extended = 0;
};
// Uploads what is pending (with `all` also what was parked as failed, and without waiting for its
// time), extends locks, anchors. One failure does not keep the others from being tried, but for
// those that concern all of them.
UploadReport upload_pending(const Settings& settings, Store& store, AuditLog& audit, bool all,
                            const CancelToken& cancel, Progress& progress);

// Tells what an upload's end means; for runs and for later tries alike.
void tell_upload(const UploadResult& result, Progress& progress);

// Legal hold on, or off, all objects of an artifact that is in the bucket. Does nothing for others.
void set_legal_hold(const Settings& settings, AuditLog& audit, const std::string& artifact, bool on,
                    const CancelToken& cancel);

// After a hold or a release (backup/acts.h) was recorded: the same in the bucket. An error says
// that the local one holds all the same.
void follow_with_legal_hold(const Settings& settings, AuditLog& audit, const std::string& act,
                            const std::string& artifact, const CancelToken& cancel);

}  // namespace immbackup
