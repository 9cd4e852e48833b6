#include "backup/run_uploads.h"

#include <fmt/format.h>

#include "backup/uploads.h"
#include "core/events.h"
#include "io/time_limit.h"

namespace immbackup {

namespace {

// Uploads whose files are still open, with a few threads each.
constexpr std::size_t kMaxAhead = 4;

Error took_too_long(int seconds) {
    return {ErrorCode::timeout, fmt::format("the uploads took longer than {} s", seconds),
            "That is the limit in the setting immbackup.s3_upload_timeout.",
            "They are pending, and are tried again."};
}

}  // namespace

RunUploads::RunUploads(const Settings& settings, Store& store, AuditLog& audit,
                       const CancelToken& cancel, Progress& progress)
    : settings_(settings), store_(store), audit_(audit), progress_(progress) {
    if (wanted()) {
        link_ = std::make_unique<CancelLink>(cancel, stop_);
    }
}

RunUploads::~RunUploads() {
    if (preparation_.joinable()) {
        stop_.cancel(Error(ErrorCode::cancelled, "the run has ended"));
        preparation_.join();
    }
}

void RunUploads::prepare() {
    if (!wanted()) {
        return;
    }
    preparation_ = std::thread([this] {
        try {
            // An upload job that still works holds it; then there is time until the dumps are done.
            constexpr int kPatience = 24 * 3600;
            lock_.emplace(acquire_upload_lock(store_.layout(), "backup run", kPatience, stop_));
            remote_ = Remote::open(settings_, audit_, stop_);
            remote_->prepare(audit_);
            abort_forgotten(*remote_, audit_);
            terms_ = upload_terms(*remote_, audit_);
            prepared_.store(true, std::memory_order_release);
        } catch (const Error& error) {
            problem_ = error;
        } catch (const std::exception& error) {
            problem_ = Error(ErrorCode::internal, error.what());
        }
    });
}

void RunUploads::begin(const StagedArtifact& staged, const std::string& stem, DumpFormat format) {
    if (prepared_.load(std::memory_order_acquire) && tasks_.size() < kMaxAhead) {
        current_ = std::make_unique<ArtifactUpload>(*remote_, audit_, stem, format, terms_,
                                                    [&staged] { return staged.reader(); });
    }
}

void RunUploads::grown_to(std::uint64_t bytes) {
    if (current_) {
        current_->growth().grown_to(bytes);
    }
}

void RunUploads::sealed(const Manifest& manifest) {
    if (wanted()) {
        tasks_.push_back({manifest, std::move(current_)});
    }
}

void RunUploads::failed() {
    if (current_) {
        current_->growth().failed();
        current_.reset();
    }
}

void RunUploads::note(const std::string& stem, const Error& error) {
    record_upload_failure(audit_, stem, error);
    progress_.alarm(event::kAlarmUploadFailed,
                    fmt::format("artifact {} could not be uploaded: {}{}{}", stem, error.message(),
                                error.detail().empty() ? "" : ". ", error.detail()));
    if (!first_error_) {
        first_error_ = error;
    }
}

std::optional<Error> RunUploads::finish() {
    if (!wanted()) {
        return std::nullopt;
    }
    const TimeLimit limit(settings_.s3.upload_timeout, stop_,
                          took_too_long(settings_.s3.upload_timeout));
    if (preparation_.joinable()) {
        preparation_.join();
    }
    for (; !tasks_.empty(); tasks_.pop_front()) {
        finish_one(tasks_.front());
    }
    if (first_error_) {
        return Error(first_error_->code(), "upload failed: " + first_error_->message(),
                     first_error_->detail(), first_error_->hint());
    }
    if (!not_locked_.empty()) {
        return Error(ErrorCode::failed,
                     fmt::format("{} uploads are not proven locked, such as {}", not_locked_.size(),
                                 not_locked_.front()),
                     "The store answered that it took them.",
                     "See \"immbackup check --s3\" and view immbackup.artifacts.");
    }
    return std::nullopt;
}

void RunUploads::finish_one(Task& task) {
    const std::string& stem = task.manifest.artifact;
    try {
        stop_.check();
        if (problem_) {
            throw Error(*problem_);
        }
        ProgressState state;
        state.phase = "uploading";
        state.database = task.manifest.database.name;
        progress_.update(state);
        if (!task.upload) {
            task.upload = std::make_unique<ArtifactUpload>(
                *remote_, audit_, stem, task.manifest.format(), terms_,
                [this, stem] { return store_.open_artifact(stem); });
        }
        const UploadResult result = task.upload->finish(store_, task.manifest);
        tell_upload(result, progress_);
        if (result.state != s3::LockState::locked) {
            not_locked_.push_back(stem);
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::audit) {
            throw;
        }
        note(stem, error);
    }
}

void RunUploads::anchor() {
    if (!prepared_.load(std::memory_order_acquire) || stop_.cancelled()) {
        return;
    }
    try {
        store_anchors(*remote_, audit_);
    } catch (const Error& error) {
        progress_.alarm(event::kAlarmUploadFailed,
                        "the audit log could not be anchored: " + error.message());
    }
}

}  // namespace immbackup
