#include "s3/sigv4.h"

#include <fmt/format.h>

#include "core/digest.h"
#include "s3/checksums.h"

namespace immbackup::s3 {

namespace {

constexpr const char* kAlgorithm = "AWS4-HMAC-SHA256";

// Without blanks at the ends, and with one for every run of them.
std::string canonical_value(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (c != ' ' && c != '\t') {
            out += c;
        } else if (!out.empty() && out.back() != ' ') {
            out += ' ';
        }
    }
    if (!out.empty() && out.back() == ' ') {
        out.pop_back();
    }
    return out;
}

}  // namespace

std::string amz_date(Time time) {
    return run_id_at(time);  // the same ISO 8601 basic format
}

std::string signed_headers(const Headers& headers) {
    std::string out;
    for (const auto& [name, value] : headers) {
        out += (out.empty() ? "" : ";") + name;
    }
    return out;
}

std::string canonical_request(const Signable& request) {
    std::string out =
        request.method + "\n" + request.path + "\n" + canonical_query(request.query) + "\n";
    for (const auto& [name, value] : request.headers) {
        out += name + ":" + canonical_value(value) + "\n";
    }
    return out + "\n" + signed_headers(request.headers) + "\n" + request.payload_hash;
}

std::string credential_scope(const SigningScope& scope) {
    return fmt::format("{}/{}/{}/aws4_request", amz_date(scope.time).substr(0, 8), scope.region,
                       scope.service);
}

std::string string_to_sign(const SigningScope& scope, std::string_view canonical_request) {
    return fmt::format("{}\n{}\n{}\n{}", kAlgorithm, amz_date(scope.time), credential_scope(scope),
                       sha256_hex(canonical_request));
}

std::string signing_key(std::string_view secret_key, const SigningScope& scope) {
    std::string key = "AWS4" + std::string(secret_key);
    key = hmac_sha256(key, amz_date(scope.time).substr(0, 8));
    key = hmac_sha256(key, scope.region);
    key = hmac_sha256(key, scope.service);
    return hmac_sha256(key, "aws4_request");
}

void sign(Signable& request, const SigningKeys& keys, const SigningScope& scope) {
    Headers& headers = request.headers;
    headers.erase("authorization");
    headers["x-amz-date"] = amz_date(scope.time);
    headers["x-amz-content-sha256"] = request.payload_hash;
    if (keys.session_token.empty()) {
        headers.erase("x-amz-security-token");
    } else {
        headers["x-amz-security-token"] = keys.session_token;
    }
    const std::string signature = to_hex(hmac_sha256(
        signing_key(keys.secret_key, scope), string_to_sign(scope, canonical_request(request))));
    headers["authorization"] =
        fmt::format("{} Credential={}/{},SignedHeaders={},Signature={}", kAlgorithm,
                    keys.access_key, credential_scope(scope), signed_headers(headers), signature);
}

}  // namespace immbackup::s3
