#include "backup/upload.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>

#include "backup/bodies.h"
#include "backup/preflight_cache.h"
#include "core/events.h"
#include "core/receipt.h"
#include "io/clock.h"

namespace immbackup {

namespace {

s3::ObjectSpec spec_of(const std::string& key, const s3::LockTerms& terms, const char* type) {
    s3::ObjectSpec spec;
    spec.key = key;
    spec.lock = terms;
    spec.content_type = type;
    spec.only_if_absent = true;
    return spec;
}

Fd duplicate(const Fd& fd) {
    Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) {
        throw system_error(errno, "duplicate a file descriptor");
    }
    return copy;
}

std::string time_or_empty(std::optional<Time> time) {
    return time ? format_time(*time) : std::string();
}

}  // namespace

s3::LockTerms upload_terms(Remote& remote, const AuditLog& audit) {
    const int days = [&] {
        const auto still = audit.hold_still();
        return remote.lock_days(audit.catalog());
    }();
    return remote.client().lock_terms(days);
}

ArtifactUpload::ArtifactUpload(Remote& remote, AuditLog& audit, std::string stem, DumpFormat format,
                               const s3::LockTerms& terms, Fd file)
    : remote_(remote),
      audit_(audit),
      stem_(std::move(stem)),
      format_(format),
      dump_suffix_(artifact_suffix(format)),
      key_stem_(remote.client().key_of(stem_)),
      file_(std::move(file)),
      terms_(terms) {
    start(key_stem_ + dump_suffix_);
}

ArtifactUpload::~ArtifactUpload() {
    abandon();
}

void ArtifactUpload::start(const std::string& key) {
    s3::Uploader::Callbacks callbacks;
    callbacks.open = [this] { return duplicate(file_); };
    callbacks.began = [this, key](const std::string& upload_id) {
        audit_.append(event::kUploadBegun,
                      body_text({{"artifact", stem_}, {"key", key}, {"upload_id", upload_id}}));
    };
    s3::ObjectSpec spec =
        spec_of(key, terms_, format_ == DumpFormat::zstd ? "application/zstd" : "application/gzip");
    spec.storage_class = true;
    uploader_ = std::make_unique<s3::Uploader>(
        remote_.client(), std::move(spec), growth_,
        s3::PartPlan(static_cast<std::uint32_t>(remote_.settings().max_parts)),
        std::move(callbacks));
}

void ArtifactUpload::give_up() {
    growth_.failed();
    if (uploader_) {
        uploader_->stop();
    }
}

void ArtifactUpload::abandon() noexcept {
    if (!uploader_) {
        return;
    }
    const auto within = remote_.abort_time();
    try {
        if (within.count() == 0) {
            uploader_->leave();
        } else {
            uploader_->abort(within);
            // Known only now that its threads have ended.
            const std::string upload_id = uploader_->upload_id();
            if (!upload_id.empty()) {
                audit_.append(event::kUploadAborted, body_text({{"artifact", stem_},
                                                                {"key", key_stem_ + dump_suffix_},
                                                                {"upload_id", upload_id}}));
            }
        }
    } catch (const std::exception&) {
        // Its id is in the log: the next job aborts it.
        remote_.abort_failed();
        uploader_->leave();
    }
    uploader_.reset();
}

UploadResult ArtifactUpload::finish(const Store& store, const Manifest& manifest) {
    growth_.grown_to(manifest.size);
    growth_.finished();
    upload_dump(manifest);
    const std::string& stem = manifest.artifact;
    upload_text(dump_suffix_ + std::string(kDigestSuffix), digest_file(stem, format_),
                store.digest_text(stem));
    upload_text(dump_suffix_ + std::string(kManifestSuffix), manifest_file(stem, format_),
                store.manifest_text(stem));
    upload_receipt(manifest);
    return conclude();
}

