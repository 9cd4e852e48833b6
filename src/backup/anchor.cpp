// Anchors: the audit log as locked objects, so that cutting it off or writing it anew shows.

#include <fmt/format.h>

#include "backup/bodies.h"
#include "backup/uploads.h"
#include "core/events.h"
#include "io/clock.h"
#include "s3/lock_proof.h"

namespace immbackup {

namespace {

constexpr std::uint64_t kMaxRecords = 10'000;  // of one object
constexpr std::size_t kMaxBytes = 16 * 1024 * 1024;

struct Chunk {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::string head;
    std::string lines;
};

// Records as they stand in the log: the envelope has one spelling only.
Chunk read_chunk(const Layout& layout, std::uint64_t after) {
    Chunk chunk;
    read_audit(layout, after, [&](const AuditRecord* record, std::uint64_t, const std::string&) {
        if (record == nullptr) {
            return true;  // an explained torn line; verify_audit() judges others
        }
        AuditRecord copy = *record;
        chunk.lines += format_audit_line(copy);
        chunk.first = chunk.first == 0 ? record->seq : chunk.first;
        chunk.last = record->seq;
        chunk.head = record->hash;
        return chunk.last - chunk.first + 1 < kMaxRecords && chunk.lines.size() < kMaxBytes;
    });
    return chunk;
}

// Whether its lock is proven.
bool store_chunk(Remote& remote, AuditLog& audit, const Chunk& chunk, Progress& progress) {
    s3::Client& client = remote.client();
    s3::ObjectSpec spec;
    const std::string stem =
        client.key_of(fmt::format("audit/{:012}-{:012}", chunk.first, chunk.last));
    const auto decision =
        s3::adopt_or_rename(client, stem, ".jsonl", chunk.lines.size(), sha256_hex(chunk.lines));
    spec.key = decision.key;
    const int days = remote.settings().anchor_days;
    spec.lock = client.lock_terms(days < 0 ? remote.lock_days(audit.catalog()) : days);
    spec.content_type = "application/x-ndjson";
    spec.metadata = {{"head", chunk.head},
                     {"records", fmt::format("{}", chunk.last - chunk.first + 1)},
                     {"instance", audit.catalog().instance}};
    const s3::Body body = s3::text_body(chunk.lines);
    s3::ExpectedObject expected;
    expected.size = chunk.lines.size();
    std::string version = decision.version_id;
    if (decision.action != s3::KeyDecision::Action::adopt) {
        expected.sha256 = s3::base64(body.digests.sha256);
        version = client.put(spec, body).version_id;
    }
    const s3::LockProof proof = s3::prove_lock(client, spec.key, version, expected, spec.lock);
    audit.append(event::kAnchorStored,
                 body_text({{"first", chunk.first},
                            {"last", chunk.last},
                            {"head", chunk.head},
                            {"key", spec.key},
                            {"version_id", proof.version_id},
                            {"state", s3::lock_state_name(proof.state)},
                            {"until", proof.until ? format_time(*proof.until) : ""}}));
    if (proof.state != s3::LockState::locked) {
        progress.alarm(event::kAlarmNotLocked,
                       fmt::format("anchor \"{}\" of the audit log is in the bucket, but its lock "
                                   "is {}: {}",
                                   spec.key, s3::lock_state_name(proof.state), proof.reason));
    }
    return proof.state == s3::LockState::locked;
}

// Not yet: a piece that could not be proven a few hours ago, or that would hold nothing but the
// record of the one before.
bool may_wait(const Catalog& catalog) {
    const auto anchored = parse_time(catalog.anchored);
    const bool unproven = !catalog.anchor_state.empty() && catalog.anchor_state != "locked";
    return anchored && now() < *anchored + kAnchorEvery &&
           (unproven || catalog.head_seq <= catalog.anchored_seq + 1);
}

}  // namespace

void store_anchors(Remote& remote, AuditLog& audit, bool at_once, Progress& progress) {
    audit.refresh();
    if (!at_once && may_wait(audit.catalog())) {
        return;
    }
    const std::uint64_t head = audit.catalog().head_seq;
    while (audit.catalog().anchored_seq < head) {
        const Chunk chunk = read_chunk(audit.layout(), audit.catalog().anchored_seq);
        if (chunk.last == 0) {
            return;
        }
        if (!store_chunk(remote, audit, chunk, progress)) {
            return;
        }
    }
}

}  // namespace immbackup
