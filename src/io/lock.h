// Advisory file locks (flock) that die with their holder.
#pragma once

#include <filesystem>
#include <optional>

#include "io/fd.h"

namespace immbackup {

// The lock of the backup directory: who writes below active/ and incoming/ holds it. The file holds
// the holder's pid and purpose as one line, for the message of whoever finds it taken.
class DirectoryLock {
  public:
    // Waits up to `wait_ms`; Error(busy) that names the holder where it stays taken.
    static DirectoryLock acquire(const std::filesystem::path& lock_file, const char* purpose,
                                 int wait_ms);

  private:
    explicit DirectoryLock(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

// Exclusive flock on an open file, released when the object goes. Waits up to wait_ms.
class FileLock {
  public:
    FileLock(const Fd& fd, const std::filesystem::path& path, int wait_ms);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

  private:
    int fd_;
};

}  // namespace immbackup
