#include "vault/service.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>

#include "vault/session.h"

namespace immbackup::vault {

namespace {

// Connections at a time of one user, and of all: root and the operators are not kept out by the
// client's, and whoever is neither gets no process at all.
constexpr int kMaxOfOneUser = 16;
constexpr std::size_t kMaxOfAll = 64;

int complain(const std::string& what) {
    std::fprintf(stderr, "immbackup-vault: %s\n", what.c_str());
    return 1;
}

// Anybody may connect, since operators are not of the client's group; who they are decides.
Fd listen_on(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw Failure{Code::usage, "the socket's path is too long"};
    }
    std::memcpy(address.sun_path, path.c_str(), path.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct stat status {};
    // What a service that was killed left behind; nothing else is removed.
    if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
        static_cast<void>(::unlink(path.c_str()));
    }
    // The mode by umask: a change of mode afterwards could follow what somebody put there
    // meanwhile.
    const mode_t before = ::umask(0111);
    const bool bound =
        fd && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    static_cast<void>(::umask(before));
    if (!bound || ::listen(fd.get(), 16) != 0) {
        throw system_failure(errno, "listen on \"" + path + "\"");
    }
    return fd;
}

Fd watch_signals() {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGCHLD);
    return Fd(::signalfd(-1, &watched, SFD_CLOEXEC));
}

class Service {
  public:
    Service(Fd socket, Fd signals, std::string config_path)
        : socket_(std::move(socket)),
          signals_(std::move(signals)),
          config_path_(std::move(config_path)) {}

    int run() {
        for (;;) {
            pollfd events[] = {{socket_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
            if (::poll(events, 2, -1) < 0 && errno != EINTR) {
                return complain("poll failed");
            }
            if ((events[1].revents & POLLIN) != 0 && ended()) {
                return 0;
            }
            if ((events[0].revents & POLLIN) != 0) {
                accept_one();
            }
        }
    }

  private:
    bool ended() {
        signalfd_siginfo signal{};
        if (::read(signals_.get(), &signal, sizeof signal) == sizeof signal &&
            signal.ssi_signo != SIGCHLD) {
            return true;
        }
        for (pid_t child = 0; (child = ::waitpid(-1, nullptr, WNOHANG)) > 0;) {
            if (const auto found = users_.find(child); found != users_.end()) {
                --connections_[found->second];
                users_.erase(found);
            }
        }
        return false;
    }

    void accept_one() {
        Fd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) {
            return;
        }
        try {
            Caller caller = caller_by_socket(client.get());
            const uid_t uid = caller.uid;
            if (is_stranger(caller)) {
                refuse(client.get());
                return;
            }
            if (connections_[uid] >= kMaxOfOneUser || users_.size() >= kMaxOfAll) {
                return;  // it sees the end of file before a greeting: busy
            }
            const pid_t child = ::fork();
            if (child == 0) {
                serve_client(client, std::move(caller));
            }
            if (child > 0) {
                users_[child] = uid;
                ++connections_[uid];
            }
        } catch (const Failure& failure) {
            complain(failure.message);
        }
    }

    // By the configuration as it is now. Where that cannot be read, each gets a session, which says
    // so.
    bool is_stranger(const Caller& caller) const {
        try {
            const Ids ids = look_up(parse_config(read_safe_file(config_path_, kMaxConfig)));
            return role_of(caller, ids) == Role::nobody;
        } catch (const Failure&) {
            return false;
        }
    }

    [[noreturn]] void serve_client(const Fd& client, Caller caller) {
        socket_.reset();
        signals_.reset();
        Session session(client.get(), client.get(), std::move(caller), config_path_);
        ::_exit(session.serve() ? 0 : 1);
    }

    Fd socket_;
    Fd signals_;
    std::string config_path_;
    std::map<pid_t, uid_t> users_;
    std::map<uid_t, int> connections_;
};

}  // namespace

int serve_socket(const std::string& path, const std::string& config_path) {
    try {
        // The configuration once by itself: without it nobody knows whom to become.
        const Config config = parse_config(read_safe_file(config_path, kMaxConfig));
        const Ids ids = look_up(config);
        if (::geteuid() != 0 && ::geteuid() != ids.user) {
            return complain("the service must be started as root or as \"" + config.user + "\"");
        }
        Fd socket = listen_on(path);
        if (!become(ids.user, ids.user_group)) {
            return complain("could not become the vault's user");
        }
        return Service(std::move(socket), watch_signals(), config_path).run();
    } catch (const Failure& failure) {
        return complain(failure.message);
    }
}

}  // namespace immbackup::vault
