// Proof that the store really holds what was uploaded: read back for the exact version, never
// taken from the 200 of the upload. And what to do about a key that exists already.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "s3/client.h"
#include "s3/lock_terms.h"
#include "s3/uploader.h"

namespace immbackup::s3 {

struct LockProof {
    LockState state = LockState::unproven;
    std::string reason;  // why it is not locked; empty where it is
    LockMode mode = LockMode::none;
    std::optional<Time> until;
    bool legal_hold = false;
    // What of the content agreed with what was sent: "checksum" (SHA-256), "etag" (MD5), "size".
    std::string content;
    // "written" with the object, or "added" by PUT ?retention since the store had ignored it.
    std::string how;
    std::string version_id;
};

// HEAD, GET ?retention, GET ?legal-hold of this version. Where the store did not take the lock
// along with the object, it is set by PUT ?retention and read again; likewise a legal hold that is
// wanted and not there (legal_hold then says how it ended). Error(corrupt) where size or
// digest are not what was sent, Error(not_found) where the version is gone.
LockProof prove_lock(Client& client, const std::string& key, const std::string& version_id,
                     const ExpectedObject& expected, const LockTerms& asked,
                     bool hold_wanted = false);

// Sets a later date on a version that is held, and proves that. One that is held so long already (a
// job that died in the middle of several) is proven alone; a retention is never shortened.
LockProof extend_lock(Client& client, const std::string& key, const std::string& version_id,
                      const ExpectedObject& expected, const LockTerms& asked);

// Of a version that was not proven locked before: as prove_lock(), but one that is held longer than
// asked by now (somebody lengthened it) is proven as it is.
LockProof prove_again(Client& client, const std::string& key, const std::string& version_id,
                      const ExpectedObject& expected, const LockTerms& asked);

// Sets or lifts a legal hold, and reads it back. Error(failed) where the store says otherwise
// afterwards, or nothing.
void change_legal_hold(Client& client, const std::string& key, const std::string& version_id,
                       bool on);

// What stands under a key that we are about to write.
struct KeyDecision {
    enum class Action {
        upload,  // nothing is there
        adopt,   // it is ours: the same bytes (the answer of an earlier upload was lost)
        rename,  // it is another's: upload under `key`, and raise a finding
    };
    Action action = Action::upload;
    std::string key;         // to be used from here on
    std::string version_id;  // of what is adopted
    std::string reason;
};

// "<stem><suffix>" in the bucket, where the stem ends the key but for e.g. ".sql.gz". Content is
// compared by SHA-256: the store's own where it vouches for the whole object, else the object is
// read back. An object is never overwritten.
KeyDecision adopt_or_rename(Client& client, std::string_view stem, std::string_view suffix,
                            std::uint64_t size, std::string_view sha256_hex);

}  // namespace immbackup::s3
