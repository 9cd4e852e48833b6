// What a store's answers say, taken out of their XML and headers. Pure.
// Source: AWS, Amazon S3 API Reference, the response elements of each action.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "s3/lock_terms.h"
#include "s3/sigv4.h"

namespace immbackup::s3 {

// <Error>, with the status it came under.
struct StoreError {
    int status = 0;    // 0: no answer
    std::string code;  // empty: none, or nothing that could be read
    std::string message;
    std::string region;  // where to go instead
    std::string request_id;
};
// Puts "<redacted>" for the secret, wherever it stands. One of less than four characters is none.
void redact(std::string& text, std::string_view secret);
// Nothing where the text is no <Error>. Never throws. What the store says is made one line, without
// the secrets, and is then cut: the beginning of a secret would not be known as one.
std::optional<StoreError> parse_error(std::string_view body,
                                      std::initializer_list<std::string_view> secrets = {});

struct ObjectInfo {
    std::uint64_t size = 0;
    std::string version_id;
    std::string etag;    // without quotes
    std::string sha256;  // x-amz-checksum-sha256, base64; with "-<parts>" for a multipart object
    std::string storage_class;
    bool kms = false;  // then the ETag is no digest
    bool legal_hold = false;
    LockMode mode = LockMode::none;  // where these credentials may see it
    std::optional<Time> until;
    std::map<std::string, std::string> metadata;  // without x-amz-meta-
};
// Of a HEAD or a GET. Error(corrupt) where Content-Length is missing.
ObjectInfo parse_object_headers(const Headers& headers);

struct ListedObject {
    std::string key;
    std::uint64_t size = 0;
    std::string etag;
    std::optional<Time> modified;
};
struct ListedVersion {
    std::string key;
    std::string version_id;
    bool latest = false;
    bool delete_marker = false;
    std::uint64_t size = 0;
    std::optional<Time> modified;
};
struct ListedUpload {
    std::string key;
    std::string upload_id;
    std::optional<Time> initiated;
};
// One page, and what to ask for the next one with; empty: it was the last.
template <typename T>
struct Page {
    std::vector<T> rows;
    std::string next;         // continuation token, or key marker
    std::string next_marker;  // version id marker, or upload id marker
};
// Error(corrupt) for what is no such answer.
Page<ListedObject> parse_objects(std::string_view body);
Page<ListedVersion> parse_versions(std::string_view body);
Page<ListedUpload> parse_uploads(std::string_view body);

std::string parse_upload_id(std::string_view body);  // InitiateMultipartUploadResult
// CompleteMultipartUploadResult; the ETag without quotes, which some stores leave empty.
std::string parse_completed(std::string_view body);

struct Retention {
    LockMode mode = LockMode::none;
    std::optional<Time> until;
};
Retention parse_retention(std::string_view body);
bool parse_legal_hold(std::string_view body);  // "ON"

struct LockConfiguration {
    bool enabled = false;
    LockMode default_mode = LockMode::none;
    int default_days = 0;  // years count 365
};
LockConfiguration parse_lock_configuration(std::string_view body);
std::string parse_versioning(std::string_view body);

struct LifecycleRule {
    bool enabled = false;
    std::string prefix;
    int abort_after_days = 0;  // of incomplete uploads; 0: the rule says nothing of them
    bool expires = false;      // current versions
    bool expires_noncurrent = false;
};
std::vector<LifecycleRule> parse_lifecycle(std::string_view body);

}  // namespace immbackup::s3
