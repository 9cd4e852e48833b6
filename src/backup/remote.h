// The bucket that the settings name, for one backup directory: its client, and the marker object
// that says whose prefix it is.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "core/settings.h"
#include "io/cancel.h"
#include "io/lock.h"
#include "s3/client.h"
#include "s3/preflight.h"
#include "store/audit_log.h"

namespace immbackup {

// Nothing of a setting that core/settings.h accepts is refused here but for combinations:
// Error(config).
s3::S3Options s3_options(const S3Settings& settings);

// The right to upload, of one process at a time. Waits until `cancel` is tripped or so much time
// has passed: Error(busy).
DirectoryLock acquire_upload_lock(const Layout& layout, const char* what, int seconds,
                                  const CancelToken& cancel);

// Days of lock that count: a longer setting only once it is acknowledged.
int lock_days(const Catalog& catalog, const S3Settings& settings);

class Remote {
  public:
    // Null where no bucket is set. `cancel` outlives it.
    static std::unique_ptr<Remote> open(const Settings& settings, const AuditLog& audit,
                                        const CancelToken& cancel);

    s3::Client& client() { return client_; }
    const S3Settings& settings() const { return settings_; }

    // Before anything is uploaded: a quick preflight, unless one was good within the hour, and the
    // marker. Error(config) where the
    // bucket has no Object Lock or the prefix belongs to another instance; what the client
    // throws. Where pruning waits after a restart, a store whose clock agrees ends that.
    void prepare(AuditLog& audit);
    int lock_days(const Catalog& catalog) const { return immbackup::lock_days(catalog, settings_); }
    // How long the store may take to abort an upload. A shutdown waits a moment for all of them
    // together, and nobody waits a second time for a store that does not answer: 0.
    std::chrono::milliseconds abort_time() const;
    // What prepare() found that somebody must be told of, once; or empty.
    std::string take_finding() { return std::exchange(finding_, {}); }
    void abort_failed() { abort_failed_.store(true); }

  private:
    Remote(const Settings& settings, bool clock_acknowledged, const CancelToken& cancel);
    void confirm_clock(AuditLog& audit);
    void check_marker(AuditLog& audit);
    bool is_marked(const std::string& instance);
    void mark(AuditLog& audit, const std::string& instance, int days);

    S3Settings settings_;
    s3::Client client_;
    std::string finding_;
    std::atomic<bool> abort_failed_{false};
};

}  // namespace immbackup
