#include "vault/log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "vault/clock.h"
#include "vault/failure.h"

namespace immbackup::vault {

namespace {

constexpr mode_t kLogMode = 0640;
// Behind the last whole record there can be what some cut-off writes left, each below a line.
constexpr std::uint64_t kLookBack = 2 * kMaxLine;
constexpr std::uint64_t kLookFurther = 16 * kMaxLine;
// Allocated beyond the end of the file, so that a failure can be recorded on a full disk.
constexpr off_t kReserve = 256 * 1024;

[[noreturn]] void damaged(const std::string& why) {
    throw Failure{Code::audit, "the vault's audit log cannot be used: " + why,
                  "Only root can have done that: find out who did."};
}

// Where the log ends, and with what.
struct Tail {
    Link last;  // its seq is 0 where none was found
    std::uint64_t size = 0;
    // What a cut-off write left behind the last whole record.
    std::uint64_t torn_offset = 0;
    std::string torn;
    bool explain = false;
    bool needs_newline = false;  // the last record lacks only that
};

Fd open_log(const Tree& tree) {
    Fd fd(::openat(tree.logs().get(), kLogName, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
        throw system_failure(errno, "open the vault's audit log");
    }
    const struct stat status = status_of(fd);
    if (!S_ISREG(status.st_mode) || status.st_uid != tree.user() || status.st_nlink != 1 ||
        (status.st_mode & 07777) != kLogMode) {
        damaged("it is not a file of the vault's user with one name and mode 0640");
    }
    return fd;
}

// The last whole record, searched from the end, and whether all behind it looks torn.
Tail find_tail(const Fd& fd, std::uint64_t look_back = kLookBack) {
    Tail tail;
    tail.size = static_cast<std::uint64_t>(status_of(fd).st_size);
    const std::uint64_t begin = tail.size > look_back ? tail.size - look_back : 0;
    std::string text(tail.size - begin, '\0');
    text.resize(read_at(fd, begin, text));
    std::size_t end = text.size();
    bool all_torn = true;
    while (end > 0) {
        // [start, end) is one line, with its newline where it has one.
        const bool ended = text[end - 1] == '\n';
        const auto before = end >= 2 ? text.rfind('\n', end - 2) : std::string::npos;
        if (before == std::string::npos && begin > 0) {
            return look_back == kLookBack ? find_tail(fd, kLookFurther) : tail;
        }
        const std::size_t start = before == std::string::npos ? 0 : before + 1;
        const std::string_view line(text.data() + start, end - start - (ended ? 1 : 0));
        if (const auto link = parse_line(line)) {
            tail.last = *link;
            tail.needs_newline = !ended;
            break;
        }
        all_torn = all_torn && looks_torn(line);
        end = start;
    }
    tail.torn_offset = begin + end;
    tail.torn = text.substr(end);
    // What somebody changed must not pass for torn: it stays what a verification says of it.
    tail.explain = !tail.torn.empty() && all_torn;
    return tail;
}

// One write, made durable. What a failure leaves of it is the next append's torn line.
void write_line(const Fd& fd, const std::string& line) {
    ssize_t count = -1;
    do {
        count = ::write(fd.get(), line.data(), line.size());
    } while (count < 0 && errno == EINTR);
    if (count != static_cast<ssize_t>(line.size())) {
        throw system_failure(count < 0 ? errno : ENOSPC, "append to the vault's audit log");
    }
    if (::fdatasync(fd.get()) != 0) {
        throw system_failure(errno, "sync the vault's audit log");
    }
}

void keep_reserve(const Fd& fd) {
    constexpr off_t kSector = 512;
    const struct stat status = status_of(fd);
    if (status.st_blocks * kSector < status.st_size + kReserve / 2) {
        // Where the file system has no such thing, or no space, there is no reserve.
        static_cast<void>(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, status.st_size, kReserve));
    }
}

Record next_record(const Tail& tail, const std::string& event, const std::string& origin,
                   const std::string& body) {
    return {tail.last.seq + 1,
            format_time(sample_clocks().wall),
            origin,
            tail.last.hash,
            event,
            body,
            {}};
}

void write_record(const Fd& fd, Tail& tail, Record& record, std::uint64_t at_most,
                  const std::string& before = {}) {
    const std::string line = before + format_line(record);
    if (tail.size + line.size() > at_most) {
        throw Failure{Code::no_space, "the vault's quota leaves no room for the record",
                      "Raise quota_log in the vault's configuration."};
    }
    write_line(fd, line);
    tail.size += line.size();
    tail.last = {record.seq, record.hash};
}

// Ends or explains what a crash left at the end.
void mend(const Fd& fd, Tail& tail) {
    const bool ended = tail.torn.empty() ? !tail.needs_newline : tail.torn.back() == '\n';
    if (tail.explain) {
        const std::string torn = tail.torn.substr(0, tail.torn.size() - (ended ? 1 : 0));
        Record record = next_record(tail, "log_torn", kOrigin,
                                    torn_body(tail.torn_offset, torn.size(), sha256_hex(torn)));
        write_record(fd, tail, record, UINT64_MAX, ended ? "" : "\n");
    } else if (!ended) {
        write_line(fd, "\n");
        tail.size += 1;
    }
}

void flag_log(const Fd& fd) {
    // At level vault-dac there is no flag, and status says so.
    static_cast<void>(set_flag(fd, Flag::append_only));
}

}  // namespace

bool log_exists(const Tree& tree) {
    return exists_in(tree.logs(), kLogName);
}

std::uint64_t log_size(const Tree& tree) {
    const Fd fd = open_in(tree.logs(), kLogName);
    return fd ? static_cast<std::uint64_t>(status_of(fd).st_size) : 0;
}

Appended append(const Tree& tree, const std::string& event, const std::string& origin,
                const std::string& body, std::uint64_t at_most) {
    const Fd lock = tree.lock(Tree::Lock::log, Tree::Share::exclusive);
    const bool first = event == "instance_created";
    const bool exists = log_exists(tree);
    if (first == exists) {
        throw Failure{
            first ? Code::exists : Code::audit,
            first ? "the vault's audit log has been begun" : "the vault has no audit log yet",
            first ? "" : "Begin it with instance_created, or adopt the plain store's."};
    }
    if (first) {
        return begin_log(tree, create_unnamed(tree.logs()), event, origin, body);
    }
    const Fd fd = open_log(tree);
    if (!has_flag(fd, Flag::append_only)) {
        flag_log(fd);  // a crash came between its name and its flag
    }
    Tail tail = find_tail(fd);
    if (tail.last.seq == 0) {
        damaged("there is no sound record near its end");  // it got its name with one
    }
    Record record = next_record(tail, event, origin, body);
    static_cast<void>(
        format_line(record));  // what is refused leaves no trace, a mended end neither
    mend(fd, tail);
    record = next_record(tail, event, origin, body);
    write_record(fd, tail, record, at_most);
    keep_reserve(fd);
    return {record, tail.size};
}

Appended begin_log(const Tree& tree, const Fd& unnamed, const std::string& event,
                   const std::string& origin, const std::string& body) {
    Tail tail = find_tail(unnamed);
    // A record takes more than one byte, so that no number is larger than the log: one that is
    // could leave none for those to come.
    if (!tail.torn.empty() || tail.needs_newline || (tail.last.seq == 0 && tail.size > 0) ||
        tail.last.seq > tail.size) {
        throw Failure{Code::audit, "the log does not end with a sound record",
                      "`immbackup audit verify` says more; the plain store mends its end."};
    }
    Record record = next_record(tail, event, origin, body);
    write_record(unnamed, tail, record, UINT64_MAX);
    if (::fchmod(unnamed.get(), kLogMode) != 0) {
        throw system_failure(errno, "set the mode of the log");
    }
    sync(unnamed);
    link_file(unnamed, tree.logs(), kLogName);
    flag_log(unnamed);
    sync(unnamed);
    sync(tree.logs());
    return {record, tail.size};
}

}  // namespace immbackup::vault
