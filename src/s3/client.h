// A client for one bucket. Every request is signed, retried inside a deadline where that helps
// (retry.h), and stopped at once by the token; every body that is written carries its MD5 and its
// SHA-256. Safe from any thread: each call borrows a connection of its own.
//
// Errors name verb, bucket and key, status, the store's code, message and request id, and never
// a secret: permission (401, 403), not_found (404), exists (412), connect (no answer, or 5xx,
// until the deadline), config (settings or credentials are wrong), corrupt (an answer that is
// none, or a digest that differs), rejected (the store takes no such object), failed (anything
// else: mostly what a setting asks for and the store does not have).
// Source: AWS, Amazon S3 API Reference, version 2006-03-01.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/cancel.h"
#include "io/fd.h"
#include "s3/answers.h"
#include "s3/checksums.h"
#include "s3/credentials.h"
#include "s3/http.h"
#include "s3/lock_terms.h"
#include "s3/part_plan.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace immbackup::s3 {

struct S3Options {
    std::string bucket;
    std::string prefix = "backups";  // without slashes at its ends; may be empty
    std::string region;              // empty: us-east-1, until the store says otherwise
    std::string endpoint_url;        // empty: AWS
    Addressing addressing = Addressing::automatic;
    std::string ca_file;  // PEM; empty: the system's
    LockMode lock_mode = LockMode::compliance;
    int lock_days = 30;
    std::string storage_class;  // empty: the bucket's default
    std::string kms_key_id;     // empty: no KMS is asked for
    std::uint32_t max_parts = kMaxParts;
    unsigned concurrency = 4;           // parts of one upload that are sent at the same time
    std::uint64_t bandwidth_limit = 0;  // bytes a second, of all uploads together; 0: none
    std::chrono::seconds connect_timeout{10};
    std::chrono::seconds stall_timeout{60};  // without a byte in either direction
    std::chrono::seconds deadline{600};      // after which a request is not tried again
    // Keep the stores' and our clock apart where they are (see retain_until).
    bool clock_acknowledged = false;
};
// Error(config) for what no store can take: bucket name, prefix, numbers out of range.
void require_sound(const S3Options& options);

// What is sent. Digests are those of exactly these bytes.
struct Body {
    std::uint64_t size = 0;
    Digests digests;
    std::function<void(std::uint64_t offset, std::span<std::byte>)> read;
};
Body text_body(std::string text);
// Reads the range once for its digests, and again whenever it is sent; never holds it. The
// descriptor stays the caller's. Error(corrupt) where the file is shorter.
Body file_body(int fd, std::uint64_t offset, std::uint64_t size, const CancelToken& cancel);

// What a new object is to be like, whichever way it is written.
struct ObjectSpec {
    std::string key;  // whole, with the prefix
    LockTerms lock;
    bool legal_hold = false;
    bool only_if_absent =
        false;  // If-None-Match: *; Error(exists) where a store that knows it has one
    // In the storage class of the options; otherwise in the bucket's default. What has to be read
    // in each run or to find one's way in the bucket must not need a thaw.
    bool storage_class = false;
    std::string content_type = "application/octet-stream";
    std::map<std::string, std::string> metadata;  // names in lower case, ASCII
};
// Metadata that tells an object of ours from any other under the same key: every upload has its
// own value, so that after a lost answer it can be told whether the write happened.
inline constexpr const char* kNonceName = "immbackup-upload";

struct Written {
    std::string version_id;  // empty where the bucket has no versions
    std::string etag;        // without quotes; empty where the store did not say
};

struct SentPart {
    std::uint32_t number = 0;
    std::uint64_t size = 0;
    std::string etag;  // with its quotes, as the store gave it
    Digests digests;
};

class Client {
  public:
    // `cancel` outlives the client.
    Client(S3Options options, CredentialInputs inputs, const CancelToken& cancel);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    const S3Options& options() const { return options_; }
    // The token that stops this thread's requests: the client's own, unless a Scope says otherwise.
    const CancelToken& cancel() const;
    // While it lives, this thread's requests (of any client) are stopped by another token: an
    // upload can be given up without the run, and be cleaned up after a run that was cancelled.
    class Scope {
      public:
        explicit Scope(const CancelToken& token);
        ~Scope();
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        const CancelToken* before_;
    };
    // "<prefix>/<name>".
    std::string key_of(std::string_view name) const;
    // Our clock minus the store's, by the last answer's Date; nothing before the first answer.
    std::optional<std::chrono::milliseconds> clock_difference() const;
    // The terms of the settings from now on (retain_until); asks the store for its date first.
    LockTerms lock_terms(int days);
    LockTerms lock_terms() { return lock_terms(options_.lock_days); }
    Credentials credentials() { return chain_.get(); }
    std::string region() const;

