// Closing what a dead process left open.

#include <fmt/format.h>

#include <algorithm>

#include "backup/records.h"
#include "backup/run.h"
#include "core/events.h"

namespace immbackup {

namespace {

void close_open_runs(AuditLog& audit, const std::string& reason) {
    std::vector<RunEntry> open;
    for (const auto& [id, run] : audit.catalog().runs) {
        if (run.open()) {
            open.push_back(run);
        }
    }
    for (const auto& run : open) {
        RunTotals totals;
        totals.artifacts = run.artifacts;
        totals.bytes = run.bytes;
        const Error error(ErrorCode::failed, "the run ended without a result", reason,
                          "Look at the server log of that time, and take a new backup.");
        audit.append(event::kRunFailed, run_failed_body(run.run, totals, error, {}));
    }
}

}  // namespace

void recover(Store& store, AuditLog& audit, const std::string& reason) {
    std::vector<std::string> known;
    for (const auto& [stem, artifact] : audit.catalog().artifacts) {
        known.push_back(stem);
    }
    const SweepReport report = store.sweep(known);
    // First the artifacts, then the end of their run: an artifact belongs to a run that is still
    // open.
    for (const auto& stem : report.completed) {
        Manifest manifest = store.read_manifest(stem);
        manifest.seal = seal_level_name(store.seal_of(stem));
        audit.append(event::kArtifactSealed, artifact_sealed_body(manifest));
    }
    if (!report.empty()) {
        audit.append(event::kSweep, sweep_body(report));
    }
    close_open_runs(audit, reason);
}

}  // namespace immbackup
