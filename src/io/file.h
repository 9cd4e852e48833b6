// Files: whole reads and writes, durability, names that are never overwritten. Every function
// throws system_error() with the path in its message. No function follows a symbolic link in the
// last component of a path it opens below the backup directory (O_NOFOLLOW).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/fd.h"

namespace immbackup {

namespace fs = std::filesystem;

// open(2) with O_CLOEXEC | O_NOFOLLOW added, EINTR retried.
Fd open_file(const fs::path& path, int flags, unsigned mode = 0600);
// Like open_file for reading, and refuses anything but a regular file (a FIFO would hang us).
Fd open_regular(const fs::path& path);
std::uint64_t file_size(const Fd& fd, const fs::path& path);

void write_all(const Fd& fd, std::span<const std::byte> bytes, const fs::path& path);
void write_all(const Fd& fd, std::string_view text, const fs::path& path);
// Up to `bytes.size()` bytes; less only at the end of the file.
std::size_t read_some(const Fd& fd, std::span<std::byte> bytes, const fs::path& path);
// The whole of a regular file; Error(corrupt) where it is larger than `limit`.
std::string read_file(const fs::path& path, std::size_t limit);
// The same of a file that somebody outside chose (credentials, tokens): links are followed, since
// secrets are mounted as links, and /dev/null is empty.
std::string read_named_file(const fs::path& path, std::size_t limit);
// Feeds a file's bytes block by block to `sink`, from the descriptor's position on. Returns the
// bytes read.
std::uint64_t read_blocks(const Fd& fd, const fs::path& path,
                          const std::function<void(std::span<const std::byte>)>& sink);

void sync_file(const Fd& fd, const fs::path& path);  // fsync
void sync_data(const Fd& fd, const fs::path& path);  // fdatasync
void sync_directory(const fs::path& path);
// Asks the kernel to forget its cached pages, so that the next read comes from the device.
void drop_cache(const Fd& fd);

// A new file at `path` with mode `mode`, written, fsynced; fails where the name exists.
void create_durable(const fs::path& path, std::string_view content, unsigned mode);
// Rename that never replaces anything: renameat2(RENAME_NOREPLACE), or link+unlink where the file
// system has no such rename. Error(exists) where the new name is taken.
void rename_no_replace(const fs::path& from, const fs::path& to);
// unlink; true where the file was there.
bool remove_file(const fs::path& path);
// Makes one directory with exactly this mode; an existing directory is left as it is.
void make_directory(const fs::path& path, unsigned mode);
// Where root works in another user's directory, what it makes there must stay usable for that user:
// gives a regular file or directory that belongs to root, and has no other name, to the owner of
// `folder`. Otherwise does nothing.
void give_to_owner_of(const fs::path& folder, const Fd& fd, const fs::path& path);
// Names of a directory's entries, sorted; without "." and "..".
std::vector<std::string> list_directory(const fs::path& path);

struct Space {
    std::uint64_t total = 0;      // bytes
    std::uint64_t available = 0;  // to this user
    std::uint64_t device = 0;     // st_dev
};
Space space_of(const fs::path& path);

}  // namespace immbackup
