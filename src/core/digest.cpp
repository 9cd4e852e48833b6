#include "core/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace immbackup {

struct Sha256::Context {
    EVP_MD_CTX* md = EVP_MD_CTX_new();
    Context() = default;
    ~Context() { EVP_MD_CTX_free(md); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
};

namespace {

void require(int openssl_result) {
    if (openssl_result != 1) {
        throw Error(ErrorCode::internal, "OpenSSL could not compute a SHA-256 digest");
    }
}

}  // namespace

Sha256::Sha256() : context_(std::make_unique<Context>()) {
    if (context_->md == nullptr) {
        throw std::bad_alloc();
    }
    require(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
    require(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()));
}

void Sha256::update(std::string_view text) {
    require(EVP_DigestUpdate(context_->md, text.data(), text.size()));
}

std::string Sha256::hex() const {
    // Finishing ends a context, so a copy is finished and this one can be fed on.
    Context copy;
    if (copy.md == nullptr) {
        throw std::bad_alloc();
    }
    require(EVP_MD_CTX_copy_ex(copy.md, context_->md));
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    require(EVP_DigestFinal_ex(copy.md, digest.data(), &length));
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string out;
    out.reserve(std::size_t{2} * length);
    for (unsigned i = 0; i < length; ++i) {
        out += kHex[digest[i] >> 4U];
        out += kHex[digest[i] & 0xFU];
    }
    return out;
}

std::string sha256_hex(std::string_view text) {
    Sha256 digest;
    digest.update(text);
    return digest.hex();
}

bool is_sha256_hex(std::string_view text) {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

}  // namespace immbackup
