// Trips a token after a time, unless it is gone before.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "io/cancel.h"

namespace immbackup {

class TimeLimit {
  public:
    // 0 seconds: no limit.
    TimeLimit(int seconds, CancelToken& cancel, Error reason)
        : TimeLimit(std::chrono::seconds(seconds), cancel, std::move(reason)) {}
    // 0: no limit.
    TimeLimit(std::chrono::milliseconds time, CancelToken& cancel, Error reason) {
        if (time.count() == 0) {
            return;
        }
        thread_ = std::thread([this, time, &cancel, reason = std::move(reason)] {
            std::unique_lock lock(mutex_);
            if (!changed_.wait_for(lock, time, [this] { return over_; })) {
                cancel.cancel(reason);
            }
        });
    }
    ~TimeLimit() {
        if (thread_.joinable()) {
            {
                const std::lock_guard lock(mutex_);
                over_ = true;
            }
            changed_.notify_one();
            thread_.join();
        }
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool over_ = false;
    std::thread thread_;
};

}  // namespace immbackup
