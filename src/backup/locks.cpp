#include "backup/locks.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "backup/bodies.h"
#include "backup/remote_objects.h"
#include "core/events.h"
#include "core/lock_dates.h"
#include "core/names.h"
#include "io/clock.h"
#include "s3/lock_proof.h"

namespace immbackup {

namespace {

using namespace std::chrono_literals;

constexpr auto kPause = 1h;

bool not_proven(const ArtifactEntry& entry) {
    return entry.exists() && !entry.objects.empty() &&
           (entry.upload == "unproven" || entry.upload == "unlocked");
}

std::optional<Time> proof_due(const ArtifactEntry& entry) {
    const auto uploaded = parse_time(entry.upload_tried);
    return not_proven(entry) ? std::optional(uploaded.value_or(Time{}) + kPause) : std::nullopt;
}

// What was pruned here, and whose lock is over.
std::optional<Time> deletion_due(const ArtifactEntry& entry) {
    return !entry.exists() && !entry.objects.empty() && !entry.legal_hold
               ? parse_time(entry.locked_until)
               : std::nullopt;
}

class LockPass {
  public:
    LockPass(Remote& remote, AuditLog& audit, bool all, const CancelToken& cancel,
             Progress& progress, UploadReport& report)
        : remote_(remote),
          audit_(audit),
          all_(all),
          cancel_(cancel),
          progress_(progress),
          report_(report) {}

    void extend();
    void prove();
    void delete_expired();
    void conclude();

  private:
    using Due = std::function<std::optional<Time>(const ArtifactEntry&)>;
    // Does `act` for each artifact whose time has come.
    void each(const Due& due, const char* what, void (LockPass::*act)(const ArtifactEntry&));
    void extend_one(const ArtifactEntry& entry);
    void prove_one(const ArtifactEntry& entry);
    void delete_one(const ArtifactEntry& entry);
    std::vector<RemoteObject> objects(const ArtifactEntry& entry) const;
    s3::ExpectedObject expected_of(const ArtifactEntry& entry, const RemoteObject& object);
    Time longest();

    Remote& remote_;
    AuditLog& audit_;
    const bool all_;
    const CancelToken& cancel_;
    Progress& progress_;
    UploadReport& report_;
    std::optional<Time> longest_;
    Body problems_ = Body::object();
    std::string first_;
};

void LockPass::each(const Due& due, const char* what, void (LockPass::*act)(const ArtifactEntry&)) {
    std::vector<std::string> stems;
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        if (const auto at = due(entry); at && *at <= now()) {
            stems.push_back(stem);
        }
    }
    for (const auto& stem : stems) {
        cancel_.check();
        try {
            (this->*act)(audit_.catalog().artifacts.at(stem));
        } catch (const Error& error) {
            if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::audit) {
                throw;
            }
            constexpr std::size_t kTold = 50;
            const std::string reason = fmt::format("{}: {}", what, error.message());
            if (first_.empty()) {
                first_ = fmt::format("artifact {}, {}", stem, reason);
            }
            if (problems_.size() < kTold) {
                problems_[stem] = bounded_text(reason, 500);
            }
        }
    }
}

// By our clock and the store's, which must agree: the date cannot be taken back.
Time LockPass::longest() {
    if (!longest_) {
        longest_ = upload_terms(remote_, audit_).until;
    }
    return *longest_;
}

std::vector<RemoteObject> LockPass::objects(const ArtifactEntry& entry) const {
    auto out = objects_of(entry, remote_.settings());
    if (out.empty()) {
        throw Error(ErrorCode::failed, "its record names no objects");
    }
    return out;
}

s3::ExpectedObject LockPass::expected_of(const ArtifactEntry& entry, const RemoteObject& object) {
    const auto info = remote_.client().head(object.key, object.version_id);
    if (!info) {
        throw Error(ErrorCode::not_found,
                    fmt::format("version {} of \"{}\" is not in the bucket any more",
                                object.version_id, object.key));
    }
    s3::ExpectedObject expected;
    const bool dump = std::any_of(kDumpFormats.begin(), kDumpFormats.end(), [&](DumpFormat format) {
        return object.file == artifact_file(entry.artifact, format);
    });
    expected.size = dump ? entry.size : info->size;
    return expected;
}

void LockPass::extend() {
    if (remote_.settings().extend_locks) {
        const int days = remote_.lock_days(audit_.catalog());
        each([days](const ArtifactEntry& entry) { return extension_due(entry, days); },
             "its lock could not be extended", &LockPass::extend_one);
    }
}

void LockPass::extend_one(const ArtifactEntry& entry) {
    const auto until = extended_until(entry, longest());
    if (!until) {
        throw Error(ErrorCode::failed, "the clock does not allow a later date");
    }
    // As it was locked, whatever the settings say by now.
    const s3::LockTerms terms{
        s3::parse_lock_mode(entry.lock_mode).value_or(remote_.client().options().lock_mode),
        *until};
    Time proven = Time::max();
    for (const auto& object : objects(entry)) {
        const s3::LockProof proof = s3::extend_lock(remote_.client(), object.key, object.version_id,
                                                    expected_of(entry, object), terms);
        if (proof.state != s3::LockState::locked) {
            throw Error(ErrorCode::failed, proof.reason);
        }
        proven = std::min(proven, *proof.until);
    }
    ++report_.extended;
    audit_.append(event::kLockExtended, body_text({{"artifact", entry.artifact},
                                                   {"mode", s3::lock_mode_name(terms.mode)},
                                                   {"locked_until", format_time(proven)}}));
}

