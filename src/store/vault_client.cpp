#include "store/vault_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/names.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// A helper that got its end of file exits at once; one that does not must not hold us up.
constexpr int kGraceMs = 2'000;
constexpr std::string_view kBanner = "immbackup-vault ";

constexpr std::size_t kFrameHead = 5;

void put_big_endian(std::span<std::byte> to, std::uint64_t value) {
    for (std::size_t i = to.size(); i-- > 0; value >>= 8U) {
        to[i] = static_cast<std::byte>(value & 0xFFU);
    }
}

std::array<std::byte, kFrameHead> frame_head(char kind, std::size_t length) {
    std::array<std::byte, kFrameHead> head{static_cast<std::byte>(kind)};
    put_big_endian(std::span(head).subspan(1), length);
    return head;
}

struct Ends {
    Fd ours, theirs;
};

Ends make_socketpair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw system_error(errno, "create a socket");
    }
    Ends pair{Fd(ends[0]), Fd(ends[1])};
    // Above the standard descriptors, so that the child's dup2 never meets its own source.
    if (pair.theirs.get() <= STDERR_FILENO) {
        pair.theirs = Fd(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (!pair.theirs) {
            throw system_error(errno, "create a socket");
        }
    }
    return pair;
}

void set_nonblocking(const Fd& fd) {
    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

Fd connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw Error(ErrorCode::config,
                    fmt::format("the path of the vault's socket is too long: \"{}\"", path));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        throw system_error(errno, "create a socket");
    }
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const Error error = system_error(errno, "connect to the vault's service at", path);
        throw Error(ErrorCode::config, error.message(), {},
                    "Start the service (systemctl start immbackup-vault), and see that the OS "
                    "user that runs PostgreSQL may use its socket.");
    }
    return fd;
}

}  // namespace

VaultClient::VaultClient(std::string helper, int timeout_ms) : helper_(std::move(helper)) {
    if (helper_.empty()) {
        throw Error(ErrorCode::config,
                    "the backup directory is a vault, and its helper is not known", {},
                    "Set immbackup.vault_helper (BACKUP_VAULT_HELPER) to the program "
                    "immbackup-vault, or to the socket of its service.");
    }
    struct stat status {};
    if (::stat(helper_.c_str(), &status) != 0) {
        const Error error = system_error(errno, "look at the vault's helper", helper_);
        throw Error(ErrorCode::config, error.message(), "immbackup.vault_helper names it.",
                    "Install it (`make install-vault`), or start its service.");
    }
    if (S_ISSOCK(status.st_mode)) {
        socket_ = connect_to(helper_);
    } else {
        Ends ends = make_socketpair();
        SpawnOptions options;
        options.program = helper_;
        options.empty_environment = true;
        options.stdin_fd = options.stdout_fd = ends.theirs.get();
        options.pipe_stdout = options.pipe_stderr = false;
        try {
            child_ = Child::spawn(options);
        } catch (const Error& error) {
            throw Error(ErrorCode::config, error.message(),
                        "It is the vault's helper, and immbackup.vault_helper names it.",
                        "Install it anew: `make install-vault`.");
        }
        socket_ = std::move(ends.ours);
    }
    set_nonblocking(socket_);
    // Room for a frame, as far as the system allows: the dump need not wait while the helper
    // writes.
    constexpr int kSendBuffer = 1 << 20;
    static_cast<void>(
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer));
    try {
        take_greeting(timeout_ms);
    } catch (...) {
        close();
        throw;
    }
}

void VaultClient::take_greeting(int timeout_ms) {
    const std::string line =
        read_line(monotonic_ms() + static_cast<std::uint64_t>(std::max(timeout_ms, 0)));
    std::string_view rest = line;
    const std::string version = std::to_string(kVaultProtocol);
    if (!rest.starts_with(kBanner)) {
        broken_ = true;
        vault_not_understood(line);
    }
    rest.remove_prefix(kBanner.size());
    if (const std::string_view theirs = next_vault_word(rest); theirs != version) {
        fail(ErrorCode::version,
             fmt::format("speaks protocol version {}, and this program speaks {}",
                         vault_word(theirs.substr(0, 20)), version),
             {},
             "Install helper and extension of the same version: `make install install-vault`, then "
             "restart the vault's service.");
    }
    greeting_ = rest;
}

