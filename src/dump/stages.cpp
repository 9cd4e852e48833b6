#include "dump/stages.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/error.h"
#include "io/signal_mask.h"

namespace immbackup {

namespace {

// One that is filled, one that is written, and two between, so that nobody waits for a hand-over.
constexpr std::size_t kSparePieces = 4;

// Thrown by a wait that stop() ended; never leaves a stage.
struct Stopped {};

}  // namespace

Stages::Stages(const Codec& codec, int threads, ByteSink sink)
    : codec_(codec), sink_(std::move(sink)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) {
        throw system_error(errno, "create an event descriptor");
    }
    const int compressors = codec_.independent() ? std::max(threads, 1) : 1;
    for (std::size_t i = 0; i < static_cast<std::size_t>(compressors) + kSparePieces; ++i) {
        free_.push_back(pieces_.emplace_back(std::make_unique<Piece>()).get());
    }
    const AllSignalsBlocked blocked;
    try {
        start(compressors);
    } catch (...) {  // no destructor will run
        stop();
        for (std::thread& thread : threads_) {
            thread.join();
        }
        throw;
    }
}

Stages::~Stages() {
    stop();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void Stages::start(int compressors) {
    const auto add = [this](void (Stages::*stage)()) {
        running_.fetch_add(1, std::memory_order_relaxed);
        threads_.emplace_back([this, stage] { run(stage); });
    };
    for (int i = 0; i < compressors; ++i) {
        add(&Stages::compress);
    }
    add(&Stages::write);
}

void Stages::run(void (Stages::*stage)()) {
    try {
        (this->*stage)();
    } catch (const Stopped&) {
        // Another stage's error, or the reader's, is what counts.
    } catch (...) {
        {
            const std::lock_guard lock(mutex_);
            if (!error_) {
                error_ = std::current_exception();
            }
        }
        failed_.store(true, std::memory_order_release);
        stop();
    }
    running_.fetch_sub(1, std::memory_order_release);
    wake();
}

void Stages::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    work_.notify_all();
    finished_.notify_all();
}

void Stages::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void Stages::clear_wake() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read = ::read(wake_.get(), &count, sizeof count);
}

void Stages::rethrow() const {
    if (failed()) {
        const std::lock_guard lock(mutex_);
        std::rethrow_exception(error_);
    }
}

std::span<std::byte> Stages::room() {
    if (filling_ == nullptr) {
        const std::lock_guard lock(mutex_);
        reader_waits_ = free_.empty();
        if (reader_waits_) {
            return {};
        }
        filling_ = free_.back();
        free_.pop_back();
        // On first use alone: a small dump never touches most of the pieces.
        filling_->space.resize(kDictionarySize + kPieceSize);
    }
    return filling_->room();
}

void Stages::filled(std::size_t bytes) {
    filling_->size += bytes;
    if (filling_->room().empty()) {
        hand_over(false);
    }
}

void Stages::close() {
    room();
    hand_over(true);
}

void Stages::hand_over(bool last) {
    Piece* piece = std::exchange(filling_, nullptr);
    piece->last = last;
    piece->before = previous_.size();
    std::copy(previous_.begin(), previous_.end(), piece->dictionary().begin());
    if (codec_.independent() && !last) {
        const auto end = piece->content().last(kDictionarySize);
        previous_.assign(end.begin(), end.end());
    }
    {
        const std::lock_guard lock(mutex_);
        to_compress_.push_back(piece);
        in_order_.push_back(piece);
        closed_ = last;
    }
    if (last) {
        work_.notify_all();
        finished_.notify_all();
    } else {
        work_.notify_one();
    }
}

// Null where nothing more comes.
Stages::Piece* Stages::next_to_compress() {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [this] { return stopped_ || closed_ || !to_compress_.empty(); });
    if (stopped_) {
        throw Stopped{};
    }
    if (to_compress_.empty()) {
        return nullptr;
    }
    Piece* piece = to_compress_.front();
    to_compress_.pop_front();
    return piece;
}

void Stages::compress() {
    const auto compressor = codec_.make();
    while (Piece* piece = next_to_compress()) {
        compressor->compress(piece->content(), piece->dictionary(), piece->last, piece->out);
        piece->crc = codec_.crc(piece->content());
        {
            const std::lock_guard lock(mutex_);
            piece->done = true;
        }
        finished_.notify_one();
    }
}

// Null where the last one was written.
Stages::Piece* Stages::next_to_write() {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] {
        return stopped_ || (closed_ && in_order_.empty()) ||
               (!in_order_.empty() && in_order_.front()->done);
    });
    if (stopped_) {
        throw Stopped{};
    }
    if (in_order_.empty()) {
        return nullptr;
    }
    Piece* piece = in_order_.front();
    in_order_.pop_front();
    return piece;
}

void Stages::write() {
    Envelope envelope(codec_.format());
    // Nothing is written before there is something of the dump: a store may count from the first
    // byte.
    Piece* piece = next_to_write();
    emit(envelope.header());
    for (; piece != nullptr; piece = next_to_write()) {
        emit(piece->out.content());
        envelope.add(piece->crc, piece->size);
        recycle(*piece);
    }
    emit(envelope.trailer());
}

void Stages::recycle(Piece& piece) {
    piece.out.clear();
    piece.size = 0;
    piece.done = false;
    bool reader_waits = false;
    {
        const std::lock_guard lock(mutex_);
        free_.push_back(&piece);
        reader_waits = std::exchange(reader_waits_, false);
    }
    if (reader_waits) {
        wake();
    }
}

void Stages::emit(std::span<const std::byte> bytes) {
    if (!bytes.empty()) {
        sink_(bytes);
        bytes_out_.fetch_add(bytes.size(), std::memory_order_relaxed);
    }
}

}  // namespace immbackup
