// Writing the audit log. One record is one write() of one line under the file's lock, synced before
// append() returns.

#include "store/audit_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/events.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/lock.h"
#include "store/line_reader.h"
#include "store/seal.h"

namespace immbackup {

namespace {

constexpr unsigned kLogMode = 0600;
constexpr int kLockWaitMs = 10'000;
// Allocated beyond the end of the file, so that a failure can be recorded on a full disk.
constexpr off_t kReserve = 256 * 1024;

[[noreturn]] void unusable(const fs::path& path, const std::string& why, const std::string& hint) {
    throw Error(ErrorCode::audit,
                fmt::format("the audit log \"{}\" cannot be used: {}", path.string(), why),
                "No backup is taken without a record of it.", hint);
}

// Runs `act`; what the file layer throws becomes an error of the audit log (a full disk stays one).
template <typename Act>
auto as_audit_error(const fs::path& path, const Act& act) {
    try {
        return act();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::audit || error.code() == ErrorCode::internal) {
            throw;
        }
        throw Error(
            error.code() == ErrorCode::no_space ? ErrorCode::no_space : ErrorCode::audit,
            fmt::format("the audit log \"{}\" cannot be used: {}", path.string(), error.message()),
            "No backup is taken without a record of it.",
            "Make the log writable for the OS user that runs PostgreSQL, and see that there is "
            "space.");
    }
}

void check_log_file(const Fd& fd, const fs::path& path) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw system_error(errno, "look at file", path.string());
    }
    if (!S_ISREG(status.st_mode)) {
        unusable(path, "it is not a regular file", "Move it away; a new log is begun.");
    }
    if (status.st_nlink != 1) {
        unusable(path, "it has other names (hard links)",
                 "Find out who made them, and remove them.");
    }
    if (status.st_uid != ::geteuid() && ::geteuid() != 0) {
        unusable(path, "it belongs to another user",
                 "Give it to the OS user that runs PostgreSQL.");
    }
}

std::string new_uuid() {
    std::string uuid = read_file("/proc/sys/kernel/random/uuid", 64);
    uuid.resize(std::min<std::size_t>(uuid.size(), 36));
    return uuid;
}

}  // namespace

AuditLog::AuditLog(Layout layout, std::string origin)
    : layout_(std::move(layout)), origin_(std::move(origin)) {
    const fs::path path = layout_.audit_log();
    as_audit_error(path, [&] {
        // O_APPEND: an append-only file cannot be opened for writing in any other way.
        fd_ = open_file(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, kLogMode);
        check_log_file(fd_, path);
        append_only_ = set_inode_flag(fd_, InodeFlag::append_only, true) &&
                       has_inode_flag(fd_, InodeFlag::append_only);
        sync_directory(layout_.logs());
        catalog_ = load_checkpoint(layout_, fd_);
        const FileLock lock(fd_, path, kLockWaitMs);
        fold_tail();
        if (catalog_.head_seq == 0) {
            create();
        }
    });
}

void AuditLog::create() {
    write_record(event::kInstanceCreated,
                 fmt::format(R"({{"instance":"{}","version":"{}","host":"{}"}})", new_uuid(),
                             IMMBACKUP_VERSION, host_name()));
}

void AuditLog::refresh() {
    as_audit_error(layout_.audit_log(), [&] {
        const FileLock lock(fd_, layout_.audit_log(), kLockWaitMs);
        fold_tail();
    });
}

AuditRecord AuditLog::append(const char* event, const std::string& body) {
    return as_audit_error(layout_.audit_log(), [&] {
        const FileLock lock(fd_, layout_.audit_log(), kLockWaitMs);
        fold_tail();
        return write_record(event, body);
    });
}

