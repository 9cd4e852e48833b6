// Reads a file back from its device while it is still being written, behind the writer.
//
// A range is read once the kernel has written it out (sync_file_range waits for that) and dropped
// it from the page cache, and with O_DIRECT where the file system has it: so that what is hashed is
// what the device gives, never what memory still holds. Every byte is read exactly once. Nothing is
// durable by this alone: the writer syncs the whole file before it asks for the digest.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/digest.h"
#include "io/cancel.h"
#include "io/file.h"

namespace immbackup {

class ReadBack {
  public:
    explicit ReadBack(fs::path path) : path_(std::move(path)) {}
    ~ReadBack();  // stops
    ReadBack(const ReadBack&) = delete;
    ReadBack& operator=(const ReadBack&) = delete;

    // So much is written and will not change; never blocks.
    void grown_to(std::uint64_t bytes);
    struct Result {
        std::uint64_t size = 0;  // bytes that there were to read
        std::string sha256;
    };
    // The file is whole and synced: waits for the rest. Throws what reading failed with, or the
    // token's reason.
    Result finish(std::uint64_t size, const CancelToken& cancel);

  private:
    struct Aligned {
        void operator()(std::byte* memory) const;
    };
    void open();
    void follow();
    void read_range(std::uint64_t to);
    std::size_t read_at(std::uint64_t at, std::size_t size);
    bool stopped() const;

    const fs::path path_;
    Fd fd_;      // through the page cache: syncs and drops ranges
    Fd direct_;  // O_DIRECT, where there is such a thing
    std::unique_ptr<std::byte, Aligned> buffer_;
    Sha256 digest_;
    std::uint64_t done_ = 0;  // of the one who reads

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t written_ = 0;
    bool whole_ = false;
    bool stopped_ = false;
    bool ended_ = false;
    std::exception_ptr error_;
    std::thread thread_;
};

}  // namespace immbackup
