// The stages after the reader: pieces of the dump are compressed by one or more threads and handed
// to the sink, in order, by another. The first error of any of them stops all.
//
// Pieces are few and used again: memory is bounded, and a slow stage slows down those before it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "dump/compress.h"
#include "io/fd.h"

namespace immbackup {

class Stages {
  public:
    // `sink` gets compressed bytes, in order, on one thread; may throw.
    Stages(const Codec& codec, int threads, ByteSink sink);
    ~Stages();  // stops and joins
    Stages(const Stages&) = delete;
    Stages& operator=(const Stages&) = delete;

    // Of the reader: room for the next bytes of the dump; empty where none is free now, and
    // wake_fd() tells when there is again.
    std::span<std::byte> room();
    void filled(std::size_t bytes);  // of that room
    // That was all. Room must be there: where room() was empty, wait.
    void close();

    // Readable after room became free for a reader that found none, a stage failed, or all have
    // ended.
    int wake_fd() const { return wake_.get(); }
    void clear_wake();

    bool failed() const { return failed_.load(std::memory_order_acquire); }
    bool ended() const { return running_.load(std::memory_order_acquire) == 0; }
    // Throws the error of the stage that failed first.
    void rethrow() const;
    std::uint64_t bytes_out() const { return bytes_out_.load(std::memory_order_relaxed); }

  private:
    struct Piece {
        std::vector<std::byte> space;  // of the dictionary and the piece, one after the other
        std::size_t before = 0;        // bytes of the dictionary
        std::size_t size = 0;
        bool last = false;
        bool done = false;
        std::uint32_t crc = 0;
        PieceBuffer out;

        std::span<std::byte> content() { return std::span(space).subspan(kDictionarySize, size); }
        std::span<std::byte> room() { return std::span(space).subspan(kDictionarySize + size); }
        std::span<std::byte> dictionary() {
            return std::span(space).subspan(kDictionarySize - before, before);
        }
    };

    void start(int compressors);
    void run(void (Stages::*stage)());
    void compress();
    void write();
    void hand_over(bool last);
    Piece* next_to_compress();
    Piece* next_to_write();
    void recycle(Piece& piece);
    void emit(std::span<const std::byte> bytes);
    void wake();
    void stop();

    const Codec codec_;
    const ByteSink sink_;
    Fd wake_;
    std::vector<std::unique_ptr<Piece>> pieces_;
    Piece* filling_ = nullptr;         // of the reader alone
    std::vector<std::byte> previous_;  // the end of the piece before, for the next dictionary

    mutable std::mutex mutex_;
    std::condition_variable work_;      // there is something to compress, or nothing more comes
    std::condition_variable finished_;  // a piece was compressed, or nothing more comes
    std::vector<Piece*> free_;
    std::deque<Piece*> to_compress_;
    std::deque<Piece*> in_order_;  // handed over and not yet written
    bool closed_ = false;
    bool stopped_ = false;
    bool reader_waits_ = false;
    std::exception_ptr error_;

    std::atomic<bool> failed_{false};
    std::atomic<int> running_{0};
    std::atomic<std::uint64_t> bytes_out_{0};
    std::vector<std::thread> threads_;
};

}  // namespace immbackup
