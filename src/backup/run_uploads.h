// The uploads of a run, beside its dumps: nothing here ever delays a dump or fails it. The bucket
// is looked at in the background; from then on an upload follows the dump that is written; what
// could not begin in time is uploaded from the published file when all dumps are done.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backup/remote.h"
#include "backup/upload.h"
#include "io/cancel_link.h"
#include "io/progress.h"

namespace immbackup {

class RunUploads {
  public:
    // Nothing is done where no bucket is set.
    RunUploads(const Settings& settings, Store& store, AuditLog& audit, const CancelToken& cancel,
               Progress& progress);
    ~RunUploads();
    RunUploads(const RunUploads&) = delete;
    RunUploads& operator=(const RunUploads&) = delete;

    bool wanted() const { return !settings_.s3.bucket.empty(); }
    // Looks at the bucket, in the background.
    void prepare();
    // The first bytes of an artifact are written.
    void begin(const StagedArtifact& staged, const std::string& stem);
    void grown_to(std::uint64_t bytes);
    void sealed(const Manifest& manifest);
    void failed();  // the one that was begun comes to nothing
    // Finishes them all, within s3_upload_timeout; what remains is pending. Returns what a run that
    // requires its uploads fails with. Throws where a record cannot be written.
    std::optional<Error> finish();
    // After the end of the run is recorded.
    void anchor();

  private:
    struct Task {
        Manifest manifest;
        std::unique_ptr<ArtifactUpload> upload;  // null: not begun yet
    };
    void follow();
    void finish_one(Task& task);
    void note(const std::string& stem, const Error& error);

    const Settings& settings_;
    Store& store_;
    AuditLog& audit_;
    Progress& progress_;
    CancelToken stop_;  // of the uploads alone
    std::unique_ptr<CancelLink> link_;
    std::optional<DirectoryLock> lock_;
    std::unique_ptr<Remote> remote_;
    std::thread preparation_;
    std::atomic<bool> prepared_{false};
    std::optional<Error> problem_;  // of the preparation; read after it was joined
    s3::LockTerms terms_;
    std::mutex mutex_;  // guards what follows while the bucket is looked at
    Fd file_;           // what is being written, and not followed yet
    std::string stem_;
    std::uint64_t bytes_ = 0;  // of it, so far
    std::unique_ptr<ArtifactUpload> current_;
    std::vector<std::unique_ptr<ArtifactUpload>> abandoned_;  // still to be aborted
    std::deque<Task> tasks_;
    std::optional<Error> first_error_;
    std::vector<std::string> not_locked_;
};

}  // namespace immbackup
