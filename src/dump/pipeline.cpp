#include "dump/pipeline.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>

#include "dump/failure.h"
#include "dump/stages.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr int kPipeSize = 1 << 20;
constexpr std::uint64_t kFirstByteFactor = 10;  // snapshot, catalog and locks come before it
constexpr int kIdleMs = 1000;
constexpr int kExitMs = 20;  // between looks for the exit of a program that closed its pipes
// A program that writes little at a time (pg_dump: 4 KiB) does not get a block for each write
// while the stages have enough to do.
constexpr std::size_t kEnough = std::size_t{128} * 1024;

void prepare(const Fd& pipe) {
    ::fcntl(pipe.get(), F_SETFL, ::fcntl(pipe.get(), F_GETFL) | O_NONBLOCK);
    // Not granted beyond the user's share of pipe memory; a small pipe only costs time.
    static_cast<void>(::fcntl(pipe.get(), F_SETPIPE_SZ, kPipeSize));
}

// The reader: the only one that touches the child and its pipes.
class DumpRun {
  public:
    DumpRun(const DumpJob& job, const CancelToken& cancel, Progress& progress)
        : job_(job), cancel_(cancel), progress_(progress), stages_(job, progress) {}

    DumpOutcome run();

  private:
    void spawn();
    void loop();
    int wait_ms();
    void wait();
    void read_stdout();
    void read_stderr();
    void end_stdout();
    void hand_over();
    void look_for_exit();
    void check_stall() const;
    std::uint64_t stall_limit_ms() const;
    void judge();

    const DumpJob& job_;
    const CancelToken& cancel_;
    Progress& progress_;
    DumpOutcome outcome_;
    DumpMessages messages_;
    std::optional<Child> child_;
    std::optional<ExitStatus> status_;
    Stages stages_;   // ends before the child does, whatever happens
    BlockPtr block_;  // being filled
    bool first_byte_ = false;
    bool idle_ = false;            // the last wait ended without anything to read
    std::uint64_t last_byte_ = 0;  // monotonic milliseconds, or when we last kept it waiting
};

DumpOutcome DumpRun::run() {
    spawn();
    try {
        loop();
    } catch (...) {
        child_->stop();
        progress_.dump_process(0);
        throw;
    }
    progress_.dump_process(0);
    judge();
    outcome_.scan = std::move(stages_.scan_result());
    outcome_.compressor = stages_.compressor();
    outcome_.warnings = messages_.lines();
    ProgressState last = job_.progress;
    last.bytes_in += outcome_.scan.bytes;
    last.bytes_out += stages_.bytes_out();
    progress_.update(last);
    return std::move(outcome_);
}

void DumpRun::spawn() {
    SpawnOptions options = job_.command;
    options.pipe_stdout = true;
    options.pipe_stderr = true;
    cancel_.check();
    outcome_.spawned = now();
    child_ = Child::spawn(options);
    progress_.dump_process(child_->pid());
    prepare(child_->stdout_pipe());
    prepare(child_->stderr_pipe());
    last_byte_ = monotonic_ms();
}

void DumpRun::loop() {
    while (!status_ || !stages_.ended()) {
        wait();
        read_stderr();
        cancel_.check();
        stages_.rethrow();
        read_stdout();
        look_for_exit();
        check_stall();
    }
    stages_.rethrow();
}

int DumpRun::wait_ms() {
    if (status_) {
        return -1;  // only the stages are left, and they wake us
    }
    if (!child_->stdout_pipe()) {
        return kExitMs;
    }
    if (job_.stall_timeout == 0) {
        return kIdleMs;
    }
    const std::uint64_t deadline = last_byte_ + stall_limit_ms();
    const std::uint64_t present = monotonic_ms();
    return present >= deadline
               ? 0
               : static_cast<int>(std::min<std::uint64_t>(deadline - present, kIdleMs));
}

