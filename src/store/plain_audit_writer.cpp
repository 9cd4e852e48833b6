// The audit log in a file of ours. One record is one write() of one line under the file's lock,
// synced before append() returns.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/events.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/lock.h"
#include "store/audit_writer.h"
#include "store/line_reader.h"
#include "store/seal.h"

namespace immbackup {

namespace {

constexpr unsigned kLogMode = 0600;
// Allocated beyond the end of the file, so that a failure can be recorded on a full disk.
constexpr off_t kReserve = 256 * 1024;

[[noreturn]] void unusable(const fs::path& path, const std::string& why, const std::string& hint) {
    throw Error(ErrorCode::audit,
                fmt::format("the audit log \"{}\" cannot be used: {}", path.string(), why),
                "No backup is taken without a record of it.", hint);
}

// The file behind the descriptor is a log that we may append to, and still the one of that name:
// records in a file that was moved away or removed would be lost with it.
void check_log_file(const Fd& fd, const fs::path& path) {
    struct stat status {};
    struct stat named {};
    if (::fstat(fd.get(), &status) != 0) {
        throw system_error(errno, "look at file", path.string());
    }
    if (!S_ISREG(status.st_mode)) {
        unusable(path, "it is not a regular file", "Move it away; a new log is begun.");
    }
    if (::lstat(path.c_str(), &named) != 0 || named.st_ino != status.st_ino ||
        named.st_dev != status.st_dev) {
        unusable(path, "it was moved, removed or replaced while it was in use",
                 "Find out who did it, and put the log back.");
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

// A bad last line that was ended: our own newline after a torn one, with nothing of what should
// have followed? Then it is a record's beginning, or holes where the file system kept no data. A
// line with the end of a record is one that somebody changed, and must not pass for torn.
bool looks_torn(std::string_view line) {
    constexpr std::string_view kHashMark = ",\"hash\":\"";
    constexpr std::size_t kTail = kHashMark.size() + 64 + 2;
    const bool ends_as_record = line.size() >= kTail && line.ends_with("\"}") &&
                                line.substr(line.size() - kTail, kHashMark.size()) == kHashMark;
    return line.size() < kMaxAuditLine &&
           (!ends_as_record || line.find('\0') != std::string_view::npos);
}

// Fit for a JSON string as it is: a host may be called anything.
std::string plain_text(std::string text) {
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; }, '?');
    return text;
}

std::string new_uuid() {
    std::string uuid = read_file("/proc/sys/kernel/random/uuid", 64);
    uuid.resize(std::min<std::size_t>(uuid.size(), 36));
    return uuid;
}

class PlainAuditWriter final : public AuditWriter {
  public:
    PlainAuditWriter(Layout layout, std::string origin)
        : layout_(std::move(layout)), origin_(std::move(origin)) {}

    void begin(Catalog& catalog) override;
    void catch_up(Catalog& catalog) override {
        const FileLock lock(fd_, layout_.audit_log(), kAuditLockWaitMs);
        fold_tail(catalog);
    }
    AuditRecord append(Catalog& catalog, const char* event, const std::string& body) override {
        const FileLock lock(fd_, layout_.audit_log(), kAuditLockWaitMs);
        fold_tail(catalog);
        return write_record(catalog, event, body);
    }
    bool append_only() const override { return append_only_; }

  private:
    struct Tail;
    void fold_tail(Catalog& catalog);
    void end_line(Catalog& catalog, const AuditRecord& record, std::uint64_t size);
    void explain_torn(Catalog& catalog, const Tail& tail);
    AuditRecord write_record(Catalog& catalog, const char* event, const std::string& body,
                             std::uint64_t at, bool after_newline);
    AuditRecord write_record(Catalog& catalog, const char* event, const std::string& body) {
        return write_record(catalog, event, body, catalog.offset, false);
    }
    void write_line(std::string_view line) const;
    void keep_reserve() const;

