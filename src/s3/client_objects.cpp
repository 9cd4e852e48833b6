// Objects: HEAD, GET, PUT, lists.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "core/error.h"
#include "s3/client.h"

namespace immbackup::s3 {

namespace {

constexpr std::uint64_t kGetBlock = 8 * kMiB;
constexpr std::size_t kDigestBlock = std::size_t{1} << 20;

void read_exactly(int fd, std::uint64_t offset, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            throw system_error(errno, "read the file that is being uploaded");
        }
        if (count == 0) {
            throw Error(ErrorCode::corrupt,
                        "the file that is being uploaded is shorter than it was");
        }
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

Query version_query(const std::string& version) {
    return version.empty() ? Query{} : Query{{"versionId", version}};
}

}  // namespace

Body text_body(std::string text) {
    const auto shared = std::make_shared<const std::string>(std::move(text));
    Body body;
    body.size = shared->size();
    body.digests = digests_of(*shared);
    body.read = [shared](std::uint64_t offset, std::span<std::byte> bytes) {
        std::memcpy(bytes.data(), shared->data() + offset, bytes.size());
    };
    return body;
}

Body file_body(int fd, std::uint64_t offset, std::uint64_t size, const CancelToken& cancel) {
    DigestPair digests;
    std::vector<std::byte> block(
        static_cast<std::size_t>(std::min<std::uint64_t>(size, kDigestBlock)));
    for (std::uint64_t done = 0; done < size;) {
        cancel.check();
        const auto span = std::span(block).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(size - done, block.size())));
        read_exactly(fd, offset + done, span);
        digests.update(span);
        done += span.size();
    }
    Body body;
    body.size = size;
    body.digests = digests.finish();
    body.read = [fd, offset](std::uint64_t at, std::span<std::byte> bytes) {
        read_exactly(fd, offset + at, bytes);
    };
    return body;
}

std::optional<ObjectInfo> Client::head(const std::string& key, const std::string& version) {
    return head_until(key, version, std::nullopt);
}

std::optional<ObjectInfo> Client::head_until(const std::string& key, const std::string& version,
                                             std::optional<Deadline> deadline) {
    Operation operation{"HEAD", key, version_query(version), {{"x-amz-checksum-mode", "ENABLED"}}};
    operation.deadline = deadline;
    const Answer answer = perform(operation);
    if (answer.http.complete && answer.http.status == 404) {
        return std::nullopt;
    }
    // A delete marker is the latest version: there is no object to be seen.
    if (answer.http.complete && answer.http.status == 405) {
        return std::nullopt;
    }
    if (!answer.good()) {
        throw failure(operation, answer);
    }
    return parse_object_headers(answer.http.headers);
}

std::string Client::get_range(const std::string& key, const std::string& version,
                              std::uint64_t offset, std::uint64_t length) {
    if (length == 0) {
        return {};
    }
    Operation operation{"GET",
                        key,
                        version_query(version),
                        {{"range", fmt::format("bytes={}-{}", offset, offset + length - 1)}}};
    operation.answer_limit = static_cast<std::size_t>(length);
    Answer answer = require(operation);
    const std::string begin = fmt::format("bytes {}-", offset);
    const bool whole = answer.http.status == 200 && offset == 0;
    const bool part = answer.http.status == 206 &&
                      answer.http.header("content-range").substr(0, begin.size()) == begin;
    if (!whole && !part) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("the store sent other bytes of s3://{}/{} than it was asked for",
                                options_.bucket, key));
    }
    return std::move(answer.http.body);
}

ObjectInfo Client::get(const std::string& key, const std::string& version,
                       const std::function<void(std::span<const std::byte>)>& sink) {
    const auto info = head(key, version);
    if (!info) {
        throw Error(ErrorCode::not_found,
                    fmt::format("there is no s3://{}/{}", options_.bucket, key));
    }
    // From here on of this version alone, whatever happens to the key.
    const std::string exact = version.empty() ? info->version_id : version;
    for (std::uint64_t offset = 0; offset < info->size;) {
        const std::uint64_t length = std::min(kGetBlock, info->size - offset);
        const std::string block = get_range(key, exact, offset, length);
        if (block.size() != length) {
            throw Error(ErrorCode::corrupt,
                        fmt::format("the store sent {} bytes of s3://{}/{} instead of {}",
                                    block.size(), options_.bucket, key, length));
        }
        sink(std::as_bytes(std::span(block)));
        offset += length;
    }
    return *info;
}

std::string Client::get_text(const std::string& key, const std::string& version,
                             std::size_t limit) {
    Operation operation{"GET", key, version_query(version)};
    operation.answer_limit = limit;
    return require(operation).http.body;
}