void DumpRun::wait() {
    if (!block_ && child_->stdout_pipe()) {
        block_ = stages_.try_take();
    }
    const int out = block_ ? child_->stdout_pipe().get() : -1;  // poll() passes over -1
    std::array<pollfd, 4> waits{{{out, POLLIN, 0},
                                 {child_->stderr_pipe().get(), POLLIN, 0},
                                 {cancel_.fd(), POLLIN, 0},
                                 {stages_.wake_fd(), POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), wait_ms());
    if (ready < 0 && errno != EINTR) {
        throw system_error(errno, "wait for " + job_.program);
    }
    idle_ = ready == 0;
    if (waits[3].revents != 0) {
        stages_.clear_wake();
    }
}

void DumpRun::read_stdout() {
    Fd& pipe = child_->stdout_pipe();
    if (!pipe) {
        return;
    }
    while (true) {
        if (!block_) {
            block_ = stages_.try_take();
        }
        if (!block_) {
            last_byte_ = monotonic_ms();  // it is us who are slow
            return;
        }
        const std::span<std::byte> room = block_->room();
        const ssize_t count = ::read(pipe.get(), room.data(), room.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && errno != EAGAIN) {
            throw system_error(errno, "read from " + job_.program);
        }
        if (count <= 0) {
            // A pipe that somebody else holds open after the program's end has ended as well.
            if (count == 0 || (idle_ && child_->poll())) {
                end_stdout();
            } else if (block_->size >= kEnough || stages_.waiting()) {
                hand_over();
            }
            return;
        }
        if (!first_byte_) {
            first_byte_ = true;
            outcome_.first_byte = now();
        }
        last_byte_ = monotonic_ms();
        block_->size += static_cast<std::size_t>(count);
        if (block_->room().empty()) {
            hand_over();
            return;  // a look at the others between two blocks
        }
    }
}

void DumpRun::hand_over() {
    if (block_ && block_->size > 0) {
        stages_.push(std::move(block_));
    }
}

void DumpRun::end_stdout() {
    hand_over();
    if (block_) {
        stages_.give_back(std::move(block_));
    }
    child_->stdout_pipe().reset();
    stages_.close();
}

void DumpRun::read_stderr() {
    Fd& pipe = child_->stderr_pipe();
    std::array<char, 16384> buffer{};
    // A flood of messages must not keep us from everything else.
    for (int rounds = 0; pipe && rounds < 16; ++rounds) {
        const ssize_t count = ::read(pipe.get(), buffer.data(), buffer.size());
        if (count > 0) {
            messages_.append({buffer.data(), static_cast<std::size_t>(count)});
        } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            pipe.reset();
        } else {
            return;
        }
    }
}

void DumpRun::look_for_exit() {
    if (status_ || child_->stdout_pipe()) {
        return;
    }
    status_ = child_->poll();
    if (status_) {
        outcome_.ended = now();
        read_stderr();  // all that it wrote is in the pipe by now
        child_->stderr_pipe().reset();
    }
}

std::uint64_t DumpRun::stall_limit_ms() const {
    constexpr std::uint64_t kMsPerSecond = 1000;
    return static_cast<std::uint64_t>(job_.stall_timeout) * kMsPerSecond *
           (first_byte_ ? 1 : kFirstByteFactor);
}

void DumpRun::check_stall() const {
    if (job_.stall_timeout == 0 || status_ || monotonic_ms() - last_byte_ < stall_limit_ms()) {
        return;
    }
    throw Error(
        ErrorCode::timeout,
        fmt::format("{} wrote nothing for {} seconds", dump_title(job_), stall_limit_ms() / 1000),
        messages_.tail(),
        "Look for what it waits for in pg_stat_activity (application \"immbackup pg_dump\"),"
        " or raise the setting immbackup.stall_timeout.");
}

void DumpRun::judge() {
    if (!status_->success()) {
        throw dump_failure(job_, *status_, messages_.tail());
    }
    const ScanResult& scan = stages_.scan_result();
    if (!scan.complete) {
        const std::string tail = messages_.tail();
        throw Error(ErrorCode::incomplete,
                    fmt::format("{} ended without an error, but its output is not complete",
                                dump_title(job_)),
                    tail.empty() ? scan.problem : scan.problem + '\n' + tail,
                    "Nothing was kept of this dump. Run the backup again.");
    }
}

}  // namespace

DumpOutcome run_dump(const DumpJob& job, const CancelToken& cancel, Progress& progress) {
    return DumpRun(job, cancel, progress).run();
}

}  // namespace immbackup
