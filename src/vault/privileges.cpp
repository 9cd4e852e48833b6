#include "vault/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "vault/failure.h"

namespace immbackup::vault {

namespace {

// Keeps CAP_LINUX_IMMUTABLE in the permitted set where it is there and `kept`, effective only as
// asked, and nothing else in any set.
void set_capabilities(bool kept, bool effective) {
    constexpr cap_value_t kOnly[] = {CAP_LINUX_IMMUTABLE};
    const bool permitted = kept && has_immutable_capability();
    cap_t wanted = cap_init();
    const bool done =
        wanted != nullptr &&
        (!permitted || cap_set_flag(wanted, CAP_PERMITTED, 1, kOnly, CAP_SET) == 0) &&
        (!permitted || !effective || cap_set_flag(wanted, CAP_EFFECTIVE, 1, kOnly, CAP_SET) == 0) &&
        cap_set_proc(wanted) == 0;
    cap_free(wanted);
    if (!done) {
        ::_exit(1);  // giving up rights cannot fail, or nothing is as we think
    }
}

void raise_limit(__rlimit_resource resource) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        static_cast<void>(::setrlimit(resource, &limit));
    }
}

}  // namespace

void shed_inheritance(bool keep_signals) {
    for (int fd = 0; fd <= 2; ++fd) {
        // A file that we open must never become somebody's standard output.
        if (::fcntl(fd, F_GETFD) == -1) {
            ::_exit(1);
        }
    }
    if (::syscall(SYS_close_range, 3U, ~0U, 0U) != 0) {
        for (int fd = 3; fd < 65536; ++fd) {
            ::close(fd);
        }
    }
    if (!keep_signals) {
        // What the terminal, a timer or a limit would send stays pending; SIGPIPE and SIGXFSZ
        // become errors of the call.
        sigset_t all;
        sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
    }
    ::clearenv();
    static_cast<void>(::setenv("TZ", "UTC0", 1));  // dates depend on no file of time zones
    ::umask(0077);
    const rlimit no_core{0, 0};
    raise_limit(RLIMIT_NOFILE);
    raise_limit(RLIMIT_FSIZE);
    raise_limit(RLIMIT_CPU);
    raise_limit(RLIMIT_AS);
    raise_limit(RLIMIT_DATA);
    if (::chdir("/") != 0 || ::setrlimit(RLIMIT_CORE, &no_core) != 0 ||
        ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        ::_exit(1);
    }
    static_cast<void>(::setsid());
    static_cast<void>(::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

bool writes_whole_files() {
    rlimit limit{};
    return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

Caller caller_by_exec() {
    Caller caller{::getuid(), {}};
    const int count = ::getgroups(0, nullptr);
    caller.groups.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    if (count < 0 || ::getgroups(count, caller.groups.data()) != count) {
        ::_exit(1);
    }
    caller.groups.push_back(::getgid());
    return caller;
}

Caller caller_by_socket(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        throw system_failure(errno, "learn who calls");
    }
    Caller caller{peer.uid, {}};
    socklen_t bytes = 0;
    static_cast<void>(::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &bytes));
    caller.groups.resize(bytes / sizeof(gid_t));
    if (bytes > 0 &&
        ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, caller.groups.data(), &bytes) != 0) {
        throw system_failure(errno, "learn the groups of who calls");
    }
    caller.groups.push_back(peer.gid);
    return caller;
}

bool become(uid_t user, gid_t group) {
    const bool root = ::geteuid() == 0;
    if (!root && ::geteuid() != user) {
        return false;
    }
    // The permitted set survives the change of uids, to be cut down at once.
    const bool done =
        ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
        (!root || (::setgroups(1, &group) == 0 && ::setresgid(group, group, group) == 0)) &&
        ::setresuid(user, user, user) == 0 && ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
    if (!done) {
        ::_exit(1);
    }
    set_capabilities(true, false);
    static_cast<void>(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    // A change of uids makes the process dumpable anew where the system says so.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::getresuid(&real, &effective, &saved) != 0 || real != user || effective != user ||
        saved != user) {
        ::_exit(1);
    }
    return true;
}

bool has_immutable_capability() {
    cap_t have = cap_get_proc();
    cap_flag_value_t permitted = CAP_CLEAR;
    const bool known =
        have != nullptr && cap_get_flag(have, CAP_LINUX_IMMUTABLE, CAP_PERMITTED, &permitted) == 0;
    cap_free(have);
    return known && permitted == CAP_SET;
}

void drop_capabilities() {
    set_capabilities(false, false);
}

Immutable::Immutable() {
    set_capabilities(true, true);
}

Immutable::~Immutable() {
    set_capabilities(true, false);
}

}  // namespace immbackup::vault
