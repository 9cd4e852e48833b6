#include "backup/uploads.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/bodies.h"
#include "core/events.h"
#include "core/names.h"
#include "core/receipt.h"
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
// Error(config) where they are in another bucket than the settings name now.
std::vector<RemoteObject> objects_of(const ArtifactEntry& entry, const S3Settings& settings) {
    std::vector<RemoteObject> out;
    const auto json = nlohmann::json::parse(entry.objects, nullptr, false);
    if (!json.is_object()) {
        return out;
    }
    for (const auto& [file, object] : json.items()) {
        if (object.is_object() && object.contains("key") && object.contains("version_id") &&
            object["key"].is_string() && object["version_id"].is_string()) {
            const auto bucket = object.find("bucket");
            if (bucket != object.end() && *bucket != settings.bucket) {
                throw Error(
                    ErrorCode::config,
                    fmt::format(
                        "it is in bucket {}, which the settings do not name any more",
                        bucket->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)));
            }
            out.push_back(
                {file, object["key"].get<std::string>(), object["version_id"].get<std::string>()});
        }
    }
    // The receipt last: what is left where a store lets only some of them go can still be told from
    // what was never whole.
    std::stable_partition(out.begin(), out.end(), [](const RemoteObject& object) {
        return !object.file.ends_with(kReceiptSuffix);
    });
    return out;
}

bool wants_upload(const ArtifactEntry& entry, bool all) {
    return entry.exists() && entry.good() &&
           (entry.upload == "pending" || (all && entry.upload == "failed"));
}

// Whatever is wrong for all of them. A right may be missing for one alone.
bool concerns_all(const Error& error) {
    return error.code() == ErrorCode::config || error.code() == ErrorCode::cancelled ||
           error.code() == ErrorCode::audit;
}

std::chrono::minutes pause_after(std::uint64_t tries) {
    const auto doublings = std::min<std::uint64_t>(tries == 0 ? 0 : tries - 1, 6);
    return std::min<std::chrono::minutes>(std::chrono::minutes(1U << doublings), 60min);
}

class Pending {
  public:
    Pending(Remote& remote, Store& store, AuditLog& audit, const CancelToken& cancel,
            Progress& progress)
        : remote_(remote), store_(store), audit_(audit), cancel_(cancel), progress_(progress) {}

    void upload(bool all, UploadReport& report);
    void extend_locks(UploadReport& report);
    void delete_expired();
    // Of what ends the pass: for the first that waits, so that it is seen, and counts as a try.
    void stopped(bool all, const Error& error, UploadReport& report);

  private:
    std::vector<std::string> due(bool all) const;
    void failed(const std::string& stem, const Error& error, UploadReport& report);
    void upload_one(const std::string& stem, UploadReport& report);
    bool delete_one(const ArtifactEntry& entry, Body& deleted);
    void extend_one(const ArtifactEntry& entry, Time until, UploadReport& report);

    Remote& remote_;
    Store& store_;
    AuditLog& audit_;
    const CancelToken& cancel_;
    Progress& progress_;
};

std::vector<std::string> Pending::due(bool all) const {
    std::vector<std::string> stems;
    const Time time = now();
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        if (wants_upload(entry, all) && (all || next_try(entry) <= time)) {
            stems.push_back(stem);
        }
    }
    return stems;
}

void Pending::upload(bool all, UploadReport& report) {
    for (const auto& stem : due(all)) {
        cancel_.check();
        upload_one(stem, report);
    }
}

void Pending::upload_one(const std::string& stem, UploadReport& report) {
    const s3::LockTerms terms = upload_terms(remote_, audit_);
    try {
        const Manifest manifest = store_.read_manifest(stem);
        ProgressState state;
        state.phase = "uploading";
        state.database = manifest.database.name;
        state.bytes_total = manifest.size;
        progress_.update(state);
        ArtifactUpload upload(remote_, audit_, stem, manifest.format(), terms,
                              store_.open_artifact(stem));
        report.uploaded.push_back(upload.finish(store_, manifest));
        tell_upload(report.uploaded.back(), progress_);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        failed(stem, error, report);
        if (concerns_all(error)) {
            throw;
        }
    }
}

void Pending::failed(const std::string& stem, const Error& error, UploadReport& report) {
    record_upload_failure(audit_, stem, error);
    report.failed.push_back({stem, error});
    progress_.alarm(event::kAlarmUploadFailed,
                    fmt::format("artifact {} could not be uploaded: {}{}{}", stem, error.message(),
                                error.detail().empty() ? "" : ". ", error.detail()));
}