VaultClient::~VaultClient() {
    close();
}

// End of file: what was not committed is discarded. The program may run as another user, whom we
// can neither signal nor wait for without end.
std::optional<ExitStatus> VaultClient::close() {
    socket_.reset();
    const auto status = child_ ? child_->leave(kGraceMs) : std::nullopt;
    child_.reset();
    return status;
}

void VaultClient::fail(ErrorCode code, const std::string& what, const std::string& detail,
                       const std::string& hint) {
    broken_ = true;
    throw Error(code, fmt::format("the vault's helper \"{}\" {}", helper_, what), detail, hint);
}

void VaultClient::fail_closed() {
    std::string detail = "The connection was closed before it had answered.";
    if (const auto status = close(); status && !status->success()) {
        detail = fmt::format("It ended with {}.", status->text());
    }
    fail(ErrorCode::io, "ended without an answer", detail,
         "See the system's log; \"immbackup check --vault\" tries it.");
}

bool VaultClient::wait_for(short events, std::uint64_t deadline, short& ready) {
    while (true) {
        const std::uint64_t time = monotonic_ms();
        std::array<pollfd, 2> wait{pollfd{socket_.get(), events, 0},
                                   pollfd{cancel_ != nullptr ? cancel_->fd() : -1, POLLIN, 0}};
        const int left = time >= deadline
                             ? 0
                             : static_cast<int>(std::min<std::uint64_t>(deadline - time, 1 << 30));
        const int count = ::poll(wait.data(), wait.size(), left);
        if (cancel_ != nullptr && cancel_->cancelled()) {
            broken_ = true;
            cancel_->check();
        }
        if (count > 0) {
            ready = wait[0].revents;
            return true;
        }
        if (count < 0 && errno != EINTR) {
            throw system_error(errno, "wait for the vault's helper");
        }
        if (count == 0 && left == 0) {
            return false;
        }
    }
}

// Takes what is there, and a descriptor that comes with it.
void VaultClient::receive(std::uint64_t deadline) {
    std::array<char, 4096> buffer{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    while (true) {
        iovec part{buffer.data(), buffer.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && errno == EAGAIN) {
            short ready = 0;
            if (!wait_for(POLLIN, deadline, ready)) {
                fail(ErrorCode::timeout, "does not answer", {},
                     "Look at its process (it may wait for a disk), and at the system's log.");
            }
            continue;
        }
        if (count <= 0) {
            fail_closed();
        }
        for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
             each = CMSG_NXTHDR(&message, each)) {
            if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_RIGHTS) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(each), sizeof fd);
                descriptor_ = Fd(fd);
            }
        }
        input_.append(buffer.data(), static_cast<std::size_t>(count));
        return;
    }
}

std::string VaultClient::read_line(std::uint64_t deadline) {
    while (true) {
        if (const auto end = input_.find('\n'); end != std::string::npos) {
            std::string line = input_.substr(0, end);
            input_.erase(0, end + 1);
            return line;
        }
        if (input_.size() > kMaxVaultAnswer) {
            broken_ = true;
            vault_not_understood(input_);
        }
        receive(deadline);
    }
}

VaultAnswer VaultClient::read_answer(int timeout_ms) {
    check_usable();
    const std::string line =
        read_line(monotonic_ms() + static_cast<std::uint64_t>(std::max(timeout_ms, 0)));
    try {
        VaultAnswer answer = parse_vault_answer(line);
        answer.descriptor = std::move(descriptor_);
        in_content_ = false;
        return answer;
    } catch (const Error& error) {
        descriptor_.reset();
        // After content the helper closes the connection behind an error.
        broken_ = broken_ || in_content_ || error.code() == ErrorCode::version;
        throw;
    }
}

