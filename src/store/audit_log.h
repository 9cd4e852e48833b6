// backup_audit.jsonl, whoever keeps it (audit_writer.h), and the catalog that follows from it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/audit_record.h"
#include "core/catalog.h"
#include "store/layout.h"

namespace immbackup {

class AuditWriter;

class AuditLog {
  public:
    // The plain store's log. Opens, creates where missing (mode 0600, append-only flag where
    // possible; the first record is `instance_created`), brings the catalog up to date from
    // checkpoint and tail. Records a torn last line as `log_torn`. Error(audit) where the log
    // cannot be read or written.
    AuditLog(Layout layout, std::string origin);
    // Of any store: Store::open_audit().
    AuditLog(Layout layout, std::unique_ptr<AuditWriter> writer);
    AuditLog(AuditLog&&) noexcept;
    ~AuditLog();

    // Appends one record (from any thread) under the file lock with one write and fdatasync, after
    // folding what others appended meanwhile. Returns it with seq and hash. Error(audit) (or
    // no_space) where it is not durable. `body` is a JSON object on one line; other than ASCII is
    // escaped by the caller (body_text).
    AuditRecord append(const char* event, const std::string& body);
    // The state after the last append or refresh. Where other threads append, hold_still() first.
    const Catalog& catalog() const { return catalog_; }
    // While it lives no other thread appends. Who holds it must not append either.
    [[nodiscard]] std::unique_lock<std::mutex> hold_still() const {
        return std::unique_lock(*mutex_);
    }
    void refresh();
    // Writes catalog.idx (temporary file, rename); failure to do so is not an error.
    void save_checkpoint();
    bool append_only() const;
    const Layout& layout() const { return layout_; }

  private:
    Layout layout_;
    std::unique_ptr<AuditWriter> writer_;
    Catalog catalog_;
    // flock() does not keep threads that share the descriptor apart.
    std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
};

// Reads the catalog without ever writing or locking: checkpoint where it fits the log, then the
// tail. Bounded and safe on any content: what server processes use. An absent log is an empty
// catalog. `interrupt` is called now and then, and may throw.
Catalog read_catalog(const Layout& layout, const std::function<void()>& interrupt = {});

// Calls `each` for the records with seq > after_seq, in order, until it returns false; lines after
// record after_seq that cannot be read come as nullptr with their problem. Bounded memory.
using RecordSink = std::function<bool(const AuditRecord* record, std::uint64_t offset,
                                      const std::string& problem)>;
void read_audit(const Layout& layout, std::uint64_t after_seq, const RecordSink& each,
                const std::function<void()>& interrupt = {});

ChainReport verify_audit_log(const Layout& layout, const std::function<void()>& interrupt = {});

}  // namespace immbackup