// Brings the catalog up to the end of the log. What follows the last newline, or was never a
// record, and is not yet explained, is explained by a log_torn record. Needs the file lock.
void AuditLog::fold_tail() {
    const fs::path path = layout_.audit_log();
    const std::uint64_t bad_before = catalog_.bad_lines;
    const std::uint64_t from = catalog_.offset;
    fold_from(catalog_, fd_, layout_, {});
    const std::uint64_t size = file_size(fd_, path);
    if (size == catalog_.offset && catalog_.bad_lines == bad_before) {
        return;
    }
    explain_torn(from, size);
}

void AuditLog::explain_torn(std::uint64_t from, std::uint64_t size) {
    // The bytes after the last whole record. Only those of a cut-off write are explained: they end
    // without a newline. Bad lines that end with one are somebody's doing, and stay what
    // verify_audit says of them.
    const fs::path path = layout_.audit_log();
    LineReader reader(fd_, path, from, size);
    LineReader::Line line;
    std::uint64_t offset = from;
    std::uint64_t begin = from;
    std::optional<AuditRecord> record;
    while (reader.next(line)) {
        std::string why;
        record = parse_audit_line(line.text, why);
        offset += line.bytes;
        if (record && line.terminated) {
            begin = offset;
        }
    }
    if (line.terminated) {
        return;
    }
    if (record && record->seq == catalog_.head_seq + 1 && record->prev == catalog_.head_hash) {
        // A whole record that lost only its newline.
        catalog_.apply(*record);
        catalog_.offset = size;
        pending_newline_ = true;
        return;
    }
    Sha256 digest;
    std::uint64_t at = begin;
    std::vector<std::byte> block(64 * 1024);
    while (at < size) {
        const ssize_t count =
            ::pread(fd_.get(), block.data(), std::min<std::uint64_t>(block.size(), size - at),
                    static_cast<off_t>(at));
        if (count <= 0) {
            throw system_error(count < 0 ? errno : EIO, "read file", path.string());
        }
        digest.update(std::span<const std::byte>(block.data(), static_cast<std::size_t>(count)));
        at += static_cast<std::uint64_t>(count);
    }
    // The newline that ends the torn line goes out in the same write as the record that explains
    // it.
    const std::uint64_t torn = size - begin;
    pending_newline_ = true;
    catalog_.offset = size;
    write_record(event::kLogTorn, torn_body(begin, torn, digest.hex()));
}

AuditRecord AuditLog::write_record(const char* event, const std::string& body) {
    const fs::path path = layout_.audit_log();
    AuditRecord record;
    record.seq = catalog_.head_seq + 1;
    record.time = format_time(now());
    record.origin = origin_;
    record.prev = catalog_.head_hash;
    record.event = event;
    record.body = body;
    std::string line = format_audit_line(record);
    if (pending_newline_) {
        line.insert(line.begin(), '\n');
    }
    const ssize_t written = ::write(fd_.get(), line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size())) {
        // A part may be in the file now: it is the next append's torn line.
        pending_newline_ = false;
        throw system_error(written < 0 ? errno : ENOSPC, "append to", path.string());
    }
    pending_newline_ = false;
    sync_data(fd_, path);
    catalog_.offset += line.size();
    catalog_.apply(record);
    keep_reserve();
    return record;
}

void AuditLog::keep_reserve() const {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) {
        return;
    }
    constexpr off_t kSector = 512;
    if (status.st_blocks * kSector < status.st_size + kReserve / 2) {
        // Where the file system has no such thing, or no space, there is no reserve: nothing else
        // to do.
        static_cast<void>(::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, status.st_size, kReserve));
    }
}

void AuditLog::save_checkpoint() {
    const fs::path temporary = layout_.logs() / fmt::format("catalog.idx.{}", ::getpid());
    try {
        const Fd fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, kLogMode);
        write_all(fd, catalog_to_checkpoint(catalog_), temporary);
        if (::rename(temporary.c_str(), layout_.checkpoint().c_str()) != 0) {
            ::unlink(temporary.c_str());
        }
    } catch (const Error&) {
        ::unlink(temporary.c_str());
    }
}

}  // namespace immbackup
