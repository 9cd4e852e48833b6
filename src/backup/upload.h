// One artifact on its way into the bucket: the dump follows the file while it grows; when the local
// artifact is proven, sealed and recorded, it is completed, proven locked, and followed by its
// checksum file, its manifest and a receipt, each proven, each recorded.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backup/remote.h"
#include "core/manifest.h"
#include "io/progress.h"
#include "s3/lock_proof.h"
#include "s3/uploader.h"
#include "store/store.h"

namespace immbackup {

struct UploadResult {
    std::string artifact;
    s3::LockState state = s3::LockState::unproven;
    std::string reason;  // why it is not locked
    std::string locked_until;
    std::string finding;  // something that is not ours stands under our name
};

class ArtifactUpload {
  public:
    // Of an artifact, which may still be written: begins as soon as there is something to read.
    ArtifactUpload(Remote& remote, AuditLog& audit, std::string stem, DumpFormat format,
                   const s3::LockTerms& terms, Fd file);
    // Abandons what was not finished.
    ~ArtifactUpload();
    ArtifactUpload(const ArtifactUpload&) = delete;
    ArtifactUpload& operator=(const ArtifactUpload&) = delete;

    const std::string& stem() const { return stem_; }
    s3::Growth& growth() { return growth_; }
    // The artifact is published and recorded. Throws what ends the upload; the records up to there
    // are written.
    UploadResult finish(const Store& store, const Manifest& manifest);
    // The file is no good. Sends nothing more; does not wait.
    void give_up();
    // Nothing of it is to come into the bucket. Never throws: what could not be aborted is found
    // by abort_forgotten().
    void abandon() noexcept;

  private:
    struct Object {
        std::string file;  // of this artifact: "….sql.gz"
        std::string key;
        s3::LockProof proof;
        s3::ExpectedObject expected;
    };
    void start(const std::string& key);
    void upload_dump(const Manifest& manifest);
    void upload_text(const std::string& suffix, const std::string& file, std::string content);
    void upload_receipt(const Manifest& manifest);
    void found_other(const std::string& key, const s3::KeyDecision& decision);
    void prove(const std::string& file, const std::string& key, const std::string& version,
               const s3::ExpectedObject& expected, const std::string& upload_id);
    std::string receipt(const Manifest& manifest, const s3::Uploaded& dump) const;
    UploadResult conclude();
    void follow_hold(UploadResult& result);

    Remote& remote_;
    AuditLog& audit_;
    const std::string stem_;
    const DumpFormat format_;
    const std::string dump_suffix_;
    std::string key_stem_;  // keys begin with it; has a nonce where the key was another's
    std::string finding_;
    const Fd file_;  // it may be renamed meanwhile
    s3::Growth growth_;
    s3::LockTerms terms_;
    s3::Uploaded dump_;
    std::vector<Object> objects_;
    std::unique_ptr<s3::Uploader> uploader_;
};

// The lock that uploads get from now on; asks the store for its date.
s3::LockTerms upload_terms(Remote& remote, const AuditLog& audit);
// Records how an upload failed: pending, or failed where another try cannot help.
void record_upload_failure(AuditLog& audit, const std::string& stem, const Error& error);
bool is_permanent(const Error& error);
// What stops all uploads, as the error of one of them: it is not its fault, and it stays pending.
Error of_all_uploads(const Error& error);

}  // namespace immbackup
