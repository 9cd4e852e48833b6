// A token that stops where another one does: what it stops can also be stopped alone.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <thread>

#include "io/cancel.h"

namespace immbackup {

class CancelLink {
  public:
    // Both outlive it.
    CancelLink(const CancelToken& parent, CancelToken& child)
        : over_(::eventfd(0, EFD_CLOEXEC)), thread_([this, &parent, &child] {
              std::array<pollfd, 2> wait{{{parent.fd(), POLLIN, 0}, {over_.get(), POLLIN, 0}}};
              while (::poll(wait.data(), wait.size(), -1) < 0) {
              }
              if (const auto reason = parent.reason()) {
                  child.cancel(*reason);
              }
          }) {}
    ~CancelLink() {
        ::eventfd_write(over_.get(), 1);
        thread_.join();
    }
    CancelLink(const CancelLink&) = delete;
    CancelLink& operator=(const CancelLink&) = delete;

  private:
    Fd over_;
    std::thread thread_;
};

}  // namespace immbackup
