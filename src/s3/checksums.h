// The digests of the S3 protocol, raw as it wants them: SHA-256, HMAC-SHA256, MD5, base64.
// By OpenSSL. A FIPS build has no MD5: then Content-MD5 is left out, and SHA-256 alone vouches.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace immbackup::s3 {

std::string base64(std::string_view bytes);
// Nothing but an empty text for what is no base64.
std::string from_base64(std::string_view text);
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view text);
std::string sha256_bytes(std::string_view text);  // 32 bytes
std::string hmac_sha256(std::string_view key, std::string_view text);
// `bytes` random bytes as hexadecimal digits.
std::string random_hex(std::size_t bytes);

// What a body is proven by. Texts of raw bytes.
struct Digests {
    std::string sha256;
    std::string md5;  // empty: this build has none
};

// Both in one pass.
class DigestPair {
  public:
    DigestPair();
    ~DigestPair();
    DigestPair(const DigestPair&) = delete;
    DigestPair& operator=(const DigestPair&) = delete;
    void update(std::span<const std::byte> bytes);
    Digests finish();  // once

  private:
    struct Contexts;
    std::unique_ptr<Contexts> contexts_;
};
Digests digests_of(std::string_view text);

// AWS's checksum of a multipart object, "<base64>-<parts>": SHA-256 over the parts' raw SHA-256.
// Source: "Checking object integrity in Amazon S3", composite checksums.
std::string composite_sha256(std::span<const Digests> parts);
// The ETag of a multipart object, without quotes: MD5 over the parts' raw MD5, "-", their number.
// Empty where there is no MD5. Means nothing for objects under KMS.
std::string composite_etag(std::span<const Digests> parts);

}  // namespace immbackup::s3
