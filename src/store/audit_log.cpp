// The audit log as jobs and the command line use it: one writer, one catalog, any thread.

#include "store/audit_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "core/error.h"
#include "io/file.h"
#include "io/lock.h"
#include "store/audit_writer.h"

namespace immbackup {

namespace {

constexpr unsigned kCheckpointMode = 0600;

// Runs `act`; what the file layer throws becomes an error of the audit log (a full disk stays one).
template <typename Act>
auto as_audit_error(const fs::path& path, const Act& act) {
    try {
        return act();
    } catch (const Error& error) {
        // Nor is a vault's helper that is missing, or of another version, a matter of the log.
        if (error.code() == ErrorCode::audit || error.code() == ErrorCode::internal ||
            error.code() == ErrorCode::config || error.code() == ErrorCode::version) {
            throw;
        }
        const bool full = error.code() == ErrorCode::no_space;
        throw Error(
            full ? ErrorCode::no_space : ErrorCode::audit,
            fmt::format("the audit log \"{}\" cannot be used: {}", path.string(), error.message()),
            "No backup is taken without a record of it.",
            error.hint().empty() ? "Make the log writable for the OS user that runs PostgreSQL, "
                                   "and see that there is space."
                                 : error.hint());
    }
}

}  // namespace

AuditLog::AuditLog(Layout layout, std::string origin)
    : AuditLog(layout, plain_audit_writer(layout, std::move(origin))) {}

AuditLog::AuditLog(Layout layout, std::unique_ptr<AuditWriter> writer)
    : layout_(std::move(layout)), writer_(std::move(writer)) {
    as_audit_error(layout_.audit_log(), [&] { writer_->begin(catalog_); });
}

AuditLog::AuditLog(AuditLog&&) noexcept = default;
AuditLog::~AuditLog() = default;

void AuditLog::refresh() {
    as_audit_error(layout_.audit_log(), [&] {
        const std::lock_guard guard(*mutex_);
        writer_->catch_up(catalog_);
    });
}

AuditRecord AuditLog::append(const char* event, const std::string& body) {
    return as_audit_error(layout_.audit_log(), [&] {
        const std::lock_guard guard(*mutex_);
        return writer_->append(catalog_, event, body);
    });
}

bool AuditLog::append_only() const {
    return writer_->append_only();
}

void AuditLog::save_checkpoint() {
    // One name for all writers, under the folder's lock, so that a dead one's file is overwritten
    // instead of staying for ever. Not synced: a torn checkpoint does not match its own digest.
    const fs::path folder = layout_.checkpoint().parent_path();
    const fs::path temporary = folder / "catalog.idx.new";
    try {
        const std::lock_guard guard(*mutex_);
        const Fd locked = open_file(folder, O_RDONLY | O_DIRECTORY);
        const FileLock lock(locked, folder, kAuditLockWaitMs);
        remove_file(temporary);
        const Fd fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, kCheckpointMode);
        give_to_owner_of(folder, fd, temporary);
        write_all(fd, catalog_to_checkpoint(catalog_), temporary);
        if (::rename(temporary.c_str(), layout_.checkpoint().c_str()) != 0) {
            ::unlink(temporary.c_str());
        }
    } catch (const Error&) {
        ::unlink(temporary.c_str());
    }
}

}  // namespace immbackup
