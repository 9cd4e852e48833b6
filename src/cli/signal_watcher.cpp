#include "cli/signal_watcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "io/clock.h"

namespace immbackup {

namespace {

// How long an orderly stop may take before the process ends without one.
constexpr std::uint64_t kHardStopMs = 20'000;
constexpr int kTickMs = 500;

sigset_t stop_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
        ::sigaddset(&set, number);
    }
    return set;
}

}  // namespace

SignalWatcher::SignalWatcher(CancelToken& cancel) : cancel_(cancel) {
    const sigset_t set = stop_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!signals_ || !wake_) {
        throw system_error(errno, "create a descriptor for signals");
    }
    thread_ = std::thread([this] { run(); });
}

SignalWatcher::~SignalWatcher() {
    done_ = true;
    wake();
    thread_.join();
}

void SignalWatcher::watch_stdin() {
    watch_stdin_ = true;
    wake();
}

void SignalWatcher::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void SignalWatcher::run() {
    while (!done_) {
        const int stdin_fd = watch_stdin_ && !parent_gone_ ? STDIN_FILENO : -1;
        std::array<pollfd, 3> waits{
            {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}, {stdin_fd, POLLIN, 0}}};
        ::poll(waits.data(), waits.size(), stop_began_ != 0 ? kTickMs : -1);
        if (waits[0].revents != 0) {
            signalfd_siginfo info{};
            if (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
                stop(static_cast<int>(info.ssi_signo));
            }
        }
        if (waits[1].revents != 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
        }
        if (waits[2].revents != 0) {
            std::array<char, 256> ignored{};
            if (::read(STDIN_FILENO, ignored.data(), ignored.size()) == 0) {
                parent_gone_ = true;
                stop(0);
            }
        }
        if (stop_began_ != 0 && monotonic_ms() > stop_began_ + kHardStopMs) {
            // Stuck in something that no signal ends. The next start finds what was left.
            ::_exit(1);
        }
    }
}

void SignalWatcher::stop(int signal_number) {
    const bool urgent = signal_number == SIGQUIT || stop_began_ != 0;
    if (urgent && dump_group_ > 0) {
        ::kill(-dump_group_, SIGKILL);
    }
    if (stop_began_ == 0) {
        stop_began_ = monotonic_ms();
    }
    cancel_.cancel(Error(
        ErrorCode::cancelled,
        signal_number == 0 ? std::string("cancelled: the server process that asked for it is gone")
        : signal_number == SIGINT ? std::string("cancelled on request")
                                  : fmt::format("cancelled by signal {} ({})", signal_number,
                                                ::sigdescr_np(signal_number))));
}

}  // namespace immbackup
