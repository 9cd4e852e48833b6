// The stages after the reader: scan, gzip, sink, a thread each. The first error of any of them
// stops all.
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include "dump/blocks.h"
#include "dump/pipeline.h"
#include "io/fd.h"

namespace immbackup {

class Stages {
  public:
    Stages(const DumpJob& job, Progress& progress);
    ~Stages();  // stops and joins
    Stages(const Stages&) = delete;
    Stages& operator=(const Stages&) = delete;

    // Of the reader. A free block, or null where the stages are behind.
    BlockPtr try_take() { return raw_pool_.try_take(); }
    void give_back(BlockPtr block) { raw_pool_.give_back(std::move(block)); }
    void push(BlockPtr block) { to_scan_.push(std::move(block)); }
    bool waiting() const { return to_scan_.empty(); }  // the scan has nothing left to do
    void close() { to_scan_.close(); }                 // that was the last block

    // Readable after a block became free, a stage failed, or all have ended.
    int wake_fd() const { return wake_.get(); }
    void clear_wake();

    bool failed() const { return failed_.load(std::memory_order_acquire); }
    bool ended() const { return running_.load(std::memory_order_acquire) == 0; }
    // Throws the error of the stage that failed first.
    void rethrow() const;

    // Once ended without failure.
    ScanResult& scan_result() { return scan_result_; }
    const std::string& compressor() const { return compressor_; }
    std::uint64_t bytes_out() const { return bytes_out_.load(std::memory_order_relaxed); }

  private:
    void start(void (Stages::*stage)());
    void run(void (Stages::*stage)());
    void scan();
    void gzip();
    void sink();
    void report(const DumpScanner& scanner);
    void wake();
    void stop();

    const DumpJob& job_;
    Progress& progress_;
    Fd wake_;
    BlockPool raw_pool_;
    BlockPool gzip_pool_;
    BlockQueue to_scan_;
    BlockQueue to_gzip_;
    BlockQueue to_sink_;

    std::atomic<bool> failed_{false};
    std::atomic<int> running_{0};
    std::mutex mutex_;
    std::exception_ptr error_;

    ScanResult scan_result_;
    std::string compressor_;
    std::uint64_t bytes_in_ = 0;
    std::uint64_t reported_ = 0;  // when, in monotonic milliseconds
    std::atomic<std::uint64_t> bytes_out_{0};
    std::vector<std::thread> threads_;
};

}  // namespace immbackup