    // ---- objects (client_objects.cpp)
    // Nothing where there is no such object (version); empty version: the latest.
    std::optional<ObjectInfo> head(const std::string& key, const std::string& version = {});
    // The whole object in order, block by block, each block of exactly that version and ETag.
    // Error(not_found). Returns what HEAD said.
    ObjectInfo get(const std::string& key, const std::string& version,
                   const std::function<void(std::span<const std::byte>)>& sink);
    // Bytes [offset, offset + length); fewer only at the end of the object.
    std::string get_range(const std::string& key, const std::string& version, std::uint64_t offset,
                          std::uint64_t length);
    // Error(corrupt) where it is larger than `limit`.
    std::string get_text(const std::string& key, const std::string& version, std::size_t limit);
    Written put(ObjectSpec spec, const Body& body);
    std::vector<ListedObject> list(const std::string& prefix, std::size_t limit = 1000000);
    // Delete markers, too.
    std::vector<ListedVersion> list_versions(const std::string& prefix,
                                             std::size_t limit = 1000000);

    // ---- multipart (client_multipart.cpp)
    // The nonce goes into the metadata of the object to be.
    std::string initiate(const ObjectSpec& spec, const std::string& nonce);
    SentPart upload_part(const std::string& key, const std::string& upload_id, std::uint32_t number,
                         const Body& body);
    // An <Error> inside a 200 is an error; a 200 without a proper answer, a lost answer, 409 and
    // NoSuchUpload are success only where the object is there with this nonce. Otherwise
    // Error(not_found) where the upload is gone: begin anew from the file.
    Written complete(const ObjectSpec& spec, const std::string& upload_id, const std::string& nonce,
                     std::span<const SentPart> parts);
    void abort(const std::string& key, const std::string& upload_id);  // fine where it is gone
    std::vector<ListedUpload> list_uploads(const std::string& prefix, std::size_t limit = 10000);

    // ---- locks (client_lock.cpp)
    // Never throws for what the store answers, only for what stops the whole client.
    LockReading read_lock(const std::string& key, const std::string& version);
    // Sets, or extends. Never asks to bypass governance.
    void put_retention(const std::string& key, const std::string& version, const LockTerms& terms);
    void put_legal_hold(const std::string& key, const std::string& version, bool on);
    LockConfiguration lock_configuration();
    std::string versioning();  // "Enabled", "Suspended", or "" for never
    std::vector<LifecycleRule> lifecycle();
    // Status and code, without judging them: for probes, and for pruning what is not locked.
    StoreError try_delete(const std::string& key, const std::string& version,
                          bool bypass_governance = false);
    StoreError try_head_bucket();
    // Asks for a PUT ?object-lock with a body that no store accepts: 400 tells that the right is
    // there, 403 that it is not.
    StoreError try_lock_configuration();
    // PUT ?retention of a shorter term with bypass, on a version that does not exist.
    StoreError try_bypass(const std::string& key, const std::string& version);

  private:
    using Deadline = std::chrono::steady_clock::time_point;
    struct Operation {
        std::string method;
        std::string key;  // empty: the bucket
        Query query{};
        Headers headers{};
        const Body* body = nullptr;
        // On Complete x-amz-checksum-sha256 would mean the object's checksum, not the body's.
        bool completes = false;
        bool xml_answer = false;  // a 2xx body is XML, and may hold an <Error>
        std::size_t answer_limit = kXmlLimit;
        // After an answer was lost: whether the write happened all the same, as far as that can be
        // found out until then.
        std::function<bool(Deadline)> happened{};
        std::optional<Deadline> deadline{};  // empty: as the options say, from now
    };
    struct Answer {
        HttpAnswer http;
        StoreError error;
        bool happened = false;  // the answer was lost, the write was not
        Deadline deadline{};    // of what was tried
        bool good() const {
            return happened ||
                   (http.complete && error.code.empty() && http.status >= 200 && http.status < 300);
        }
    };
    struct Tries;  // what one operation has already tried
    class Borrowed;

    Answer perform(const Operation& operation);  // any final answer
    Answer require(const Operation& operation);  // throws failure() unless good
    Error failure(const Operation& operation, const Answer& answer);
    Answer attempt(const Operation& operation, const Credentials& credentials);
    bool try_otherwise(Tries& tries, const Answer& answer, const Credentials& credentials);
    bool move_to(const Answer& answer);
    static void read_error(const Operation& operation, Answer& answer,
                           const Credentials& credentials);
    void wait(std::chrono::milliseconds pause) const;
    std::string redacted(std::string text);
    static void add_body_headers(Headers& headers, const Body& body, bool checksum);
    Headers object_headers(const ObjectSpec& spec, const std::string& nonce) const;
    // The object under this key with this nonce, whatever its version.
    std::optional<Written> written_with(const std::string& key, const std::string& nonce,
                                        Deadline deadline);
    std::optional<ObjectInfo> head_until(const std::string& key, const std::string& version,
                                         std::optional<Deadline> deadline);
    void read_retention(const std::string& key, const std::string& version, LockReading& out);
    void read_legal_hold(const std::string& key, const std::string& version, LockReading& out);

    const S3Options options_;
    const CancelToken& cancel_;
    CredentialChain chain_;
    Throttle throttle_;
    mutable std::mutex mutex_;  // guards what follows
    std::string region_;
    Endpoint endpoint_;
    std::vector<std::unique_ptr<HttpHandle>> idle_;
    std::chrono::milliseconds signing_correction_{0};
    std::optional<std::chrono::milliseconds> difference_;
};

}  // namespace immbackup::s3
