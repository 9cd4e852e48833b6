#include "backup/uploads.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/bodies.h"
#include "backup/locks.h"
#include "backup/remote_objects.h"
#include "core/events.h"
#include "core/names.h"
#include "io/clock.h"
#include "s3/lock_proof.h"

namespace immbackup {

namespace {

using namespace std::chrono_literals;

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
    // Of what ends the pass: for the first that waits, so that it is seen, and counts as a try.
    void stopped(bool all, const Error& error, UploadReport& report);

  private:
    std::vector<std::string> due(bool all) const;
    void failed(const std::string& stem, const Error& error, UploadReport& report);
    void upload_one(const std::string& stem, UploadReport& report);

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
        failed(stems.front(), of_all_uploads(error), report);
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
    if (const auto due = locks_due(catalog, settings.s3)) {
        const Time at = std::max(*due, now);
        out.next = std::min(at, out.next.value_or(at));
    }
    if (stopped && out.next) {
        // Where nothing is pending, anchors or locks wait, which are in less of a hurry.
        out.next = std::max(*out.next, now + (out.count == 0 ? 60min : pause_after(tries)));
    }
    return out;
}

std::optional<std::string> own_upload(const Catalog& catalog, std::string_view name) {
    if (name.starts_with(".immbackup-probe-")) {
        return std::string(name);
    }
    for (const DumpFormat format : kDumpFormats) {
        const std::string_view dump = artifact_suffix(format);
        if (!name.ends_with(dump)) {
            continue;
        }
        const auto stem = name.substr(0, std::min(name.find('~'), name.size() - dump.size()));
        const auto parsed = parse_stem(stem);
        if (parsed && catalog.runs.contains(parsed->run_id)) {
            return std::string(stem);
        }
    }
    return std::nullopt;
}

namespace {

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
        if (const auto artifact = own_upload(audit.catalog(), name)) {
            out.try_emplace(upload.upload_id, Catalog::OpenUpload{*artifact, upload.key});
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

void tell_finding(Remote& remote, Progress& progress) {
    if (const std::string finding = remote.take_finding(); !finding.empty()) {
        progress.alarm(event::kAlarmNotLocked, finding);
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
        tell_finding(*remote, progress);
        abort_forgotten(*remote, audit);
        pending.upload(all, report);
    } catch (const Error& error) {
        pending.stopped(all, error, report);
        throw;
    }
    keep_locks(*remote, audit, all, cancel, progress, report);
    store_anchors(*remote, audit, all, progress);
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
