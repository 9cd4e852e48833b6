// A vault's service that does what a test says, behind a real socket: what the client and all above
// it must bear.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <thread>

#include "io/fd.h"
#include "store_fixture.h"

namespace immbackup::test {

class FakeVault {
  public:
    // One connection, on a thread of its own.
    class Peer {
      public:
        explicit Peer(Fd fd) : fd_(std::move(fd)) {}
        int fd() const { return fd_.get(); }
        void close() { fd_.reset(); }
        void say(const std::string& text) const {
            static_cast<void>(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL));
        }
        void greet() const { say("immbackup-vault 1 0.1.0\n"); }
        void say_with(const std::string& text, int descriptor) const {
            iovec part{const_cast<char*>(text.data()), text.size()};
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr* head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
            static_cast<void>(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
        }
        // Nothing at the end.
        std::optional<std::string> line() const {
            std::string out;
            char c = 0;
            while (::read(fd_.get(), &c, 1) == 1) {
                if (c == '\n') {
                    return out;
                }
                out += c;
            }
            return std::nullopt;
        }
        // Content up to its commit; nothing where it ends otherwise.
        std::optional<std::string> content() const {
            std::string out;
            while (const auto head = bytes(5)) {
                std::size_t length = 0;
                for (std::size_t i = 1; i < 5; ++i) {
                    length = length * 256 + static_cast<unsigned char>((*head)[i]);
                }
                const auto body = bytes(length);
                if (!body) {
                    return std::nullopt;
                }
                if ((*head)[0] == 'C') {
                    return out;
                }
                out += *body;
            }
            return std::nullopt;
        }

      private:
        std::optional<std::string> bytes(std::size_t count) const {
            std::string out(count, '\0');
            std::size_t have = 0;
            while (have < count) {
                const ssize_t got = ::read(fd_.get(), out.data() + have, count - have);
                if (got <= 0) {
                    return std::nullopt;
                }
                have += static_cast<std::size_t>(got);
            }
            return out;
        }
        Fd fd_;
    };
    using Script = std::function<void(Peer&)>;

    explicit FakeVault(Script script)
        : script_(std::move(script)), path_((directory_.path() / "socket").string()) {
        listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), 16) != 0) {
            throw system_error(errno, "listen at", path_);
        }
        acceptor_ = std::thread([this] { accept_all(); });
    }
    ~FakeVault() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        acceptor_.join();
        for (auto& thread : threads_) {
            thread.join();
        }
    }
    FakeVault(const FakeVault&) = delete;
    FakeVault& operator=(const FakeVault&) = delete;

    const std::string& path() const { return path_; }
    int connections() const { return connections_; }

  private:
    void accept_all() {
        while (true) {
            Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!fd) {
                return;
            }
            ++connections_;
            threads_.emplace_back([this, peer = Peer(std::move(fd))]() mutable {
                script_(peer);
                peer.close();
            });
        }
    }

    TemporaryDirectory directory_;
    Script script_;
    std::string path_;
    Fd listener_;
    std::thread acceptor_;
    std::list<std::thread> threads_;
    std::atomic<int> connections_{0};
};

}  // namespace immbackup::test
