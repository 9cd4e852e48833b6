#include "s3/uploader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/time_limit.h"

namespace immbackup::s3 {

void Growth::grown_to(std::uint64_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        state_.bytes = std::max(state_.bytes, bytes);
    }
    changed_.notify_all();
}

void Growth::finished() {
    {
        const std::lock_guard lock(mutex_);
        state_.finished = true;
    }
    changed_.notify_all();
}

void Growth::failed() {
    {
        const std::lock_guard lock(mutex_);
        state_.failed = true;
    }
    changed_.notify_all();
}

Growth::State Growth::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

Growth::State Growth::wait_for(std::uint64_t bytes, const CancelToken& cancel) const {
    std::unique_lock lock(mutex_);
    for (;;) {
        cancel.check();
        if (state_.failed || state_.finished || state_.bytes >= bytes) {
            return state_;
        }
        // A token cannot notify a condition; it is looked at often enough.
        changed_.wait_for(lock, std::chrono::milliseconds(100));
    }
}

Uploader::Uploader(Client& client, ObjectSpec spec, const Growth& growth, PartPlan plan,
                   Callbacks callbacks)
    : client_(client),
      spec_(std::move(spec)),
      growth_(growth),
      plan_(plan),
      callbacks_(std::move(callbacks)),
      link_(std::make_unique<CancelLink>(client.cancel(), stop_)) {
    start();
}

Uploader::~Uploader() {
    try {
        abort();
    } catch (const std::exception&) {  // the id was recorded; the next sweep aborts it
    }
}

void Uploader::start() {
    for (unsigned i = 0; i < client_.options().concurrency; ++i) {
        threads_.emplace_back([this] { work(); });
    }
}

void Uploader::join() {
    for (auto& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
    threads_.clear();
}

void Uploader::give_up(const Error& error) {
    {
        const std::lock_guard lock(mutex_);
        if (!problem_) {
            problem_ = error;
        }
    }
    // The other threads have nothing left to send for.
    stop_.cancel(error);
}

void Uploader::work() {
    const Client::Scope scope(stop_);
    try {
        while (const auto part = next_part()) {
            const Body body = file_body(fd_.get(), part->offset, part->size, stop_);
            SentPart sent = client_.upload_part(spec_.key, upload_id(), part->number, body);
            std::uint64_t all = 0;
            {
                const std::lock_guard lock(mutex_);
                sent_[part->number] = std::move(sent);
                all = sent_bytes_ += part->size;
            }
            if (callbacks_.sent) {
                callbacks_.sent(all);
            }
        }
    } catch (const Error& error) {
        give_up(error);
    } catch (const std::exception& error) {
        give_up(Error(ErrorCode::internal, std::string("the upload stopped: ") + error.what()));
    }
}

// The next part that is whole; nothing where there is none left, or where the file turned out to
// be small enough for a single PUT.
std::optional<Uploader::Part> Uploader::next_part() {
    const std::lock_guard claim(claim_);
    if (all_claimed_) {
        return std::nullopt;
    }
    const std::uint32_t number = next_number_;
    const std::uint64_t offset = plan_.offset_of(number);
    const std::uint64_t size = plan_.size_of(number);
    // The first part waits for one byte more: without it there is a single PUT.
    const auto state = growth_.wait_for(offset + size + (number == 1 ? 1 : 0), stop_);
    if (state.failed) {
        throw Error(ErrorCode::cancelled, "the file that was being uploaded is no good");
    }
    const std::uint64_t left = state.bytes - std::min(state.bytes, offset);
    if (left == 0 || (number == 1 && left <= size)) {
        all_claimed_ = true;
        return std::nullopt;
    }
    if (number > plan_.max_parts()) {
        throw Error(ErrorCode::failed,
                    fmt::format("the artifact does not fit into {} parts", plan_.max_parts()),
                    fmt::format("They hold {} bytes.", plan_.capacity()),
                    "Raise the largest part count, if the store takes more parts.");
    }
    if (number == 1) {
        begin_upload();
    }
    ++next_number_;
    return Part{number, offset, std::min(left, size)};
}

void Uploader::begin_upload() {
    if (!fd_) {
        fd_ = callbacks_.open();
    }
    std::string nonce = random_hex(16);
    std::string id = client_.initiate(spec_, nonce);
    {
        const std::lock_guard lock(mutex_);
        upload_id_ = id;
        nonce_ = std::move(nonce);
    }
    if (callbacks_.began) {
        callbacks_.began(id);
    }
}

std::optional<Error> Uploader::problem() const {
    const std::lock_guard lock(mutex_);
    return problem_;
}

std::string Uploader::upload_id() const {
    const std::lock_guard lock(mutex_);
    return upload_id_;
}

Uploaded Uploader::finish() {
    join();
    if (const auto error = problem()) {
        throw Error(*error);
    }
    const std::uint64_t size = growth_.state().bytes;
    Uploaded out;
    out.key = spec_.key;
    out.expected.size = size;
    out.first_part = plan_.first();
    out.parts_of_one_size = plan_.run();
    if (upload_id_.empty()) {
        if (!fd_) {
            fd_ = callbacks_.open();
        }
        const Body body = file_body(fd_.get(), 0, size, client_.cancel());
        out.version_id = client_.put(spec_, body).version_id;
        out.expected.sha256 = base64(body.digests.sha256);
        out.expected.etag = to_hex(body.digests.md5);
        return out;
    }
    std::vector<SentPart> parts;
    std::vector<Digests> digests;
    std::uint64_t total = 0;
    for (const auto& [number, part] : sent_) {
        parts.push_back(part);
        digests.push_back(part.digests);
        total += part.size;
    }
    if (total != size || parts.size() + 1 != next_number_) {
        throw Error(ErrorCode::internal, "the parts that were sent are not the whole file");
    }
    out.upload_id = upload_id_;
    out.parts = static_cast<std::uint32_t>(parts.size());
    out.expected.sha256 = composite_sha256(digests);
    out.expected.etag = composite_etag(digests);
    out.version_id = client_.complete(spec_, upload_id_, nonce_, parts).version_id;
    return out;
}

Uploaded Uploader::complete() {
    if (!growth_.state().finished) {
        throw Error(ErrorCode::internal, "an upload is completed only when its file is");
    }
    Uploaded out;
    try {
        out = finish();
    } catch (const Error& error) {
        // Gone without our doing: a lifecycle rule, a store that asks to begin anew. The file is
        // there, so the upload can be made again.
        if (error.code() != ErrorCode::not_found || upload_id().empty()) {
            throw;
        }
        abort();
        Uploader again(client_, spec_, growth_, plan_, callbacks_);
        out = again.finish();
        again.done_ = true;
    }
    done_ = true;
    return out;
}

void Uploader::stop() {
    stop_.cancel(Error(ErrorCode::cancelled, "the upload was stopped"));
}

void Uploader::leave() {
    stop();
    join();
    done_ = true;
}

void Uploader::abort(std::chrono::milliseconds within) {
    stop();
    join();
    if (done_ || upload_id_.empty()) {
        return;
    }
    // Also after the run was cancelled.
    CancelToken cleanup;
    const TimeLimit limit(within, cleanup,
                          Error(ErrorCode::timeout, "the upload could not be aborted in time"));
    const Client::Scope scope(cleanup);
    client_.abort(spec_.key, upload_id_);
    done_ = true;
}

}  // namespace immbackup::s3