// One that says the same is there already where its answer was lost, or the job was killed before
// its record; only the time in it differs. A second one would be locked as long, and say no more.
void ArtifactUpload::upload_receipt(const Manifest& manifest) {
    s3::Client& client = remote_.client();
    const std::string file = stem_ + std::string(kReceiptSuffix);
    const std::string key = key_stem_ + std::string(kReceiptSuffix);
    std::string text = receipt(manifest, dump_);
    if (const auto info = client.head(key); info && info->size <= kMaxReceiptSize) {
        try {
            const std::string there = client.get_text(key, info->version_id, kMaxReceiptSize);
            if (same_artifact(receipt_from_json(there, key), receipt_from_json(text, key))) {
                text = there;
            }
        } catch (const Error& error) {
            // Another's, or none at all: left alone, as any other object.
            if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::version &&
                error.code() != ErrorCode::not_found) {
                throw;
            }
        }
    }
    upload_text(std::string(kReceiptSuffix), file, std::move(text));
}

// A key that exists is read back: adopted where it is ours, otherwise left alone.
void ArtifactUpload::upload_dump(const Manifest& manifest) {
    s3::Client& client = remote_.client();
    const auto decide = [&] {
        return s3::adopt_or_rename(client, key_stem_, dump_suffix_, manifest.size, manifest.sha256);
    };
    s3::KeyDecision decision = decide();
    if (decision.action == s3::KeyDecision::Action::upload) {
        try {
            dump_ = uploader_->complete();
            uploader_.reset();
            prove(artifact_file(stem_, format_), dump_.key, dump_.version_id, dump_.expected,
                  dump_.upload_id);
            return;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::exists) {
                throw;
            }
        }
        decision = decide();
    }
    abandon();
    if (decision.action == s3::KeyDecision::Action::adopt) {
        dump_.key = decision.key;
        dump_.version_id = decision.version_id;
        dump_.expected.size = manifest.size;
    } else {
        // What follows the dump goes beside it.
        found_other(key_stem_ + dump_suffix_, decision);
        key_stem_ = decision.key.substr(0, decision.key.size() - dump_suffix_.size());
        start(decision.key);
        dump_ = uploader_->complete();
        uploader_.reset();
    }
    prove(artifact_file(stem_, format_), dump_.key, dump_.version_id, dump_.expected,
          dump_.upload_id);
}

void ArtifactUpload::found_other(const std::string& key, const s3::KeyDecision& decision) {
    finding_ += fmt::format(
        "{}\"{}\" holds something else ({}): it was left alone, and the upload went to \"{}\"",
        finding_.empty() ? "" : "; ", key, decision.reason, decision.key);
}

void ArtifactUpload::upload_text(const std::string& suffix, const std::string& file,
                                 std::string content) {
    s3::Client& client = remote_.client();
    const s3::KeyDecision decision =
        s3::adopt_or_rename(client, key_stem_, suffix, content.size(), sha256_hex(content));
    s3::ExpectedObject expected;
    expected.size = content.size();
    if (decision.action == s3::KeyDecision::Action::adopt) {
        prove(file, decision.key, decision.version_id, expected, {});
        return;
    }
    if (decision.action == s3::KeyDecision::Action::rename) {
        found_other(key_stem_ + suffix, decision);
    }
    const s3::Body body = s3::text_body(std::move(content));
    expected.sha256 = s3::base64(body.digests.sha256);
    const s3::Written written =
        client.put(spec_of(decision.key, terms_,
                           suffix.ends_with(".json") ? "application/json" : "text/plain"),
                   body);
    prove(file, decision.key, written.version_id, expected, {});
}

void ArtifactUpload::prove(const std::string& file, const std::string& key,
                           const std::string& version, const s3::ExpectedObject& expected,
                           const std::string& upload_id) {
    Object object{file, key, s3::prove_lock(remote_.client(), key, version, expected, terms_),
                  expected};
    Body body{
        {"artifact", stem_}, {"file", file}, {"key", key}, {"version_id", object.proof.version_id}};
    if (!upload_id.empty()) {
        body["upload_id"] = upload_id;
    }
    body["size"] = expected.size;
    body["state"] = s3::lock_state_name(object.proof.state);
    body["mode"] = s3::lock_mode_name(object.proof.mode);
    body["until"] = time_or_empty(object.proof.until);
    body["content"] = object.proof.content;
    body["how"] = object.proof.how;
    if (!object.proof.reason.empty()) {
        body["reason"] = bounded_text(object.proof.reason, 2000);
    }
    audit_.append(event::kObjectUploaded, body_text(body));
    objects_.push_back(std::move(object));
}

