#include "dump/stages.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/error.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr std::size_t kBlockSize = std::size_t{256} * 1024;
constexpr std::size_t kBlocks = 8;  // of each pool: 4 MiB together
constexpr std::uint64_t kReportEveryMs = 100;

// Signals belong to the thread that started us: stages are started with all of them blocked.
class AllSignalsBlocked {
  public:
    AllSignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

  private:
    sigset_t before_{};
};

}  // namespace

Stages::Stages(const DumpJob& job, Progress& progress)
    : job_(job),
      progress_(progress),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      raw_pool_(kBlocks, kBlockSize, [this] { wake(); }),
      gzip_pool_(kBlocks, kBlockSize) {
    if (!wake_) {
        throw system_error(errno, "create an event descriptor");
    }
    const AllSignalsBlocked blocked;
    try {
        start(&Stages::scan);
        start(&Stages::gzip);
        start(&Stages::sink);
    } catch (...) {  // no destructor will run
        stop();
        for (std::thread& thread : threads_) {
            thread.join();
        }
        throw;
    }
}

Stages::~Stages() {
    stop();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void Stages::start(void (Stages::*stage)()) {
    running_.fetch_add(1, std::memory_order_relaxed);
    threads_.emplace_back([this, stage] { run(stage); });
}

void Stages::run(void (Stages::*stage)()) {
    try {
        (this->*stage)();
    } catch (const Stopped&) {
        // Another stage's error, or the reader's, is what counts.
    } catch (...) {
        {
            const std::lock_guard lock(mutex_);
            if (!error_) {
                error_ = std::current_exception();
            }
        }
        failed_.store(true, std::memory_order_release);
        stop();
    }
    running_.fetch_sub(1, std::memory_order_release);
    wake();
}

void Stages::stop() {
    for (BlockQueue* queue : {&to_scan_, &to_gzip_, &to_sink_}) {
        queue->stop();
    }
    raw_pool_.stop();
    gzip_pool_.stop();
}

void Stages::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void Stages::clear_wake() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read = ::read(wake_.get(), &count, sizeof count);
}

void Stages::rethrow() const {
    if (failed()) {
        std::rethrow_exception(error_);
    }
}

void Stages::scan() {
    DumpScanner scanner(job_.kind);
    while (BlockPtr block = to_scan_.pop()) {
        scanner.feed(block->content());
        bytes_in_ += block->size;
        to_gzip_.push(std::move(block));
        report(scanner);
    }
    to_gzip_.close();
    scan_result_ = scanner.finish();
}

void Stages::report(const DumpScanner& scanner) {
    const std::uint64_t now_ms = monotonic_ms();
    if (now_ms - reported_ < kReportEveryMs) {
        return;
    }
    reported_ = now_ms;
    ProgressState state = job_.progress;
    state.table = scanner.current_table();
    state.bytes_in += bytes_in_;
    state.bytes_out += bytes_out();
    progress_.update(state);
}

void Stages::gzip() {
    const auto compressor =
        make_gzip_compressor(job_.gzip_level, [this](std::span<const std::byte> bytes) {
            while (!bytes.empty()) {
                BlockPtr block = gzip_pool_.take();
                const std::size_t part = std::min(bytes.size(), block->space.size());
                std::memcpy(block->space.data(), bytes.data(), part);
                block->size = part;
                bytes = bytes.subspan(part);
                to_sink_.push(std::move(block));
            }
        });
    compressor_ = compressor->name();
    while (BlockPtr block = to_gzip_.pop()) {
        compressor->feed(block->content());
        raw_pool_.give_back(std::move(block));
    }
    compressor->finish();
    to_sink_.close();
}

void Stages::sink() {
    while (BlockPtr block = to_sink_.pop()) {
        job_.sink(block->content());
        bytes_out_.fetch_add(block->size, std::memory_order_relaxed);
        gzip_pool_.give_back(std::move(block));
    }
}

}  // namespace immbackup
