#include "io/cancel.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>

namespace immbackup {

CancelToken::CancelToken() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) {
        throw system_error(errno, "create an event descriptor");
    }
}

void CancelToken::cancel(Error reason) {
    const std::lock_guard lock(mutex_);
    if (reason_) {
        return;
    }
    reason_ = std::move(reason);
    cancelled_.store(true, std::memory_order_release);
    // Cannot fail in a way that matters: the counter holds one, and nobody reads it.
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
}

void CancelToken::check() const {
    if (cancelled()) {
        const std::lock_guard lock(mutex_);
        throw Error(*reason_);
    }
}

std::optional<Error> CancelToken::reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
}

}  // namespace immbackup
