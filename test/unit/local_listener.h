// A TCP socket that listens on a free port of this machine.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "io/fd.h"

namespace immbackup::test {

class LocalListener {
  public:
    LocalListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* plain = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(fd_.get(), plain, length), 0);
        EXPECT_EQ(::listen(fd_.get(), 8), 0);
        EXPECT_EQ(::getsockname(fd_.get(), plain, &length), 0);
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    const std::string& url() const { return url_; }  // without a slash at its end
    // Waits for a client; empty after stop().
    Fd accept() const { return Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
    void stop() const { ::shutdown(fd_.get(), SHUT_RDWR); }

  private:
    Fd fd_;
    std::string url_;
};

}  // namespace immbackup::test
