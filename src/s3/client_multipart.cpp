// Multipart uploads. A failed or a lost Complete is the place where other tools lose backups, or
// keep two: whether the object is there is always asked, never guessed.
#include <fmt/format.h>

#include "core/error.h"
#include "s3/client.h"
#include "s3/xml.h"

namespace immbackup::s3 {

namespace {

std::string complete_body(std::span<const SentPart> parts) {
    std::string out = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (const auto& part : parts) {
        out += fmt::format(
            "<Part><ChecksumSHA256>{}</ChecksumSHA256><ETag>{}</ETag><PartNumber>{}</PartNumber>"
            "</Part>",
            base64(part.digests.sha256), xml_escape(part.etag), part.number);
    }
    return out + "</CompleteMultipartUpload>";
}

}  // namespace

std::string Client::initiate(const ObjectSpec& spec, const std::string& nonce) {
    Operation operation{"POST", spec.key, {{"uploads", ""}}, object_headers(spec, nonce)};
    // Undeclared, a store takes parts whose checksum is wrong.
    operation.headers["x-amz-checksum-algorithm"] = "SHA256";
    operation.xml_answer = true;
    return parse_upload_id(require(operation).http.body);
}

SentPart Client::upload_part(const std::string& key, const std::string& upload_id,
                             std::uint32_t number, const Body& body) {
    Operation operation{
        "PUT", key, {{"partNumber", std::to_string(number)}, {"uploadId", upload_id}}, {}, &body};
    const Answer answer = require(operation);
    SentPart part{number, body.size, answer.http.header("etag"), body.digests};
    if (part.etag.empty()) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("the store took part {} of s3://{}/{}, but gave no ETag for it",
                                number, options_.bucket, key));
    }
    return part;
}

Written Client::complete(const ObjectSpec& spec, const std::string& upload_id,
                         const std::string& nonce, std::span<const SentPart> parts) {
    const Body body = text_body(complete_body(parts));
    Operation operation{
        "POST", spec.key, {{"uploadId", upload_id}}, {{"content-type", "application/xml"}}, &body};
    if (spec.only_if_absent) {
        operation.headers["if-none-match"] = "*";
    }
    operation.completes = true;
    operation.xml_answer = true;
    std::optional<Written> found;
    operation.happened = [&](Deadline deadline) {
        found = written_with(spec.key, nonce, deadline);
        return found.has_value();
    };
    const Answer answer = perform(operation);
    if (answer.happened) {
        return *found;
    }
    if (answer.good()) {
        Written written{answer.http.header("x-amz-version-id"), {}};
        bool proper = true;
        try {
            written.etag = parse_completed(answer.http.body);
        } catch (const Error&) {
            proper = false;
        }
        // Repeated by an answer that was lost, some stores say 200 without a version.
        if (proper && !written.version_id.empty()) {
            return written;
        }
        if (operation.happened(answer.deadline)) {
            return *found;
        }
        throw Error(ErrorCode::corrupt,
                    fmt::format("the store answered 200 when s3://{}/{} was completed, but not "
                                "that it did so, and the object is not there",
                                options_.bucket, spec.key));
    }
    // Gone, in conflict, or there already: by us, whose answer was lost, or by somebody else.
    const int status = answer.error.status;
    if ((status == 404 || status == 409 || status == 412) && operation.happened(answer.deadline)) {
        return *found;
    }
    if (status == 409) {
        throw Error(ErrorCode::not_found, failure(operation, answer).message(),
                    "The store asks for the upload to begin anew.");
    }
    throw failure(operation, answer);
}

void Client::abort(const std::string& key, const std::string& upload_id) {
    Operation operation{"DELETE", key, {{"uploadId", upload_id}}};
    const Answer answer = perform(operation);
    if (!answer.good() && answer.error.status != 404) {
        throw failure(operation, answer);
    }
}

}  // namespace immbackup::s3
