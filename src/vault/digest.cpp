#include "vault/digest.h"

#include <algorithm>

namespace immbackup::vault {

std::string to_hex(const Digest& digest) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string out;
    for (const unsigned char byte : digest) {
        out += {kHex[byte >> 4U], kHex[byte & 0xFU]};
    }
    return out;
}

bool is_hex_digest(std::string_view text) {
    return text.size() == 2 * std::size_t{SHA256_DIGEST_LENGTH} &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string sha256_hex(std::string_view text) {
    Sha256 sha;
    sha.update(text);
    return to_hex(sha.finish());
}

}  // namespace immbackup::vault
