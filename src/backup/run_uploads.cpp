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

// The run has ended by then, and the next may be due.
constexpr int kAnchorSeconds = 60;
Error anchor_took_too_long() {
    return {ErrorCode::timeout, fmt::format("it took longer than {} s", kAnchorSeconds)};
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
    // Stopped all together before the first of them is aborted, which may take its time.
    for (const auto& task : tasks_) {
        if (task.upload) {
            task.upload->give_up();
        }
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
            const std::lock_guard lock(mutex_);
            follow();  // what is being written already
        } catch (const Error& error) {
            problem_ = error;
        } catch (const std::exception& error) {
            problem_ = Error(ErrorCode::internal, error.what());
        }
    });
}

void RunUploads::begin(const StagedArtifact& staged, const std::string& stem) {
    if (!wanted()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    stem_ = stem;
    bytes_ = 0;
    try {
        file_ = staged.reader();
    } catch (const Error&) {
        return;  // it is uploaded when it is published
    }
    follow();
}

// As soon as the bucket was looked at.
void RunUploads::follow() {
    if (!file_ || !prepared_.load(std::memory_order_acquire) ||
        tasks_.size() + abandoned_.size() >= kMaxAhead) {
        return;
    }
    try {
        current_ = std::make_unique<ArtifactUpload>(
            *remote_, audit_, stem_, settings_.compression.format, terms_, std::move(file_));
        current_->growth().grown_to(bytes_);
    } catch (const std::exception&) {
        current_.reset();  // no thread to be had: it is uploaded when it is published
    }
    file_.reset();
}

void RunUploads::grown_to(std::uint64_t bytes) {
    if (!wanted()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    bytes_ = bytes;
    if (current_) {
        current_->growth().grown_to(bytes);
    }
}

void RunUploads::sealed(const Manifest& manifest) {
    if (!wanted()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    file_.reset();
    tasks_.push_back({manifest, std::move(current_)});
}

void RunUploads::failed() {
    const std::lock_guard lock(mutex_);
    file_.reset();
    if (current_) {
        current_->give_up();
        // Told to the store when no dump waits for it.
        abandoned_.push_back(std::move(current_));
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
    if (remote_) {
        tell_finding(*remote_, progress_);
    }
    for (; !tasks_.empty(); tasks_.pop_front()) {
        finish_one(tasks_.front());
    }
    abandoned_.clear();
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
            throw of_all_uploads(*problem_);
        }
        ProgressState state;
        state.phase = "uploading";
        state.database = task.manifest.database.name;
        progress_.update(state);
        if (!task.upload) {
            // The dumps may have taken hours: the lock is counted from now.
            task.upload = std::make_unique<ArtifactUpload>(
                *remote_, audit_, stem, task.manifest.format(), upload_terms(*remote_, audit_),
                store_.open_artifact(stem));
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
    const TimeLimit limit(kAnchorSeconds, stop_, anchor_took_too_long());
    try {
        store_anchors(*remote_, audit_, false, progress_);
    } catch (const Error& error) {
        progress_.alarm(event::kAlarmUploadFailed,
                        "the audit log could not be anchored: " + error.message());
    }
}

}  // namespace immbackup
