// Where records of the audit log go: into a file of ours, or through the vault's helper. The log
// itself can be read either way; AuditLog (audit_log.h) is what everybody uses.
#pragma once

#include <memory>
#include <string>

#include "core/audit_record.h"
#include "core/catalog.h"
#include "store/layout.h"

namespace immbackup {

// How long a writer waits for another who holds the log.
inline constexpr int kAuditLockWaitMs = 10'000;

class AuditWriter {
  public:
    virtual ~AuditWriter() = default;
    // Brings `catalog` up to the end of the log; makes the log, and its first record, where there
    // is none.
    virtual void begin(Catalog& catalog) = 0;
    // Brings `catalog` up to the end of the log.
    virtual void catch_up(Catalog& catalog) = 0;
    // Appends one record after what others appended meanwhile, folds it, and returns it. It is
    // durable then.
    virtual AuditRecord append(Catalog& catalog, const char* event, const std::string& body) = 0;
    virtual bool append_only() const = 0;
};

std::unique_ptr<AuditWriter> plain_audit_writer(const Layout& layout, std::string origin);

// The body of instance_created: a new identity.
std::string instance_body();

}  // namespace immbackup
