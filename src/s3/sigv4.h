// AWS Signature Version 4 as pure functions. Every header that is passed in is signed, so that no
// one between us and the store can add to, or take away, a lock; the payload hash is a real one.
// Source: AWS, "Signature Calculations for the Authorization Header: Transferring Payload in a
// Single Chunk", whose worked examples are the facts of the tests.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/time.h"
#include "s3/uri.h"

namespace immbackup::s3 {

// Names in lower case.
using Headers = std::map<std::string, std::string, std::less<>>;

struct Signable {
    std::string method;
    std::string path;  // encoded, as it is sent
    Query query;
    Headers headers;           // all of them are signed; must hold host
    std::string payload_hash;  // hexadecimal SHA-256 of the body
};

struct SigningKeys {
    std::string access_key;
    std::string secret_key;
    std::string session_token;  // empty: none
};

struct SigningScope {
    Time time;
    std::string region;
    std::string service = "s3";
};

std::string amz_date(Time time);  // "20130524T000000Z"
std::string signed_headers(const Headers& headers);
std::string canonical_request(const Signable& request);
std::string credential_scope(const SigningScope& scope);
std::string string_to_sign(const SigningScope& scope, std::string_view canonical_request);
// 32 raw bytes.
std::string signing_key(std::string_view secret_key, const SigningScope& scope);
// Adds x-amz-date, x-amz-content-sha256 and x-amz-security-token to the headers, and then
// authorization, which replaces one of an earlier attempt.
void sign(Signable& request, const SigningKeys& keys, const SigningScope& scope);

inline constexpr std::string_view kEmptyPayloadHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

}  // namespace immbackup::s3