void Pending::stopped(bool all, const Error& error, UploadReport& report) {
    const auto stems = due(all);
    if (!stems.empty() && report.failed.empty() && error.code() != ErrorCode::cancelled) {
        // Whatever it is, it is not this artifact's fault: it stays pending.
        failed(stems.front(),
               Error(is_permanent(error) ? ErrorCode::failed : error.code(), error.message(),
                     error.detail(), error.hint()),
               report);
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
    // As it was locked, whatever the settings say by now.
    const s3::LockTerms terms{
        s3::parse_lock_mode(entry.lock_mode).value_or(s3_options(remote_.settings()).lock_mode),
        until};
    std::optional<Time> proven;
    try {
        for (const auto& object : objects_of(entry, remote_.settings())) {
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
        Body deleted = Body::array();
        if (delete_one(audit_.catalog().artifacts.at(stem), deleted)) {
            audit_.append(event::kObjectsDeleted,
                          body_text({{"artifact", stem}, {"objects", std::move(deleted)}}));
        }
    }
}

// False, with a warning, where one of them stays: the next pass tries again.
bool Pending::delete_one(const ArtifactEntry& entry, Body& deleted) {
    try {
        for (const auto& object : objects_of(entry, remote_.settings())) {
            const s3::StoreError answer =
                remote_.client().try_delete(object.key, object.version_id);
            const bool gone = answer.status == 404 && answer.code != "NoSuchBucket";
            if (answer.status / 100 != 2 && !gone) {
                throw Error(ErrorCode::failed,
                            fmt::format("\"{}\": {} {}", object.key, answer.status, answer.code));
            }
            deleted.push_back(object.key);
        }
        return true;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        progress_.warning(fmt::format("artifact {} could not be deleted from the bucket: {}",
                                      entry.artifact, error.message()));
        return false;
    }
}

}  // namespace

Time next_try(const ArtifactEntry& entry) {
    const auto tried = parse_time(entry.upload_tried);
    if (!tried || entry.upload_tries == 0) {
        return {};
    }
    return *tried + pause_after(entry.upload_tries);
}

PendingUploads pending_uploads(const Catalog& catalog, const Settings& settings, Time now,
                               bool stopped) {
    PendingUploads out;
    std::uint64_t tries = 0;
    if (settings.s3.bucket.empty()) {
        return out;
    }
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (wants_upload(entry, false)) {
            ++out.count;
            tries = std::max(tries, entry.upload_tries);
            const Time at = std::max(next_try(entry), now);
            out.next = std::min(at, out.next.value_or(at));
        }
    }
    // Not before there ever was something in the bucket.
    if (const auto anchored = parse_time(catalog.anchored)) {
        const Time at = std::max(*anchored + kAnchorEvery, now);
        out.next = std::min(at, out.next.value_or(at));
    }
    if (stopped && out.next) {
        // Where nothing is pending, an anchor waits, which is in less of a hurry.
        out.next = std::max(*out.next, now + (out.count == 0 ? 60min : pause_after(tries)));
    }
    return out;
}

namespace {

// Keys as only this instance writes them: under its prefix, named for one of its runs.
bool is_ours(const Catalog& catalog, std::string_view name) {
    constexpr std::string_view kDump = ".sql.gz";
    if (name.starts_with(".immbackup-probe-")) {
        return true;
    }
    if (!name.ends_with(kDump)) {
        return false;
    }
    const auto stem =
        parse_stem(name.substr(0, std::min(name.find('~'), name.size() - kDump.size())));
    return stem && catalog.runs.contains(stem->run_id);
}

std::map<std::string, Catalog::OpenUpload> forgotten_uploads(Remote& remote, AuditLog& audit) {
    std::vector<s3::ListedUpload> listed;
    const std::string folder = remote.client().key_of("");
    try {
        listed = remote.client().list_uploads(folder);
    } catch (const Error& error) {
        // Without the right to list them there are still the recorded ones.
        if (error.code() != ErrorCode::permission && error.code() != ErrorCode::failed) {
            throw;
        }
    }
    const auto still = audit.hold_still();
    auto out = audit.catalog().open_uploads;
    for (const auto& upload : listed) {
        const std::string_view name = upload.key.starts_with(folder)
                                          ? std::string_view(upload.key).substr(folder.size())
                                          : std::string_view();
        if (is_ours(audit.catalog(), name)) {
            out.try_emplace(
                upload.upload_id,
                Catalog::OpenUpload{std::string(name.substr(0, name.find(".sql.gz"))), upload.key});
        }
    }
    return out;
}

}  // namespace

void abort_forgotten(Remote& remote, AuditLog& audit) {
    for (const auto& [id, upload] : forgotten_uploads(remote, audit)) {
        try {
            remote.client().abort(upload.key, id);
        } catch (const Error& error) {
            // One that the store does not let go keeps none from being uploaded; the next job tries
            // again.
            if (error.code() != ErrorCode::permission && error.code() != ErrorCode::failed) {
                throw;
            }
            continue;
        }
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
    Pending pending(*remote, store, audit, cancel, progress);
    try {
        remote->prepare(audit);
        abort_forgotten(*remote, audit);
        pending.upload(all, report);
    } catch (const Error& error) {
        pending.stopped(all, error, report);
        throw;
    }
    if (settings.s3.extend_locks) {
        pending.extend_locks(report);
    }
    if (settings.s3.prune) {
        pending.delete_expired();
    }
    store_anchors(*remote, audit, progress);
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
    for (const auto& object : objects_of(found->second, settings.s3)) {
        s3::change_legal_hold(remote->client(), object.key, object.version_id, on);
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
