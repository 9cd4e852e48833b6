#include "dump/pipeline.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "dump/failure.h"
#include "dump/stages.h"
#include "io/clock.h"
#include "io/rate_limit.h"

namespace immbackup {

namespace {

constexpr int kPipeSize = 1 << 20;
// Of messages at once: a flood of them must not keep us from everything else.
constexpr std::size_t kMessagesAtOnce = std::size_t{256} * 1024;
constexpr std::uint64_t kFirstByteFactor = 10;  // snapshot, catalog and locks come before it
constexpr int kIdleMs = 1000;
constexpr int kExitMs = 20;  // between looks for the exit of a program that closed its pipes
// Once the pipe is empty it is left to fill for a moment: pg_dump writes 4 KiB at a time, and to be
// woken for each of them costs both processes more than the bytes do. A small pipe would be full
// long before the moment is over.
constexpr int kFillMs = 1;
constexpr int kWorthFilling = 512 * 1024;
constexpr std::uint64_t kReportEveryMs = 100;
// What the scan gets at once: stays in the processor's cache from read() on.
constexpr std::size_t kReadSize = std::size_t{128} * 1024;

// Returns whether the pipe is a large one, which is not granted beyond the user's share of pipe
// memory.
bool prepare(const Fd& pipe) {
    ::fcntl(pipe.get(), F_SETFL, ::fcntl(pipe.get(), F_GETFL) | O_NONBLOCK);
    static_cast<void>(::fcntl(pipe.get(), F_SETPIPE_SZ, kPipeSize));
    return ::fcntl(pipe.get(), F_GETPIPE_SZ) >= kWorthFilling;
}

// The reader: the only one that touches the child and its pipes.
class DumpRun {
  public:
    DumpRun(const DumpJob& job, const CancelToken& cancel, Progress& progress)
        : job_(job),
          cancel_(cancel),
          progress_(progress),
          codec_(job.compression, job.threads),
          scanner_(job.kind),
          limit_(job.rate_limit, monotonic_ms()),
          stages_(codec_, job.threads, job.sink) {}

    DumpOutcome run();

  private:
    void spawn();
    void loop();
    int wait_ms();
    void wait();
    void read_stdout();
    void read_stderr(std::size_t most);
    void take(std::span<const std::byte> bytes);
    void end_stdout();
    void finish_stages();
    void report();
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
    const Codec codec_;
    DumpScanner scanner_;
    ScanResult scan_;
    RateLimit limit_;
    Stages stages_;  // ends before the child does, whatever happens
    // What has to happen before the pipe is read again.
    enum class Until { readable, filled, allowed, room };
    Until until_ = Until::readable;
    bool large_pipe_ = false;
    bool all_read_ = false;
    bool closed_ = false;  // the stages know that that was all
    bool first_byte_ = false;
    bool idle_ = false;            // the last wait ended without anything to read
    std::uint64_t last_byte_ = 0;  // monotonic milliseconds, or when we last kept it waiting
    std::uint64_t reported_ = 0;   // the same
    std::uint64_t bytes_in_ = 0;
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
    outcome_.scan = std::move(scan_);
    outcome_.compressor = codec_.name();
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
    large_pipe_ = prepare(child_->stdout_pipe());
    prepare(child_->stderr_pipe());
    last_byte_ = monotonic_ms();
}

void DumpRun::loop() {
    while (!status_ || !stages_.ended()) {
        wait();
        read_stderr(kMessagesAtOnce);
        cancel_.check();
        stages_.rethrow();
        read_stdout();
        finish_stages();
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
    if (until_ == Until::filled) {
        return kFillMs;
    }
    if (until_ == Until::allowed) {
        return std::clamp(limit_.wait_ms(monotonic_ms()), 1, kIdleMs);
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
    // poll() passes over -1.
    const int out = until_ == Until::readable ? child_->stdout_pipe().get() : -1;
    std::array<pollfd, 4> waits{{{out, POLLIN, 0},
                                 {child_->stderr_pipe().get(), POLLIN, 0},
                                 {cancel_.fd(), POLLIN, 0},
                                 {stages_.wake_fd(), POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), wait_ms());
    if (ready < 0 && errno != EINTR) {
        throw system_error(errno, "wait for " + job_.program);
    }
    idle_ = ready == 0 && until_ == Until::readable;
    if (waits[3].revents != 0) {
        stages_.clear_wake();
    }
}

void DumpRun::read_stdout() {
    Fd& pipe = child_->stdout_pipe();
    bool any = false;
    bool ended = false;
    // Several times, but with a look at the others before a fast writer's next megabyte.
    for (std::size_t rounds = 0; pipe && rounds < kPipeSize / kReadSize; ++rounds) {
        const std::size_t allowed = limit_.allowed(monotonic_ms());
        std::span<std::byte> room = stages_.room();
        if (allowed == 0 || room.empty()) {
            last_byte_ = monotonic_ms();  // it is us who keep it waiting
            until_ = room.empty() ? Until::room : Until::allowed;
            return;
        }
        room = room.first(std::min({room.size(), kReadSize, allowed}));
        const ssize_t count = ::read(pipe.get(), room.data(), room.size());
        if (count > 0) {
            take(room.first(static_cast<std::size_t>(count)));
            any = true;
        } else if (count == 0 || (errno == EAGAIN && ended)) {
            // A pipe that somebody else holds open after the program's end has ended as well.
            end_stdout();
        } else if (errno == EAGAIN && idle_ && child_->poll()) {
            ended = true;  // what it wrote last may have come since, and is all there now
        } else if (errno == EAGAIN) {
            // Where nothing came in a moment, the next byte may be long in coming.
            until_ = any && large_pipe_ ? Until::filled : Until::readable;
            return;
        } else if (errno != EINTR) {
            throw system_error(errno, "read from " + job_.program);
        }
    }
    until_ = Until::readable;
}

void DumpRun::take(std::span<const std::byte> bytes) {
    last_byte_ = monotonic_ms();
    if (!first_byte_) {
        first_byte_ = true;
        outcome_.first_byte = now();
    }
    scanner_.feed(bytes);
    bytes_in_ += bytes.size();
    limit_.spend(bytes.size());
    stages_.filled(bytes.size());
    report();
}

void DumpRun::report() {
    if (last_byte_ - reported_ < kReportEveryMs) {
        return;
    }
    reported_ = last_byte_;
    ProgressState state = job_.progress;
    state.table = scanner_.current_table();
    state.bytes_in += bytes_in_;
    state.bytes_out += stages_.bytes_out();
    progress_.update(state);
}

void DumpRun::end_stdout() {
    child_->stdout_pipe().reset();
    scan_ = scanner_.finish();
    all_read_ = true;
}

void DumpRun::finish_stages() {
    if (all_read_ && !closed_ && !stages_.room().empty()) {
        stages_.close();
        closed_ = true;
    }
}

void DumpRun::read_stderr(std::size_t most) {
    Fd& pipe = child_->stderr_pipe();
    std::array<char, 16384> buffer{};
    for (std::size_t total = 0; pipe && total < most;) {
        const ssize_t count = ::read(pipe.get(), buffer.data(), buffer.size());
        if (count > 0) {
            total += static_cast<std::size_t>(count);
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
        // All that it wrote is in the pipe by now; only somebody else could go on writing.
        read_stderr(kPipeSize);
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
    const ScanResult& scan = scan_;
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
