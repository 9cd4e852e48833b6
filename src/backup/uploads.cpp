#include "backup/uploads.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/bodies.h"
#include "core/events.h"
#include "io/clock.h"
#include "s3/lock_proof.h"

namespace immbackup {

namespace {

using namespace std::chrono_literals;

// Locks are extended while this much of them is left: jobs may fail for some days.
constexpr auto kExtendBefore = std::chrono::days(3);
constexpr auto kAnchorEvery = 24h;

struct RemoteObject {
    std::string file;
    std::string key;
    std::string version_id;
};
std::vector<RemoteObject> objects_of(const ArtifactEntry& entry) {
    std::vector<RemoteObject> out;
    const auto json = nlohmann::json::parse(entry.objects, nullptr, false);
    if (!json.is_object()) {
        return out;
    }
    for (const auto& [file, object] : json.items()) {
        if (object.is_object() && object.contains("key") && object.contains("version_id") &&
            object["key"].is_string() && object["version_id"].is_string()) {
            out.push_back(
                {file, object["key"].get<std::string>(), object["version_id"].get<std::string>()});
        }
    }
    return out;
}

bool wants_upload(const ArtifactEntry& entry, bool all) {
    return entry.exists() && entry.good() &&
           (entry.upload == "pending" || (all && entry.upload == "failed"));
}

// Whatever is wrong for all of them.
bool concerns_all(const Error& error) {
    return error.code() == ErrorCode::config || error.code() == ErrorCode::permission ||
           error.code() == ErrorCode::cancelled || error.code() == ErrorCode::audit;
}

class Pending {
  public:
    Pending(Remote& remote, Store& store, AuditLog& audit, const CancelToken& cancel,
            Progress& progress)
        : remote_(remote), store_(store), audit_(audit), cancel_(cancel), progress_(progress) {}

    void upload(bool all, UploadReport& report);
    void extend_locks(UploadReport& report);
    void delete_expired();

  private:
    void upload_one(const std::string& stem, UploadReport& report);
    void extend_one(const ArtifactEntry& entry, Time until, UploadReport& report);

    Remote& remote_;
    Store& store_;
    AuditLog& audit_;
    const CancelToken& cancel_;
    Progress& progress_;
};

void Pending::upload(bool all, UploadReport& report) {
    std::vector<std::string> stems;
    const Time time = now();
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        if (wants_upload(entry, all) && (all || next_try(entry) <= time)) {
            stems.push_back(stem);
        }
    }
    for (const auto& stem : stems) {
        cancel_.check();
        upload_one(stem, report);
    }
}

void Pending::upload_one(const std::string& stem, UploadReport& report) {
    try {
        const Manifest manifest = store_.read_manifest(stem);
        ProgressState state;
        state.phase = "uploading";
        state.database = manifest.database.name;
        state.bytes_total = manifest.size;
        progress_.update(state);
        ArtifactUpload upload(remote_, audit_, stem, manifest.format(),
                              upload_terms(remote_, audit_),
                              [this, stem] { return store_.open_artifact(stem); });
        report.uploaded.push_back(upload.finish(store_, manifest));
        tell_upload(report.uploaded.back(), progress_);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        record_upload_failure(audit_, stem, error);
        report.failed.push_back({stem, error});
        progress_.alarm(
            event::kAlarmUploadFailed,
            fmt::format("artifact {} could not be uploaded: {}{}{}", stem, error.message(),
                        error.detail().empty() ? "" : ". ", error.detail()));
        if (concerns_all(error)) {
            throw;
        }
    }
}

// While an artifact is kept, by its retention or by a hold, its lock shall not end.
void Pending::extend_locks(UploadReport& report) {
    const Time time = now();
    std::vector<std::pair<std::string, Time>> wanted;
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        const auto locked = parse_time(entry.locked_until);
        const auto kept = parse_time(entry.retain_until);
        if (!entry.exists() || entry.upload != "locked" || !locked || !kept ||
            *locked > time + kExtendBefore) {
            continue;
        }
        const Time days = time + std::chrono::days(remote_.lock_days(audit_.catalog()));
        const Time until = entry.hold.empty() ? std::min(*kept, days) : days;
        if (until > *locked + 1h) {
            wanted.emplace_back(stem, std::chrono::ceil<std::chrono::seconds>(until));
        }
    }
    for (const auto& [stem, until] : wanted) {
        cancel_.check();
        extend_one(audit_.catalog().artifacts.at(stem), until, report);
    }
}

void Pending::extend_one(const ArtifactEntry& entry, Time until, UploadReport& report) {
    const s3::LockTerms terms{s3_options(remote_.settings()).lock_mode, until};
    std::optional<Time> proven;
    try {
        for (const auto& object : objects_of(entry)) {
            const auto info = remote_.client().head(object.key, object.version_id);
            if (!info) {
                throw Error(ErrorCode::not_found,
                            fmt::format("\"{}\" is not in the bucket any more", object.key));
            }
            s3::ExpectedObject expected;
            expected.size = info->size;
            const s3::LockProof proof =
                s3::extend_lock(remote_.client(), object.key, object.version_id, expected, terms);
            if (proof.state != s3::LockState::locked) {
                throw Error(ErrorCode::failed, proof.reason);
            }
            proven = std::min(*proof.until, proven.value_or(*proof.until));
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        progress_.alarm(event::kAlarmNotLocked,
                        fmt::format("the lock of artifact {} could not be extended: {}",
                                    entry.artifact, error.message()));
        return;
    }
    if (proven) {
        ++report.extended;
        audit_.append(event::kLockExtended, body_text({{"artifact", entry.artifact},
                                                       {"mode", s3::lock_mode_name(terms.mode)},
                                                       {"locked_until", format_time(*proven)}}));
    }
}

// With s3_prune alone: what was pruned here, and whose lock is over.
void Pending::delete_expired() {
    std::vector<std::string> stems;
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        const auto locked = parse_time(entry.locked_until);
        if (!entry.exists() && !entry.objects.empty() && locked && *locked < now() &&
            !entry.legal_hold) {
            stems.push_back(stem);
        }
    }
    for (const auto& stem : stems) {
        cancel_.check();
        const ArtifactEntry& entry = audit_.catalog().artifacts.at(stem);
        Body deleted = Body::array();
        for (const auto& object : objects_of(entry)) {
            const s3::StoreError answer =
                remote_.client().try_delete(object.key, object.version_id);
            if (answer.status / 100 != 2 && answer.status != 404) {
                progress_.warning(fmt::format("\"{}\" could not be deleted: {} {}", object.key,
                                              answer.status, answer.code));
                return;
            }
            deleted.push_back(object.key);
        }
        audit_.append(event::kObjectsDeleted,
                      body_text({{"artifact", stem}, {"objects", std::move(deleted)}}));
    }
}

}  // namespace

