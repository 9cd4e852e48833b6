// All that is done in the bucket beside an artifact's own upload: what is pending is tried again,
// locks are kept (backup/locks.h), forgotten uploads are aborted, the audit log is anchored.
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

// The artifact that a multipart upload of this name under the prefix is for, where only this
// instance can have begun it: named for one of its runs, in any format of a dump, or for a probe.
std::optional<std::string> own_upload(const Catalog& catalog, std::string_view name);

// Multipart uploads that no living job works on, aborted: those that the log knows as begun, and
// those of this instance's runs that the bucket lists (a job may be killed between the store's
// answer and the record). Never another's. The caller holds the upload lock.
void abort_forgotten(Remote& remote, AuditLog& audit);

// The records since the last anchor, stored as locked objects
// "<prefix>/audit/<first>-<last>.jsonl". One that is not proven locked is told as an alarm, and
// stored again with what came after it, but for `at_once` only after a day: each try is an object
// more.
void store_anchors(Remote& remote, AuditLog& audit, bool at_once, Progress& progress);

// The audit log is anchored at least so often, and a piece that is not proven locked no oftener.
inline constexpr std::chrono::hours kAnchorEvery{24};

// When a pending upload is tried next: with each failure later, at most an hour.
Time next_try(const ArtifactEntry& entry);
struct PendingUploads {
    std::uint64_t count = 0;
    std::optional<Time>
        next;  // when there is something to do in the bucket: an upload, a lock, the daily anchor
};
// `stopped`: a pass has just been stopped by something that concerns all of them; then there is a
// pause before the next, as long as that of the artifact that was tried most often.
PendingUploads pending_uploads(const Catalog& catalog, const Settings& settings, Time now,
                               bool stopped = false);

struct UploadReport {
    std::vector<UploadResult> uploaded;
    struct Failed {
        std::string artifact;
        Error error;
    };
    std::vector<Failed> failed;
    std::vector<UploadResult> proven;  // what was not locked, looked at again
    std::uint64_t extended = 0;        // locks
};
// Uploads what is pending (with `all` also what was parked as failed, and without waiting for its
// time), keeps locks, anchors. The failure of one does not keep the others from being tried; what
// concerns all of them (no bucket, no credentials, no answer) is recorded for the first of them,
// and thrown.
UploadReport upload_pending(const Settings& settings, Store& store, AuditLog& audit, bool all,
                            const CancelToken& cancel, Progress& progress);

// Tells what an upload's end means; for runs and for later tries alike.
void tell_upload(const UploadResult& result, Progress& progress);

// Likewise of what Remote::prepare() found.
void tell_finding(Remote& remote, Progress& progress);

// Legal hold on, or off, all objects of an artifact that is in the bucket. Does nothing for others.
void set_legal_hold(const Settings& settings, AuditLog& audit, const std::string& artifact, bool on,
                    const CancelToken& cancel);

// After a hold or a release (backup/acts.h) was recorded: the same in the bucket. An error says
// that the local one holds all the same.
void follow_with_legal_hold(const Settings& settings, AuditLog& audit, const std::string& act,
                            const std::string& artifact, const CancelToken& cancel);

}  // namespace immbackup
