// Requests and frames as they come over the wire (README.md has the grammar). Pure; every byte is
// an attacker's.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "vault/digest.h"
#include "vault/failure.h"
#include "vault/text.h"

namespace immbackup::vault {

inline constexpr std::size_t kMaxRequest = 8192;  // with its newline
inline constexpr std::uint32_t kMaxFrame = 1024 * 1024;

struct Request;
class Session;

// What can be asked. Keys stand between spaces.
struct Verb {
    std::string_view name;
    std::string_view needs;
    std::string_view takes;
    bool client;  // who may: the client's user, operators; root may all
    bool operators;
    // The fields of its last `ok`, which is sent when it has given back its locks, or throws.
    std::string (*act)(Session&, const Request&);
};
extern const std::array<Verb, 11> kVerbs;  // session.cpp

struct Request {
    const Verb* verb = nullptr;
    Fields fields;
    // Decoded; empty where it is absent.
    std::string_view get(std::string_view key) const { return value_of(fields, key); }
    std::string text(std::string_view key) const { return std::string(get(key)); }
};

// `line` without its newline. Failure(usage) where the verb or a key is unknown, a key that the
// verb needs is missing, or a value is not what its key takes.
Request parse_request(std::string_view line);

struct Frame {
    char kind = 0;  // 'D', 'C' or 'X'
    std::uint32_t length = 0;
};
inline constexpr std::size_t kFrameHeader = 5;
inline constexpr std::size_t kCommitSize = 40;
// Failure(usage) on any other kind, or a length that the kind may not have.
Frame parse_frame(const std::array<char, kFrameHeader>& header);

struct Commit {
    std::uint64_t size = 0;
    Digest sha256{};
};
Commit parse_commit(const std::array<char, kCommitSize>& body);

}  // namespace immbackup::vault
