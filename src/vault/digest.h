// SHA-256 (FIPS 180-4). libcrypto's low-level functions: they are as fast as the processor allows,
// and load neither configuration nor providers, whatever the environment says.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace immbackup::vault {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

class Sha256 {
  public:
    Sha256() { SHA256_Init(&context_); }
    void update(std::span<const char> bytes) {
        SHA256_Update(&context_, bytes.data(), bytes.size());
    }
    Digest finish() {
        Digest digest{};
        SHA256_Final(digest.data(), &context_);
        return digest;
    }

  private:
    SHA256_CTX context_{};
};

std::string to_hex(const Digest& digest);
bool is_hex_digest(std::string_view text);
std::string sha256_hex(std::string_view text);

}  // namespace immbackup::vault