Time next_try(const ArtifactEntry& entry) {
    const auto tried = parse_time(entry.upload_tried);
    if (!tried || entry.upload_tries == 0) {
        return {};
    }
    const auto doublings = std::min<std::uint64_t>(entry.upload_tries - 1, 6);
    return *tried + std::min<std::chrono::minutes>(std::chrono::minutes(1U << doublings), 60min);
}

PendingUploads pending_uploads(const Catalog& catalog, const Settings& settings, Time now) {
    PendingUploads out;
    if (settings.s3.bucket.empty()) {
        return out;
    }
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (wants_upload(entry, false)) {
            ++out.count;
            const Time at = std::max(next_try(entry), now);
            out.next = std::min(at, out.next.value_or(at));
        }
    }
    // Not before there ever was something in the bucket.
    if (const auto anchored = parse_time(catalog.anchored)) {
        const Time at = std::max(*anchored + kAnchorEvery, now);
        out.next = std::min(at, out.next.value_or(at));
    }
    return out;
}

void abort_forgotten(Remote& remote, AuditLog& audit) {
    const auto open = [&] {
        const auto still = audit.hold_still();
        return audit.catalog().open_uploads;
    }();
    for (const auto& [id, upload] : open) {
        remote.client().abort(upload.key, id);
        audit.append(
            event::kUploadAborted,
            body_text({{"artifact", upload.artifact}, {"key", upload.key}, {"upload_id", id}}));
    }
}

void tell_upload(const UploadResult& result, Progress& progress) {
    if (result.state != s3::LockState::locked) {
        progress.alarm(
            event::kAlarmNotLocked,
            fmt::format("artifact {} is in the bucket, but its lock is {}: {}", result.artifact,
                        s3::lock_state_name(result.state), result.reason));
    }
    if (!result.finding.empty()) {
        progress.alarm(event::kAlarmNotLocked, result.finding);
    }
}

UploadReport upload_pending(const Settings& settings, Store& store, AuditLog& audit, bool all,
                            const CancelToken& cancel, Progress& progress) {
    UploadReport report;
    audit.refresh();
    const auto remote = Remote::open(settings, audit, cancel);
    if (!remote) {
        throw Error(ErrorCode::config, "nothing is uploaded: no bucket is set", {},
                    "Set immbackup.s3_bucket (S3_BUCKET).");
    }
    constexpr int kPatience = 2;
    const auto lock = acquire_upload_lock(store.layout(), "upload", kPatience, cancel);
    audit.refresh();
    remote->prepare(audit);
    abort_forgotten(*remote, audit);
    Pending pending(*remote, store, audit, cancel, progress);
    pending.upload(all, report);
    if (settings.s3.extend_locks) {
        pending.extend_locks(report);
    }
    if (settings.s3.prune) {
        pending.delete_expired();
    }
    store_anchors(*remote, audit);
    audit.save_checkpoint();
    return report;
}

void set_legal_hold(const Settings& settings, AuditLog& audit, const std::string& artifact, bool on,
                    const CancelToken& cancel) {
    const auto found = audit.catalog().artifacts.find(artifact);
    if (found == audit.catalog().artifacts.end() || found->second.objects.empty() ||
        settings.s3.bucket.empty()) {
        return;
    }
    const auto remote = Remote::open(settings, audit, cancel);
    for (const auto& object : objects_of(found->second)) {
        remote->client().put_legal_hold(object.key, object.version_id, on);
        const s3::LockReading reading = remote->client().read_lock(object.key, object.version_id);
        const bool held = reading.legal_hold == s3::Reading::held;
        if (held != on) {
            throw Error(ErrorCode::failed,
                        fmt::format("the legal hold of \"{}\" could not be proven", object.key));
        }
    }
    audit.append(event::kLegalHoldChanged, body_text({{"artifact", artifact}, {"on", on}}));
}

void follow_with_legal_hold(const Settings& settings, AuditLog& audit, const std::string& act,
                            const std::string& artifact, const CancelToken& cancel) {
    if (act != "hold" && act != "release") {
        return;
    }
    try {
        set_legal_hold(settings, audit, artifact, act == "hold", cancel);
    } catch (const Error& error) {
        throw Error(error.code(),
                    fmt::format("the {} is recorded and counts here, but not in the bucket: {}",
                                act == "hold" ? "hold" : "release", error.message()),
                    error.detail(),
                    error.code() == ErrorCode::permission
                        ? "Let somebody with the right do it: aws s3api put-object-legal-hold."
                        : error.hint());
    }
}

}  // namespace immbackup
