// One way to stop everything: a token that any thread may trip once, with the error that the
// stopped work then raises, and a descriptor that becomes readable so that poll() wakes up.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "core/error.h"
#include "io/fd.h"

namespace immbackup {

class CancelToken {
  public:
    CancelToken();
    // The first reason counts; later ones are ignored. Safe from any thread, not from a signal
    // handler.
    void cancel(Error reason);
    bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
    // Throws the reason where cancelled.
    void check() const;
    std::optional<Error> reason() const;
    // Readable (POLLIN) once cancelled, for ever. Never read from it.
    int fd() const { return event_.get(); }

  private:
    std::atomic<bool> cancelled_{false};
    mutable std::mutex mutex_;
    std::optional<Error> reason_;
    Fd event_;
};

}  // namespace immbackup
