#include "restore/anchors.h"

#include "core/error.h"
#include "io/clock.h"
#include "store/audit_log.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxObject = 64UL * 1024 * 1024;

// Until when it is held; empty where it is not, or nobody says.
std::string held_until(s3::Client& client, const s3::ListedVersion& version) {
    const s3::LockReading reading = client.read_lock(version.key, version.version_id);
    const bool held =
        reading.retention == s3::Reading::held && reading.until && *reading.until > now();
    return held ? format_time(*reading.until) : std::string();
}

}  // namespace

AnchorReport verify_anchors(s3::Client& client, const Layout* local) {
    AnchorBook book;
    for (const auto& version : client.list_versions(client.key_of("audit/"))) {
        if (version.delete_marker) {
            continue;
        }
        // Anybody who may write can put something there that is none: it must not hide the others.
        try {
            book.add(version.key, client.get_text(version.key, version.version_id, kMaxObject),
                     held_until(client, version));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::not_found) {
                throw;
            }
            book.unreadable(version.key, error.message());
        }
    }
    if (local != nullptr) {
        read_audit(*local, 0, [&](const AuditRecord* record, std::uint64_t, const std::string&) {
            if (record != nullptr) {
                book.compare(*record);
            }
            return true;
        });
    }
    return book.finish(local != nullptr);
}

}  // namespace immbackup