void VaultClient::write(std::span<const std::byte> bytes, std::span<const std::byte> more) {
    check_usable();
    while (!bytes.empty() || !more.empty()) {
        // One call for both: the head of a frame by itself would wake the helper twice.
        std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(bytes.data()), bytes.size()},
                                   iovec{const_cast<std::byte*>(more.data()), more.size()}};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t count = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            const auto sent = static_cast<std::size_t>(count);
            const std::size_t first = std::min(sent, bytes.size());
            bytes = bytes.subspan(first);
            more = more.subspan(sent - first);
            continue;
        }
        if (count < 0 && errno == EINTR) {
            continue;
        }
        short ready = 0;
        if (count < 0 && errno == EAGAIN) {
            if (!wait_for(POLLIN | POLLOUT, monotonic_ms() + kStallMs, ready)) {
                fail(ErrorCode::timeout, "takes no more of what is sent to it", {},
                     "Look at its process (it may wait for a disk), and at the system's log.");
            }
            if ((ready & POLLIN) == 0) {
                continue;
            }
        } else if (errno != EPIPE && errno != ECONNRESET) {
            throw system_error(errno, "send to the vault's helper", helper_);
        }
        // It says something in the middle, or is gone: nothing but an error may stand there.
        broken_ = true;
        const std::string line = read_line(monotonic_ms() + kAnswerMs);
        static_cast<void>(parse_vault_answer(line));
        vault_not_understood(line);
    }
}

void VaultClient::write_line(std::string_view request) {
    const std::string line = std::string(request) + "\n";
    write(std::as_bytes(std::span(line.data(), line.size())));
}

VaultAnswer VaultClient::ask(std::string_view request, int timeout_ms) {
    write_line(request);
    return read_answer(timeout_ms);
}

VaultAnswer VaultClient::ask(std::string_view request, const Item& each) {
    write_line(request);
    while (true) {
        const std::string line = read_line(monotonic_ms() + kAnswerMs);
        std::string_view rest = line;
        const std::string_view kind = next_vault_word(rest);
        try {
            if (kind == "ok" || kind == "error") {
                return parse_vault_answer(line);
            }
            each(kind, vault_fields(rest, line));
        } catch (const Error& error) {
            broken_ = broken_ || error.code() == ErrorCode::version;
            throw;
        }
    }
}

void VaultClient::write_content(std::span<const std::byte> bytes) {
    in_content_ = true;
    constexpr std::size_t kMaxFrame = 1024 * 1024;
    while (!bytes.empty()) {
        const auto piece = bytes.first(std::min(bytes.size(), kMaxFrame));
        write(frame_head('D', piece.size()), piece);
        bytes = bytes.subspan(piece.size());
    }
}

void VaultClient::commit(std::uint64_t size, std::string_view sha256) {
    in_content_ = true;
    constexpr std::size_t kDigest = 32;
    std::array<std::byte, kFrameHead + sizeof(std::uint64_t) + kDigest> frame{};
    const auto head = frame_head('C', frame.size() - kFrameHead);
    std::copy(head.begin(), head.end(), frame.begin());
    put_big_endian(std::span(frame).subspan(kFrameHead, sizeof size), size);
    for (std::size_t i = 0; i < kDigest; ++i) {
        unsigned value = 0;
        std::from_chars(sha256.data() + 2 * i, sha256.data() + 2 * i + 2, value, 16);
        frame[kFrameHead + sizeof size + i] = static_cast<std::byte>(value);
    }
    write(frame);
}

void VaultClient::check_usable() {
    if (broken_) {
        fail(ErrorCode::io, "cannot be asked any more",
             "An earlier request of this connection failed.");
    }
}

bool VaultClient::usable() const {
    pollfd look{socket_.get(), POLLIN, 0};
    return !broken_ && socket_ && input_.empty() && ::poll(&look, 1, 0) == 0;
}

VaultClient& VaultLink::client() {
    if (!client_ || !client_->usable()) {
        client_.reset();
        client_ = std::make_unique<VaultClient>(helper_);
    }
    return *client_;
}

template <class Ask>
VaultAnswer VaultLink::attempt(const Ask& ask) {
    const bool idle = client_ && client_->usable();
    try {
        return ask(client());
    } catch (const Error& error) {
        if (!idle || error.code() != ErrorCode::io || client_->usable()) {
            throw;
        }
    }
    client_.reset();
    return ask(client());
}

VaultAnswer VaultLink::ask(std::string_view request, int timeout_ms) {
    return attempt([&](VaultClient& client) { return client.ask(request, timeout_ms); });
}

VaultAnswer VaultLink::ask(std::string_view request, const VaultClient::Item& each) {
    return attempt([&](VaultClient& client) { return client.ask(request, each); });
}

}  // namespace immbackup
