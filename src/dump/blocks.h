// What passes between the stages of the pipeline: blocks of bytes from fixed pools, so that memory
// is bounded and a slow stage slows down the ones before it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace immbackup {

struct Block {
    std::vector<std::byte> space;
    std::size_t size = 0;  // bytes in use

    std::span<const std::byte> content() const { return std::span(space).first(size); }
    std::span<std::byte> room() { return std::span(space).subspan(size); }
};
using BlockPtr = std::unique_ptr<Block>;

// Thrown by a wait that stop() ended; never leaves the pipeline.
struct Stopped {};

// Blocks in order, from one thread to another. It never holds more than its pool has.
class BlockQueue {
  public:
    void push(BlockPtr block) {
        {
            const std::lock_guard lock(mutex_);
            blocks_.push_back(std::move(block));
        }
        changed_.notify_one();
    }
    // Waits. Null once closed and empty; throws Stopped once stopped.
    BlockPtr pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || closed_ || !blocks_.empty(); });
        if (stopped_) {
            throw Stopped{};
        }
        if (blocks_.empty()) {
            return nullptr;
        }
        BlockPtr block = std::move(blocks_.front());
        blocks_.pop_front();
        return block;
    }
    void close() { set(closed_); }  // nothing more comes
    void stop() { set(stopped_); }
    bool empty() const {
        const std::lock_guard lock(mutex_);
        return blocks_.empty();
    }

  private:
    void set(bool& flag) {
        {
            const std::lock_guard lock(mutex_);
            flag = true;
        }
        changed_.notify_all();
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<BlockPtr> blocks_;
    bool closed_ = false;
    bool stopped_ = false;
};

class BlockPool {
  public:
    // `returned` is called, without any lock, after each block that comes back.
    BlockPool(std::size_t blocks, std::size_t block_size, std::function<void()> returned = {})
        : returned_(std::move(returned)) {
        for (std::size_t i = 0; i < blocks; ++i) {
            free_.push_back(std::make_unique<Block>());
            free_.back()->space.resize(block_size);
        }
    }
    // Waits; throws Stopped once stopped.
    BlockPtr take() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || !free_.empty(); });
        if (stopped_) {
            throw Stopped{};
        }
        return last();
    }
    // Null where none is free.
    BlockPtr try_take() {
        const std::lock_guard lock(mutex_);
        return free_.empty() ? nullptr : last();
    }
    void give_back(BlockPtr block) {
        block->size = 0;
        {
            const std::lock_guard lock(mutex_);
            free_.push_back(std::move(block));
        }
        changed_.notify_one();
        if (returned_) {
            returned_();
        }
    }
    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        changed_.notify_all();
    }

  private:
    BlockPtr last() {
        BlockPtr block = std::move(free_.back());
        free_.pop_back();
        return block;
    }

    std::function<void()> returned_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<BlockPtr> free_;
    bool stopped_ = false;
};

}  // namespace immbackup