void LockPass::prove() {
    each(
        [this](const ArtifactEntry& entry) {
            return all_ && not_proven(entry) ? std::optional(Time{}) : proof_due(entry);
        },
        "its lock could not be proven", &LockPass::prove_one);
}

// With the date that was asked for when it was uploaded, unless that is (nearly) over.
void LockPass::prove_one(const ArtifactEntry& entry) {
    const auto uploaded = parse_time(entry.upload_tried);
    const auto days = std::chrono::days(remote_.lock_days(audit_.catalog()));
    const auto asked = std::chrono::ceil<std::chrono::seconds>(uploaded.value_or(Time{}) + days);
    const s3::LockTerms terms{remote_.client().options().lock_mode,
                              asked > now() + 24h ? std::min<Time>(asked, longest()) : longest()};
    UploadResult result;
    result.artifact = entry.artifact;
    result.state = s3::LockState::locked;
    s3::LockMode mode = terms.mode;
    std::optional<Time> until;
    Body found = Body::object();
    for (const auto& object : objects(entry)) {
        const s3::LockProof proof = s3::prove_again(remote_.client(), object.key, object.version_id,
                                                    expected_of(entry, object), terms);
        if (proof.state > result.state) {
            result.state = proof.state;
            result.reason = object.file + ": " + proof.reason;
        }
        mode = std::min(mode, proof.mode);
        if (proof.until) {
            until = std::min(*proof.until, until.value_or(*proof.until));
        }
        found[object.file] = {{"version_id", object.version_id},
                              {"state", s3::lock_state_name(proof.state)},
                              {"until", proof.until ? format_time(*proof.until) : ""},
                              {"how", proof.how}};
    }
    const bool locked = result.state == s3::LockState::locked;
    result.locked_until = locked && until ? format_time(*until) : "";
    report_.proven.push_back(result);
    if (entry.upload != s3::lock_state_name(result.state)) {
        Body body{{"artifact", entry.artifact},
                  {"state", s3::lock_state_name(result.state)},
                  {"mode", s3::lock_mode_name(mode)},
                  {"locked_until", result.locked_until},
                  {"objects", std::move(found)}};
        if (!locked) {
            body["reason"] = bounded_text(result.reason, 2000);
        }
        audit_.append(event::kLockProven, body_text(body));
    }
    if (!locked) {
        throw Error(ErrorCode::failed, result.reason);
    }
}

void LockPass::delete_expired() {
    if (remote_.settings().prune) {
        each(deletion_due, "its objects could not be deleted", &LockPass::delete_one);
    }
}

void LockPass::delete_one(const ArtifactEntry& entry) {
    const std::string stem = entry.artifact;
    Body deleted = Body::array();
    for (const auto& object : objects_of(entry, remote_.settings())) {
        const s3::StoreError answer = remote_.client().try_delete(object.key, object.version_id);
        const bool gone = answer.status == 404 && answer.code != "NoSuchBucket";
        if (answer.status / 100 != 2 && !gone) {
            throw Error(ErrorCode::failed,
                        fmt::format("\"{}\": {} {}", object.key, answer.status, answer.code));
        }
        deleted.push_back(object.key);
    }
    audit_.append(event::kObjectsDeleted,
                  body_text({{"artifact", stem}, {"objects", std::move(deleted)}}));
}

// The record makes the next pass wait, and says when all is well again.
void LockPass::conclude() {
    const std::string before = audit_.catalog().lock_problem;
    if (problems_.empty() && before.empty()) {
        return;
    }
    std::string problem = bounded_text(first_, 1000);
    if (problems_.size() > 1) {
        problem += fmt::format("; and {} more", problems_.size() - 1);
    }
    if (!first_.empty() && problem != before) {
        progress_.alarm(event::kAlarmNotLocked, "in the bucket: " + problem);
    }
    audit_.append(event::kLocksTried,
                  body_text({{"artifacts", std::move(problems_)}, {"problem", problem}}));
}

}  // namespace

std::optional<Time> locks_due(const Catalog& catalog, const S3Settings& settings) {
    std::optional<Time> due;
    const int days = lock_days(catalog, settings);
    for (const auto& [stem, entry] : catalog.artifacts) {
        for (const auto& at :
             {settings.extend_locks ? extension_due(entry, days) : std::nullopt, proof_due(entry),
              settings.prune ? deletion_due(entry) : std::nullopt}) {
            if (at) {
                due = std::min(*at, due.value_or(*at));
            }
        }
    }
    const auto tried = parse_time(catalog.locks_tried);
    return due && tried ? std::optional(std::max(*due, *tried + kPause)) : due;
}

void keep_locks(Remote& remote, AuditLog& audit, bool all, const CancelToken& cancel,
                Progress& progress, UploadReport& report) {
    const auto tried = parse_time(audit.catalog().locks_tried);
    if (!all && tried && now() < *tried + kPause) {
        return;
    }
    LockPass pass(remote, audit, all, cancel, progress, report);
    pass.extend();
    pass.prove();
    pass.delete_expired();
    pass.conclude();
}

}  // namespace immbackup