    Layout layout_;
    std::string origin_;
    Fd fd_;
    bool append_only_ = false;
};

void PlainAuditWriter::begin(Catalog& catalog) {
    const fs::path path = layout_.audit_log();
    std::error_code ignored;
    if (fs::is_symlink(fs::symlink_status(path, ignored))) {
        unusable(path, "it is a symbolic link", "Put the log itself in its place.");
    }
    // O_APPEND: an append-only file cannot be opened for writing in any other way. O_NONBLOCK:
    // nor must a FIFO hold us up.
    fd_ = open_file(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, kLogMode);
    check_log_file(fd_, path);
    append_only_ = set_inode_flag(fd_, InodeFlag::append_only, true) &&
                   has_inode_flag(fd_, InodeFlag::append_only);
    sync_directory(layout_.logs());
    catalog = load_checkpoint(layout_, fd_);
    const FileLock lock(fd_, path, kAuditLockWaitMs);
    fold_tail(catalog);
    // Also where another first record was torn.
    if (catalog.instance.empty()) {
        write_record(catalog, event::kInstanceCreated, instance_body());
    }
}

// What follows the last whole record, up to the end of the file.
struct PlainAuditWriter::Tail {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;   // of the file
    std::uint64_t lines = 0;  // ended ones
    bool torn = false;        // a write that was cut off
    bool terminated = false;  // the last line has its newline
};

// Brings the catalog up to the end of the log, and deals with a write that was cut off there. Needs
// the file lock: nobody is writing.
void PlainAuditWriter::fold_tail(Catalog& catalog) {
    const fs::path path = layout_.audit_log();
    check_log_file(fd_, path);
    Tail tail{catalog.offset, file_size(fd_, path)};
    if (tail.size < catalog.offset) {
        unusable(path, "it became shorter while it was in use",
                 "Records were cut off: find out who did it.");
    }
    LineReader reader(fd_, path, catalog.offset, tail.size);
    LineReader::Line line;
    std::uint64_t end = tail.begin;
    while (reader.next(line)) {
        std::string why;
        const auto record = parse_audit_line(line.text, why);
        end += line.bytes;
        tail.terminated = line.terminated;
        if (!line.terminated) {
            if (record && record->seq == catalog.head_seq + 1 &&
                record->prev == catalog.head_hash) {
                end_line(catalog, *record, tail.size);
                return;
            }
            tail.torn = true;
        } else if (record) {
            catalog.apply(*record);
            catalog.bad_lines += std::exchange(tail.lines, 0);
            catalog.offset = tail.begin = end;
            tail.torn = false;  // what was torn before it, it explains (or the chain is broken)
        } else if (looks_torn(line.text)) {
            ++tail.lines;
            tail.torn = true;
        } else {
            // Not ours to explain: it stays what verify_audit_log() says of it.
            catalog.bad_lines += std::exchange(tail.lines, 0) + 1;
            catalog.offset = tail.begin = end;
            tail.torn = false;
        }
    }
    if (tail.torn) {
        explain_torn(catalog, tail);
    }
}

// A whole record that lacks only its newline is complete once it has it.
void PlainAuditWriter::end_line(Catalog& catalog, const AuditRecord& record, std::uint64_t size) {
    write_line("\n");
    catalog.apply(record);
    catalog.offset = size + 1;
}

void PlainAuditWriter::explain_torn(Catalog& catalog, const Tail& tail) {
    const fs::path path = layout_.audit_log();
    const std::uint64_t end = tail.size - (tail.terminated ? 1 : 0);
    Sha256 digest;
    std::vector<std::byte> block(64 * 1024);
    for (std::uint64_t at = tail.begin; at < end;) {
        const ssize_t count =
            ::pread(fd_.get(), block.data(), std::min<std::uint64_t>(block.size(), end - at),
                    static_cast<off_t>(at));
        if (count <= 0) {
            throw system_error(count < 0 ? errno : EIO, "read file", path.string());
        }
        digest.update(std::span<const std::byte>(block.data(), static_cast<std::size_t>(count)));
        at += static_cast<std::uint64_t>(count);
    }
    // The newline that ends the torn line goes out in the same write as the record that explains
    // it. Until that is durable the catalog stays at the last whole record.
    write_record(catalog, event::kLogTorn, torn_body(tail.begin, end - tail.begin, digest.hex()),
                 tail.size, !tail.terminated);
    catalog.bad_lines += tail.lines + (tail.terminated ? 0 : 1);
}

// `at`: the end of the file.
AuditRecord PlainAuditWriter::write_record(Catalog& catalog, const char* event,
                                           const std::string& body, std::uint64_t at,
                                           bool after_newline) {
    AuditRecord record;
    record.seq = catalog.head_seq + 1;
    record.time = format_time(now());
    record.origin = origin_;
    record.prev = catalog.head_hash;
    record.event = event;
    record.body = body;
    std::string line = format_audit_line(record);
    if (after_newline) {
        line.insert(line.begin(), '\n');
    }
    write_line(line);
    catalog.apply(record);
    catalog.offset = at + line.size();
    keep_reserve();
    return record;
}

// One write, made durable. A part that a failure leaves in the file is the next append's torn line;
// a line that was not made durable is found, and counts, when the next append finds it whole.
void PlainAuditWriter::write_line(std::string_view line) const {
    const fs::path path = layout_.audit_log();
    ssize_t written = 0;
    do {
        written = ::write(fd_.get(), line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    if (written != static_cast<ssize_t>(line.size())) {
        throw system_error(written < 0 ? errno : ENOSPC, "append to", path.string());
    }
    sync_data(fd_, path);
}

void PlainAuditWriter::keep_reserve() const {
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

}  // namespace

std::string instance_body() {
    return fmt::format(R"({{"instance":"{}","version":"{}","host":"{}"}})", new_uuid(),
                       IMMBACKUP_VERSION, plain_text(host_name()));
}

std::unique_ptr<AuditWriter> plain_audit_writer(const Layout& layout, std::string origin) {
    return std::make_unique<PlainAuditWriter>(layout, std::move(origin));
}

}  // namespace immbackup
