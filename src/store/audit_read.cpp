// Reading the audit log without writing or locking: what server processes link. Every loop is
// bounded by the file's size when it was opened, every line by kMaxAuditLine, and content is never
// trusted.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "io/file.h"
#include "store/audit_log.h"
#include "store/line_reader.h"

namespace immbackup {

namespace {

constexpr std::uint64_t kBlocksBetweenInterrupts = 16;
constexpr int kLooksForGrowth = 5;
constexpr std::chrono::milliseconds kPauseForGrowth{2};

}  // namespace

LineReader::LineReader(const Fd& fd, fs::path path, std::uint64_t offset, std::uint64_t end,
                       Interrupt interrupt, LastLine last_line)
    : fd_(fd),
      path_(std::move(path)),
      offset_(offset),
      end_(std::max(offset, end)),
      interrupt_(std::move(interrupt)),
      patience_(last_line == LastLine::may_grow ? kLooksForGrowth : 0),
      buffer_(kBlock) {}

bool LineReader::fill() {
    const std::uint64_t want = std::min<std::uint64_t>(buffer_.size(), end_ - offset_);
    if (want == 0) {
        return false;
    }
    if (interrupt_ && ++blocks_ % kBlocksBetweenInterrupts == 0) {
        interrupt_();
    }
    ssize_t count = 0;
    do {
        count = ::pread(fd_.get(), buffer_.data(), want, static_cast<off_t>(offset_));
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        throw system_error(errno, "read file", path_.string());
    }
    if (count == 0) {
        return false;  // the file became shorter
    }
    offset_ += static_cast<std::uint64_t>(count);
    at_ = 0;
    filled_ = static_cast<std::size_t>(count);
    return true;
}

// In the middle of a line, at what was the end of the file: is there more by now?
bool LineReader::grown() {
    for (; patience_ > 0; --patience_) {
        const std::uint64_t size = file_size(fd_, path_);
        if (size > end_) {
            end_ = size;
            return fill();
        }
        std::this_thread::sleep_for(kPauseForGrowth);
    }
    return false;
}

bool LineReader::next(Line& line) {
    line.text.clear();
    line.bytes = 0;
    line.terminated = false;
    while (at_ < filled_ || fill() || (line.bytes > 0 && grown())) {
        const std::string_view rest(buffer_.data() + at_, filled_ - at_);
        const auto newline = rest.find('\n');
        const std::string_view piece = rest.substr(0, newline);
        line.bytes += piece.size();
        // Of a line that is too long only so much is kept that it is seen to be too long.
        if (line.text.size() <= kMaxAuditLine) {
            line.text.append(piece.substr(0, kMaxAuditLine + 1 - line.text.size()));
        }
        at_ += piece.size();
        if (newline != std::string_view::npos) {
            ++at_;
            ++line.bytes;
            line.terminated = true;
            return true;
        }
    }
    return line.bytes > 0;
}

Fd open_log(const Layout& layout) {
    try {
        return open_regular(layout.audit_log());
    } catch (const Error& error) {
        if (error.code() == ErrorCode::not_found) {
            return {};
        }
        throw;
    }
}

namespace {

// Is the record that ends at the checkpoint's offset its head? The checkpoint's own digest does not
// cover its first line, so the record is read whole.
bool fits_log(const Catalog& catalog, const Fd& fd, const fs::path& path, std::uint64_t size) {
    if (catalog.offset > size) {
        return false;
    }
    if (catalog.offset == 0) {
        return catalog.head_seq == 0;
    }
    const std::uint64_t from =
        catalog.offset - std::min<std::uint64_t>(catalog.offset, kMaxAuditLine);
    std::string text(catalog.offset - from, '\0');
    const ssize_t count = ::pread(fd.get(), text.data(), text.size(), static_cast<off_t>(from));
    if (count < 0) {
        throw system_error(errno, "read file", path.string());
    }
    if (static_cast<std::size_t>(count) != text.size() || text.back() != '\n') {
        return false;
    }
    text.pop_back();
    const auto newline = text.rfind('\n');  // none: the line is the file's first, or too long
    const std::string_view line = std::string_view(text).substr(newline + 1);
    std::string why;
    const auto record = parse_audit_line(line, why);
    return record && record->seq == catalog.head_seq && record->hash == catalog.head_hash;
}

}  // namespace

Catalog load_checkpoint(const Layout& layout, const Fd& log) {
    const std::uint64_t size = file_size(log, layout.audit_log());
    try {
        auto catalog = catalog_from_checkpoint(read_file(layout.checkpoint(), kMaxCheckpoint));
        if (catalog && fits_log(*catalog, log, layout.audit_log(), size)) {
            return std::move(*catalog);
        }
    } catch (const Error&) {
        return {};  // none, or none that can be read: the log itself says everything
    }
    return {};
}

void fold_log(Catalog& catalog, const Fd& log, const Layout& layout, const Interrupt& interrupt) {
    const std::uint64_t size = file_size(log, layout.audit_log());
    LineReader reader(log, layout.audit_log(), catalog.offset, size, interrupt);
    LineReader::Line line;
    while (reader.next(line) && line.terminated) {
        catalog.apply_line(line.text, line.bytes);
    }
}

Catalog read_catalog(const Layout& layout, const Interrupt& interrupt) {
    const Fd log = open_log(layout);
    if (!log) {
        return {};
    }
    Catalog catalog = load_checkpoint(layout, log);
    fold_log(catalog, log, layout, interrupt);
    return catalog;
}

namespace {

// Where the records after `after_seq` begin: the end of the last record up to it. Bisects, since
// numbers grow along a sound log; in one where they do not, records may be passed over here, and
// verify_audit_log() says that it is broken.
std::uint64_t offset_after(const Fd& log, const fs::path& path, std::uint64_t size,
                           std::uint64_t after_seq, const Interrupt& interrupt) {
    constexpr std::uint64_t kReadThrough = 4 * kMaxAuditLine;
    LineReader::Line line;
    std::string why;
    std::uint64_t low = 0;  // a line begins here
    std::uint64_t high = after_seq == 0 ? 0 : size;
    while (high - low > kReadThrough) {
        const std::uint64_t middle = low + (high - low) / 2;
        LineReader reader(log, path, middle, high, interrupt);
        std::uint64_t end = middle;
        std::optional<AuditRecord> record;
        for (bool whole = false; !record && reader.next(line); whole = true) {
            end += line.bytes;
            if (whole) {  // the first piece is most likely the rest of a line
                record = parse_audit_line(line.text, why);
            }
        }
        if (record && record->seq <= after_seq) {
            low = end;
        } else {
            high = middle;
        }
    }
    LineReader reader(log, path, low, size, interrupt);
    std::uint64_t begin = low;
    for (std::uint64_t end = low; after_seq > 0 && reader.next(line);) {
        end += line.bytes;
        const auto record = parse_audit_line(line.text, why);
        if (record && record->seq > after_seq) {
            break;
        }
        if (record) {
            begin = end;
        }
    }
    return begin;
}

}  // namespace

void read_audit(const Layout& layout, std::uint64_t after_seq, const RecordSink& each,
                const Interrupt& interrupt) {
    const fs::path path = layout.audit_log();
    const Fd log = open_log(layout);
    if (!log) {
        return;
    }
    const std::uint64_t size = file_size(log, path);
    std::uint64_t offset = offset_after(log, path, size, after_seq, interrupt);
    LineReader reader(log, path, offset, size, interrupt, LineReader::LastLine::may_grow);
    LineReader::Line line;
    while (reader.next(line)) {
        std::string why;
        const auto record = parse_audit_line(line.text, why);
        const std::uint64_t at = offset;
        offset += line.bytes;
        if (record && record->seq <= after_seq) {
            continue;
        }
        if (!each(record ? &*record : nullptr, at, why)) {
            return;
        }
    }
}

ChainReport verify_audit_log(const Layout& layout, const Interrupt& interrupt) {
    ChainVerifier verifier;
    const Fd log = open_log(layout);
    if (!log) {
        return verifier.finish();
    }
    LineReader reader(log, layout.audit_log(), 0, file_size(log, layout.audit_log()), interrupt,
                      LineReader::LastLine::may_grow);
    LineReader::Line line;
    while (reader.next(line)) {
        verifier.feed(line.text, line.terminated);
    }
    return verifier.finish();
}

}  // namespace immbackup
