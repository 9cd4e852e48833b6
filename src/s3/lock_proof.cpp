#include "s3/lock_proof.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/digest.h"
#include "core/error.h"
#include "s3/http.h"

namespace immbackup::s3 {

namespace {

// Some stores give the checksum of a multipart object without its number of parts.
std::string_view without_count(std::string_view checksum) {
    return checksum.substr(0, checksum.find('-'));
}

Error differs(const Client& client, const std::string& key, const std::string& what) {
    return {ErrorCode::corrupt,
            fmt::format("s3://{}/{} is not what was sent: {}", client.options().bucket, key, what)};
}

// What of the content agrees; throws where something does not.
std::string compare(const Client& client, const std::string& key, const ObjectInfo& info,
                    const ExpectedObject& expected) {
    if (info.size != expected.size) {
        throw differs(client, key,
                      fmt::format("it has {} bytes instead of {}", info.size, expected.size));
    }
    // A checksum over the whole object, which a few stores make of multipart ones, is none of ours.
    const bool same_kind = (info.sha256.find('-') == std::string::npos) ==
                           (expected.sha256.find('-') == std::string::npos);
    if (!info.sha256.empty() && !expected.sha256.empty()) {
        if (without_count(info.sha256) == without_count(expected.sha256)) {
            return "checksum";
        }
        if (same_kind) {
            throw differs(client, key, "its SHA-256 checksum differs");
        }
    }
    if (!info.kms && !info.etag.empty() && !expected.etag.empty()) {
        if (lower(info.etag) == lower(expected.etag)) {
            return "etag";
        }
        // An ETag is promised to be an MD5 by no store but AWS; one that has the form of ours
        // and another value is worth an error all the same.
        if (info.etag.size() == expected.etag.size()) {
            throw differs(client, key, "its MD5 (ETag) differs");
        }
    }
    return "size";
}

LockProof read_back(Client& client, const std::string& key, const std::string& version_id,
                    const ExpectedObject& expected, const LockTerms& asked) {
    const auto info = client.head(key, version_id);
    if (!info) {
        throw Error(ErrorCode::not_found, fmt::format("version {} of s3://{}/{} is gone",
                                                      version_id, client.options().bucket, key));
    }
    LockProof proof;
    proof.content = compare(client, key, *info, expected);
    proof.version_id = version_id;
    LockReading reading = client.read_lock(key, version_id);
    reading.head_mode = info->mode;
    reading.head_until = info->until;
    proof.mode = reading.mode;
    proof.until = reading.until;
    proof.legal_hold = reading.legal_hold == Reading::held;
    LockJudgement judgement = judge_lock(asked, reading);
    proof.state = judgement.state;
    proof.reason = std::move(judgement.reason);
    proof.how = "written";
    return proof;
}

// Asks for the retention, and reads it back again.
LockProof add_lock(Client& client, const std::string& key, const std::string& version_id,
                   const ExpectedObject& expected, const LockTerms& asked) {
    std::string refusal;
    try {
        client.put_retention(key, version_id, asked);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::timeout) {
            throw;
        }
        refusal = error.message();
    }
    LockProof proof = read_back(client, key, version_id, expected, asked);
    proof.how = "added";
    if (proof.state != LockState::locked && !refusal.empty()) {
        proof.reason += "; " + refusal;
    }
    return proof;
}

void add_hold(Client& client, const std::string& key, const std::string& version_id,
              LockProof& proof) {
    try {
        client.put_legal_hold(key, version_id, true);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::timeout) {
            throw;
        }
        proof.reason += (proof.reason.empty() ? "" : "; ") + error.message();
    }
    proof.legal_hold = client.read_lock(key, version_id).legal_hold == Reading::held;
}

}  // namespace

LockProof prove_lock(Client& client, const std::string& key, const std::string& version_id,
                     const ExpectedObject& expected, const LockTerms& asked, bool hold_wanted) {
    if (version_id.empty() || version_id == "null") {
        // Whatever is said of "the latest", somebody may replace it a moment later.
        LockProof proof;
        proof.state = LockState::unlocked;
        proof.reason = "the bucket keeps no versions, so nothing in it is held";
        return proof;
    }
    LockProof proof = read_back(client, key, version_id, expected, asked);
    if (asked.wanted() && proof.state == LockState::unlocked) {
        proof = add_lock(client, key, version_id, expected, asked);
    }
    if (hold_wanted && !proof.legal_hold) {
        add_hold(client, key, version_id, proof);
    }
    return proof;
}

LockProof extend_lock(Client& client, const std::string& key, const std::string& version_id,
                      const ExpectedObject& expected, const LockTerms& asked) {
    const LockReading before = client.read_lock(key, version_id);
    if (before.retention == Reading::held && before.until && *before.until >= asked.until) {
        return read_back(client, key, version_id, expected, {asked.mode, *before.until});
    }
    return add_lock(client, key, version_id, expected, asked);
}

LockProof prove_again(Client& client, const std::string& key, const std::string& version_id,
                      const ExpectedObject& expected, const LockTerms& asked) {
    const LockReading before = client.read_lock(key, version_id);
    LockTerms terms = asked;
    if (before.retention == Reading::held && before.until) {
        terms.until = std::max(asked.until, *before.until);
    }
    return prove_lock(client, key, version_id, expected, terms);
}

void change_legal_hold(Client& client, const std::string& key, const std::string& version_id,
                       bool on) {
    client.put_legal_hold(key, version_id, on);
    const Reading reading = client.read_lock(key, version_id).legal_hold;
    if (reading != (on ? Reading::held : Reading::none)) {
        throw Error(ErrorCode::failed,
                    fmt::format("the store does not prove that the legal hold of \"{}\" is {}", key,
                                on ? "on" : "off"));
    }
}

KeyDecision adopt_or_rename(Client& client, std::string_view stem, std::string_view suffix,
                            std::uint64_t size, std::string_view sha256_hex) {
    KeyDecision out;
    out.key = std::string(stem) + std::string(suffix);
    const auto info = client.head(out.key);
    if (!info) {
        return out;
    }
    out.reason = "an object of another size is there";
    if (info->size == size) {
        out.reason = "an object with other content is there";
        const bool whole = !info->sha256.empty() && info->sha256.find('-') == std::string::npos;
        bool same = whole && to_hex(from_base64(info->sha256)) == sha256_hex;
        if (!whole) {
            Sha256 digest;
            client.get(out.key, info->version_id,
                       [&](std::span<const std::byte> bytes) { digest.update(bytes); });
            same = digest.hex() == sha256_hex;
        }
        if (same && !info->version_id.empty()) {
            out.action = KeyDecision::Action::adopt;
            out.version_id = info->version_id;
            out.reason = "the same content is there already";
            return out;
        }
    }
    out.action = KeyDecision::Action::rename;
    out.key = fmt::format("{}~{}{}", stem, random_hex(4), suffix);
    return out;
}

}  // namespace immbackup::s3
