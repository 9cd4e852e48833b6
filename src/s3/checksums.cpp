#include "s3/checksums.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <vector>

#include "core/error.h"

namespace immbackup::s3 {

namespace {

void require(bool done, const char* what) {
    if (!done) {
        throw Error(ErrorCode::internal, std::string("OpenSSL could not compute ") + what);
    }
}

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

std::string finished(EVP_MD_CTX* context) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    require(EVP_DigestFinal_ex(context, digest.data(), &length) == 1, "a digest");
    return {reinterpret_cast<const char*>(digest.data()), length};
}

}  // namespace

std::string base64(std::string_view bytes) {
    std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
    const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                       bytes_of(bytes), static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(length));
    return out;
}

std::string from_base64(std::string_view text) {
    std::string out(text.size() / 4 * 3 + 3, '\0');
    const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(text),
                                       static_cast<int>(text.size()));
    if (length < 0) {
        return {};
    }
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') {
        ++padding;
    }
    out.resize(static_cast<std::size_t>(length) - padding);
    return out;
}

std::string to_hex(std::string_view bytes) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        out += kHex[byte >> 4U];
        out += kHex[byte & 0xFU];
    }
    return out;
}

std::string from_hex(std::string_view text) {
    const auto value = [](char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    std::string out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        if (value(text[i]) < 0 || value(text[i + 1]) < 0) {
            return {};
        }
        out += static_cast<char>(value(text[i]) * 16 + value(text[i + 1]));
    }
    return out;
}

std::string sha256_bytes(std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    require(
        EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1,
        "a SHA-256 digest");
    return {reinterpret_cast<const char*>(digest.data()), length};
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text),
                 text.size(), digest.data(), &length) != nullptr,
            "an HMAC");
    return {reinterpret_cast<const char*>(digest.data()), length};
}

std::string random_hex(std::size_t bytes) {
    std::vector<unsigned char> random(bytes);
    require(RAND_bytes(random.data(), static_cast<int>(bytes)) == 1, "random bytes");
    return to_hex({reinterpret_cast<const char*>(random.data()), bytes});
}

struct DigestPair::Contexts {
    Context sha256{EVP_MD_CTX_new()};
    Context md5{EVP_MD_CTX_new()};
};

DigestPair::DigestPair() : contexts_(std::make_unique<Contexts>()) {
    require(contexts_->sha256 && EVP_DigestInit_ex(contexts_->sha256.get(), EVP_sha256(), nullptr),
            "a SHA-256 digest");
    if (!contexts_->md5 || EVP_DigestInit_ex(contexts_->md5.get(), EVP_md5(), nullptr) != 1) {
        contexts_->md5.reset();
    }
}

DigestPair::~DigestPair() = default;

void DigestPair::update(std::span<const std::byte> bytes) {
    require(EVP_DigestUpdate(contexts_->sha256.get(), bytes.data(), bytes.size()) == 1,
            "a SHA-256 digest");
    if (contexts_->md5) {
        require(EVP_DigestUpdate(contexts_->md5.get(), bytes.data(), bytes.size()) == 1,
                "an MD5 digest");
    }
}

Digests DigestPair::finish() {
    Digests out;
    out.sha256 = finished(contexts_->sha256.get());
    if (contexts_->md5) {
        out.md5 = finished(contexts_->md5.get());
    }
    return out;
}

Digests digests_of(std::string_view text) {
    DigestPair pair;
    pair.update(std::as_bytes(std::span(text.data(), text.size())));
    return pair.finish();
}

std::string composite_sha256(std::span<const Digests> parts) {
    std::string all;
    for (const auto& part : parts) {
        all += part.sha256;
    }
    return base64(sha256_bytes(all)) + "-" + std::to_string(parts.size());
}

std::string composite_etag(std::span<const Digests> parts) {
    std::string all;
    for (const auto& part : parts) {
        if (part.md5.empty()) {
            return {};
        }
        all += part.md5;
    }
    return to_hex(digests_of(all).md5) + "-" + std::to_string(parts.size());
}

}  // namespace immbackup::s3
