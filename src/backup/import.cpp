#include "backup/import.h"

#include <fmt/format.h>

#include <map>

#include "backup/bodies.h"
#include "backup/records.h"
#include "core/events.h"
#include "core/prune_plan.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// As much as the vault takes.
constexpr std::size_t kMaxActor = 250;
constexpr std::size_t kMaxHold = 1000;

class Import {
  public:
    Import(Store& store, Keeper& vault, AuditLog& audit, const Settings& settings,
           const CancelToken& cancel, Progress& progress)
        : store_(store),
          vault_(vault),
          audit_(audit),
          settings_(settings),
          cancel_(cancel),
          progress_(progress) {}

    ImportReport execute();

  private:
    void attempt(const std::string& stem);
    void move(const std::string& stem);
    void record_unknown(const std::string& stem, const Manifest& manifest);
    void record(const std::string& stem);

    Store& store_;
    Keeper& vault_;
    AuditLog& audit_;
    const Settings& settings_;
    const CancelToken& cancel_;
    Progress& progress_;
    std::map<std::string, Time> until_;  // of those that stay
    ImportReport report_;
};

ImportReport Import::execute() {
    audit_.refresh();
    const PrunePlan plan =
        plan_prune(audit_.catalog(), prune_rules(settings_), {boot_id(), monotonic_ms(), now()});
    for (const PruneRow& row : plan.rows) {
        if (row.action != PruneAction::prune) {
            until_[row.entry->artifact] = row.kept_until;
        }
    }
    const auto stems = vault_.plain();
    ProgressState state;
    state.phase = "importing";
    state.databases_total = static_cast<std::uint32_t>(stems.size());
    for (const auto& stem : stems) {
        cancel_.check();
        progress_.update(state);
        const auto known = audit_.catalog().artifacts.find(stem);
        if (known != audit_.catalog().artifacts.end() && !until_.contains(stem)) {
            report_.left.push_back({stem, "Its time is over: a prune removes it."});
        } else {
            attempt(stem);
        }
        ++state.databases_done;
    }
    return std::move(report_);
}

// One that cannot be moved stays where it is, and does not keep the others from moving.
void Import::attempt(const std::string& stem) {
    try {
        move(stem);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::audit || error.code() == ErrorCode::no_space ||
            error.code() == ErrorCode::cancelled || error.code() == ErrorCode::config) {
            throw;
        }
        report_.left.push_back({stem, error.message(), true});
        progress_.warning(
            fmt::format("artifact {} stays in the plain store: {}", stem, error.message()));
    }
}

void Import::move(const std::string& stem) {
    const Manifest manifest = store_.read_manifest(stem);
    if (!vault_.has(stem)) {
        record_unknown(stem, manifest);
        const auto until = until_.find(stem);
        vault_.take_in(stem, manifest,
                       until == until_.end() ? manifest.retain_until : until->second, cancel_);
    } else if (const auto problem = store_.problem_of(stem, cancel_)) {
        // The vault has it since an import that was killed; what is in the plain store may go only
        // where that is whole.
        throw Error(*problem);
    }
    audit_.refresh();
    const ArtifactEntry& entry = audit_.catalog().artifacts.at(stem);
    if (!entry.hold.empty()) {
        vault_.hold(stem, bounded_text(entry.held_by, kMaxActor),
                    bounded_text(entry.hold, kMaxHold));
        audit_.refresh();
    }
    record(stem);
    static_cast<void>(vault_.drop_plain(stem));
}

// Complete, but its record was lost with the process that made it.
void Import::record_unknown(const std::string& stem, const Manifest& manifest) {
    if (!audit_.catalog().artifacts.contains(stem)) {
        Manifest found = manifest;
        found.seal = seal_level_name(store_.seal_of(stem));
        audit_.append(event::kArtifactSealed, artifact_sealed_body(found, store_.stamp(stem)));
    }
}

void Import::record(const std::string& stem) {
    const ArtifactEntry& entry = audit_.catalog().artifacts.at(stem);
    const std::string seal(seal_level_name(store_.seal_of(stem)));
    const std::uint64_t bytes = entry.size;
    audit_.append(event::kArtifactImported, body_text({{"artifact", stem},
                                                       {"run", entry.run},
                                                       {"seal", seal},
                                                       {"retain_until", entry.retain_until},
                                                       {"stamp", store_.stamp(stem)}}));
    report_.imported.push_back(
        {stem, bytes, seal, audit_.catalog().artifacts.at(stem).retain_until});
}

}  // namespace

ImportReport import_artifacts(Store& store, AuditLog& audit, const Settings& settings,
                              const CancelToken& cancel, Progress& progress) {
    if (store.keeper() == nullptr) {
        throw Error(
            ErrorCode::config,
            fmt::format("the backup directory \"{}\" is not a vault", store.layout().root.string()),
            "There is nothing to import into.", "See docs/vault.md.");
    }
    ImportReport report =
        Import(store, *store.keeper(), audit, settings, cancel, progress).execute();
    audit.save_checkpoint();
    return report;
}

}  // namespace immbackup
