// Reading the audit log without writing or locking: what server processes link. Every loop is
// bounded by the file's size when it was opened, every line by kMaxAuditLine, and content is never
// trusted.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "core/error.h"
#include "io/file.h"
#include "store/audit_log.h"
#include "store/line_reader.h"

namespace immbackup {

LineReader::LineReader(const Fd& fd, fs::path path, std::uint64_t offset, std::uint64_t end)
    : fd_(fd), path_(std::move(path)), offset_(offset), end_(end), buffer_(kBlock) {}

bool LineReader::fill() {
    const std::uint64_t want = std::min<std::uint64_t>(buffer_.size(), end_ - offset_);
    if (want == 0) {
        return false;
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

bool LineReader::next(Line& line) {
    line.text.clear();
    line.bytes = 0;
    line.terminated = false;
    while (at_ < filled_ || fill()) {
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

constexpr int kLinesBetweenInterrupts = 256;

// Does the record that ends at `offset` carry the checkpoint's head hash?
bool fits_log(const Catalog& catalog, const Fd& fd, const fs::path& path, std::uint64_t size) {
    if (catalog.offset > size) {
        return false;
    }
    if (catalog.offset == 0) {
        return catalog.head_seq == 0;
    }
    // …"hash":"<64>"}\n
    constexpr std::size_t kTail = 64 + 3;
    if (catalog.offset < kTail) {
        return false;
    }
    std::string tail(kTail, '\0');
    const ssize_t count =
        ::pread(fd.get(), tail.data(), tail.size(), static_cast<off_t>(catalog.offset - kTail));
    if (count < 0) {
        throw system_error(errno, "read file", path.string());
    }
    return static_cast<std::size_t>(count) == kTail && tail == catalog.head_hash + "\"}\n";
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

void fold_from(Catalog& catalog, const Fd& log, const Layout& layout,
               const std::function<void()>& interrupt) {
    const std::uint64_t size = file_size(log, layout.audit_log());
    if (catalog.offset > size) {
        catalog = Catalog{};  // the log became shorter than what was folded: begin anew
    }
    LineReader reader(log, layout.audit_log(), catalog.offset, size);
    LineReader::Line line;
    int lines = 0;
    while (reader.next(line) && line.terminated) {
        catalog.apply_line(line.text, line.bytes);
        if (interrupt && ++lines % kLinesBetweenInterrupts == 0) {
            interrupt();
        }
    }
}

Catalog read_catalog(const Layout& layout, const std::function<void()>& interrupt) {
    const Fd log = open_log(layout);
    if (!log) {
        return {};
    }
    Catalog catalog = load_checkpoint(layout, log);
    fold_from(catalog, log, layout, interrupt);
    return catalog;
}

void read_audit(const Layout& layout, std::uint64_t after_seq, const RecordSink& each) {
    const Fd log = open_log(layout);
    if (!log) {
        return;
    }
    LineReader reader(log, layout.audit_log(), 0, file_size(log, layout.audit_log()));
    LineReader::Line line;
    std::uint64_t offset = 0;
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

ChainReport verify_audit_log(const Layout& layout, const std::function<void()>& interrupt) {
    ChainVerifier verifier;
    const Fd log = open_log(layout);
    if (!log) {
        return verifier.finish();
    }
    LineReader reader(log, layout.audit_log(), 0, file_size(log, layout.audit_log()));
    LineReader::Line line;
    int lines = 0;
    while (reader.next(line)) {
        verifier.feed(line.text, line.terminated);
        if (interrupt && ++lines % kLinesBetweenInterrupts == 0) {
            interrupt();
        }
    }
    return verifier.finish();
}

}  // namespace immbackup
