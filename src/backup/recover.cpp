// After a job that died: its runs are closed, its leftovers removed or completed.

#include "backup/recover.h"
#include "backup/records.h"
#include "backup/run.h"
#include "core/events.h"

namespace immbackup {

namespace {

void record_sweep(const Store& store, AuditLog& audit, const SweepReport& report) {
    audit.append(event::kSweep, sweep_body(report));
    for (const auto& stem : report.completed) {
        Manifest manifest = store.read_manifest(stem);
        manifest.seal = seal_level_name(store.seal_of(stem));
        audit.append(event::kArtifactSealed, artifact_sealed_body(manifest, store.stamp(stem)));
    }
}

void close_runs(AuditLog& audit, const std::string& reason, std::string_view own_run) {
    std::vector<RunEntry> open;
    for (const auto& [id, run] : audit.catalog().runs) {
        if (run.open() && id != own_run) {
            open.push_back(run);
        }
    }
    const Error error(ErrorCode::failed, "the run ended without finishing",
                      reason.empty() ? "Its process is gone and left no reason." : reason,
                      "What it had not finished was removed; take a new backup.");
    for (const auto& run : open) {
        RunTotals totals;
        totals.artifacts = run.artifacts;
        totals.bytes = run.bytes;
        audit.append(event::kRunFailed, run_failed_body(run.run, totals, error, {}));
    }
}

}  // namespace

SweepReport recover_leftovers(Store& store, AuditLog& audit, const std::string& reason,
                              std::string_view own_run, ForeignFiles foreign) {
    std::vector<std::string> known;
    for (const auto& [stem, entry] : audit.catalog().artifacts) {
        if (entry.exists()) {
            known.push_back(stem);
        }
    }
    SweepReport report;
    try {
        report = store.sweep(known);
        // Before the run's end, whose figures count what is completed here.
        if (!report.removed.empty() || !report.completed.empty() ||
            (foreign == ForeignFiles::record && !report.foreign.empty())) {
            record_sweep(store, audit, report);
        }
    } catch (...) {
        close_runs(audit, reason, own_run);
        throw;
    }
    close_runs(audit, reason, own_run);
    return report;
}

void recover(Store& store, AuditLog& audit, const std::string& reason) {
    audit.refresh();
    recover_leftovers(store, audit, reason, {}, ForeignFiles::record);
    audit.save_checkpoint();
}

}  // namespace immbackup
