// Signals become a cancellation. They are blocked in every thread and read from a descriptor by one
// thread of its own, so that no code ever runs in a signal handler.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "io/cancel.h"
#include "io/fd.h"

namespace immbackup {

class SignalWatcher {
  public:
    // Make it before any other thread is started.
    explicit SignalWatcher(CancelToken& cancel);
    ~SignalWatcher();
    SignalWatcher(const SignalWatcher&) = delete;
    SignalWatcher& operator=(const SignalWatcher&) = delete;

    // From now on the end of file on stdin cancels as well.
    void watch_stdin();
    // The process group of pg_dump, killed at once when the stop is urgent; 0: none.
    void set_dump_group(int process_group) { dump_group_ = process_group; }
    bool parent_gone() const { return parent_gone_; }

  private:
    void run();
    void stop(int signal_number);
    void wake() const;

    CancelToken& cancel_;
    Fd signals_;
    Fd wake_;
    std::atomic<bool> done_{false};
    std::atomic<bool> watch_stdin_{false};
    std::atomic<bool> parent_gone_{false};
    std::atomic<int> dump_group_{0};
    std::uint64_t stop_began_ = 0;
    std::thread thread_;
};

}  // namespace immbackup
