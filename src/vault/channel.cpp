#include "vault/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vault/fd.h"

namespace immbackup::vault {

namespace {

// After a failed write: waits where that can help, otherwise the connection is over.
void wait_or_hang_up(int fd) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        pollfd waiting{fd, POLLOUT, 0};
        if (::poll(&waiting, 1, kIdleMs) != 0) {
            return;
        }
    } else if (errno == EINTR) {
        return;
    }
    throw Hangup{};
}

}  // namespace

bool Channel::fill() {
    if (at_ == filled_) {
        at_ = 0;
        filled_ = read_(buffer_);
    }
    return at_ < filled_;
}

std::optional<std::string> Channel::read_request() {
    std::string line;
    while (fill()) {
        const char c = buffer_[at_++];
        if (c == '\n') {
            return line;
        }
        line += c;
        if (line.size() == kMaxRequest) {
            throw Failure{Code::usage, "the request is longer than 8192 bytes"};
        }
    }
    if (line.empty()) {
        return std::nullopt;
    }
    throw Hangup{};
}

void Channel::read_exactly(std::span<char> out) {
    const std::size_t buffered = std::min(out.size(), filled_ - at_);
    std::memcpy(out.data(), buffer_.data() + at_, buffered);
    at_ += buffered;
    for (std::size_t done = buffered; done < out.size();) {
        const std::size_t count = read_(out.subspan(done));
        if (count == 0) {
            throw Hangup{};  // before a commit: nothing of this content counts
        }
        done += count;
    }
}

Commit Channel::read_content(const Sink& sink, Check check) {
    Sha256 sha;
    std::uint64_t size = 0;
    ++contents_;
    block_.resize(kMaxFrame);
    for (;;) {
        std::array<char, kFrameHeader> header{};
        read_exactly(header);
        const Frame frame = parse_frame(header);
        if (frame.kind == 'X') {
            throw Failure{Code::cancelled, "the client aborted"};
        }
        if (frame.kind == 'C') {
            std::array<char, kCommitSize> body{};
            read_exactly(body);
            const Commit commit = parse_commit(body);
            if (commit.size != size || (check == Check::digest && commit.sha256 != sha.finish())) {
                throw Failure{Code::corrupt,
                              "size or digest of the commit are not those of the bytes that came"};
            }
            return commit;
        }
        const std::span<char> block(block_.data(), frame.length);
        read_exactly(block);
        if (check == Check::digest) {
            sha.update(block);
        }
        size += frame.length;
        sink(block);
    }
}

Channel::Read reader_of(int fd, int idle_ms) {
    return [fd, idle_ms](std::span<char> out) {
        for (;;) {
            pollfd waiting{fd, POLLIN, 0};
            const int ready = ::poll(&waiting, 1, idle_ms);
            if (ready == 0) {
                throw Hangup{};
            }
            const ssize_t count = ready < 0 ? -1 : ::read(fd, out.data(), out.size());
            if (count >= 0) {
                return static_cast<std::size_t>(count);
            }
            if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
                throw Hangup{};
            }
        }
    };
}

void write_line(int fd, const std::string& line, int passed) {
    const std::string text = line + '\n';
    std::size_t done = 0;
    while (done < text.size()) {
        ssize_t count = -1;
        if (passed >= 0 && done == 0) {
            iovec part{const_cast<char*>(text.data()), text.size()};
            alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(rights), &passed, sizeof(int));
            count = ::sendmsg(fd, &message, MSG_NOSIGNAL);
        } else {
            count = ::write(fd, text.data() + done, text.size() - done);
        }
        if (count >= 0) {
            done += static_cast<std::size_t>(count);
        } else {
            wait_or_hang_up(fd);
        }
    }
}

bool is_unix_socket(int fd) {
    int domain = 0;
    int type = 0;
    socklen_t size = sizeof domain;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
           ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

}  // namespace immbackup::vault