Headers Client::object_headers(const ObjectSpec& spec, const std::string& nonce) const {
    Headers headers{{"content-type", spec.content_type}};
    if (spec.lock.wanted()) {
        headers["x-amz-object-lock-mode"] = lock_mode_name(spec.lock.mode);
        headers["x-amz-object-lock-retain-until-date"] = format_time(spec.lock.until);
    }
    if (spec.legal_hold) {
        headers["x-amz-object-lock-legal-hold"] = "ON";
    }
    if (spec.storage_class && !options_.storage_class.empty()) {
        headers["x-amz-storage-class"] = options_.storage_class;
    }
    if (!options_.kms_key_id.empty()) {
        headers["x-amz-server-side-encryption"] = "aws:kms";
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = options_.kms_key_id;
    }
    for (const auto& [name, value] : spec.metadata) {
        headers["x-amz-meta-" + name] = value;
    }
    headers[std::string("x-amz-meta-") + kNonceName] = nonce;
    return headers;
}

std::optional<Written> Client::written_with(const std::string& key, const std::string& nonce,
                                            Deadline deadline) {
    std::optional<ObjectInfo> info;
    try {
        info = head_until(key, {}, deadline);
    } catch (const Error& error) {
        // Who may not list is told 403 of what is not there, too: then it is written again.
        if (error.code() != ErrorCode::permission) {
            throw;
        }
    }
    if (info) {
        const auto found = info->metadata.find(kNonceName);
        if (found != info->metadata.end() && found->second == nonce) {
            return Written{info->version_id, info->etag};
        }
    }
    return std::nullopt;
}

Written Client::put(ObjectSpec spec, const Body& body) {
    const std::string nonce = random_hex(16);
    Operation operation{"PUT", spec.key, {}, object_headers(spec, nonce), &body};
    if (spec.only_if_absent) {
        operation.headers["if-none-match"] = "*";
    }
    std::optional<Written> found;
    operation.happened = [&](Deadline deadline) {
        found = written_with(spec.key, nonce, deadline);
        return found.has_value();
    };
    const Answer answer = perform(operation);
    if (answer.happened) {
        return *found;
    }
    if (!answer.good()) {
        // 412 may be the echo of our own first attempt.
        if (answer.error.status == 412 && operation.happened(answer.deadline)) {
            return *found;
        }
        throw failure(operation, answer);
    }
    std::string etag = answer.http.header("etag");
    etag.erase(std::remove(etag.begin(), etag.end(), '"'), etag.end());
    return {answer.http.header("x-amz-version-id"), etag};
}

namespace {

// Walks through the pages of a list; a store that turns in circles, or never ends, is stopped.
template <typename T, typename Ask>
std::vector<T> all_pages(std::size_t limit, const Ask& ask) {
    std::vector<T> out;
    std::string next;
    std::string marker;
    for (;;) {
        Page<T> page = ask(next, marker);
        std::move(page.rows.begin(), page.rows.end(), std::back_inserter(out));
        if (out.size() > limit) {
            throw Error(ErrorCode::failed,
                        fmt::format("the store lists more than {} entries", limit));
        }
        if (page.next.empty() && page.next_marker.empty()) {
            return out;
        }
        if ((page.next == next && page.next_marker == marker) || page.rows.empty()) {
            throw Error(ErrorCode::corrupt, "the store's list does not come to an end");
        }
        next = page.next;
        marker = page.next_marker;
    }
}

}  // namespace

std::vector<ListedObject> Client::list(const std::string& prefix, std::size_t limit) {
    return all_pages<ListedObject>(limit, [&](const std::string& next, const std::string&) {
        Operation operation{
            "GET", {}, {{"list-type", "2"}, {"prefix", prefix}, {"encoding-type", "url"}}};
        if (!next.empty()) {
            operation.query.push_back({"continuation-token", next});
        }
        operation.xml_answer = true;
        return parse_objects(require(operation).http.body);
    });
}

std::vector<ListedVersion> Client::list_versions(const std::string& prefix, std::size_t limit) {
    return all_pages<ListedVersion>(limit, [&](const std::string& next, const std::string& marker) {
        Operation operation{
            "GET", {}, {{"versions", ""}, {"prefix", prefix}, {"encoding-type", "url"}}};
        if (!next.empty()) {
            operation.query.push_back({"key-marker", next});
            operation.query.push_back({"version-id-marker", marker});
        }
        operation.xml_answer = true;
        return parse_versions(require(operation).http.body);
    });
}

std::vector<ListedUpload> Client::list_uploads(const std::string& prefix, std::size_t limit) {
    return all_pages<ListedUpload>(limit, [&](const std::string& next, const std::string& marker) {
        Operation operation{"GET", {}, {{"uploads", ""}, {"prefix", prefix}}};
        if (!next.empty()) {
            operation.query.push_back({"key-marker", next});
            operation.query.push_back({"upload-id-marker", marker});
        }
        operation.xml_answer = true;
        return parse_uploads(require(operation).http.body);
    });
}

}  // namespace immbackup::s3