std::string ArtifactUpload::receipt(const Manifest& manifest, const s3::Uploaded& dump) const {
    Receipt out;
    out.artifact = manifest.artifact;
    out.instance = manifest.instance;
    out.globals = manifest.globals;
    out.database = manifest.database.name;
    out.sha256 = manifest.sha256;
    out.size = manifest.size;
    out.sql_size = manifest.sql_size;
    out.rows = manifest.rows;
    out.tier = manifest.tier;
    out.taken = manifest.snapshot_before;
    out.retain_until = manifest.retain_until;
    out.written = now();
    out.parts = dump.parts;
    out.first_part = dump.first_part;
    out.doubles_after = dump.parts_of_one_size;
    for (const auto& object : objects_) {
        out.objects[object.file] = {object.key,
                                    object.proof.version_id,
                                    object.expected.size,
                                    object.expected.sha256,
                                    std::string(s3::lock_state_name(object.proof.state)),
                                    std::string(s3::lock_mode_name(object.proof.mode)),
                                    time_or_empty(object.proof.until),
                                    object.proof.content,
                                    object.proof.how};
    }
    return receipt_to_json(out);
}

// The weakest of the four says what the artifact's lock is worth.
UploadResult ArtifactUpload::conclude() {
    UploadResult result;
    result.artifact = stem_;
    result.finding = finding_;
    result.state = s3::LockState::locked;
    std::optional<Time> until;
    Body objects = Body::object();
    for (const auto& object : objects_) {
        if (object.proof.state > result.state) {
            result.state = object.proof.state;
            result.reason = object.file + ": " + object.proof.reason;
        }
        if (object.proof.until) {
            until = std::min(*object.proof.until, until.value_or(*object.proof.until));
        }
        objects[object.file] = {{"bucket", remote_.settings().bucket},
                                {"key", object.key},
                                {"version_id", object.proof.version_id}};
    }
    result.locked_until = result.state == s3::LockState::locked ? time_or_empty(until) : "";
    Body body{{"artifact", stem_},
              {"state", s3::lock_state_name(result.state)},
              {"mode", s3::lock_mode_name(objects_.front().proof.mode)},
              {"locked_until", result.locked_until},
              {"objects", std::move(objects)}};
    if (!result.reason.empty()) {
        PreflightCache::forget(audit_.layout());
        body["reason"] = bounded_text(result.reason, 2000);
    }
    audit_.append(event::kArtifactUploaded, body_text(body));
    follow_hold(result);
    return result;
}

// A hold that was put on it before it was in the bucket. One that comes now finds the record of its
// objects, and goes along by itself (backup/uploads.h).
void ArtifactUpload::follow_hold(UploadResult& result) {
    const bool held = [&] {
        const auto still = audit_.hold_still();
        const auto found = audit_.catalog().artifacts.find(stem_);
        return found != audit_.catalog().artifacts.end() && !found->second.hold.empty() &&
               !found->second.legal_hold;
    }();
    if (!held) {
        return;
    }
    try {
        for (const auto& object : objects_) {
            s3::change_legal_hold(remote_.client(), object.key, object.proof.version_id, true);
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        result.finding += fmt::format("{}artifact {} is under a hold, but not in the bucket: {}",
                                      result.finding.empty() ? "" : "; ", stem_, error.message());
        return;
    }
    audit_.append(event::kLegalHoldChanged, body_text({{"artifact", stem_}, {"on", true}}));
}

bool is_permanent(const Error& error) {
    return error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_found ||
           error.code() == ErrorCode::rejected;
}

Error of_all_uploads(const Error& error) {
    return {is_permanent(error) ? ErrorCode::failed : error.code(), error.message(), error.detail(),
            error.hint()};
}

void record_upload_failure(AuditLog& audit, const std::string& stem, const Error& error) {
    PreflightCache::forget(audit.layout());
    audit.append(event::kUploadFailed,
                 body_text({{"artifact", stem},
                            {"state", is_permanent(error) ? "failed" : "pending"},
                            {"error", error_body(error)}}));
}

}  // namespace immbackup
