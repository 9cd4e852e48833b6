#include "backup/prune.h"

#include <fmt/format.h>

#include <functional>

#include "backup/bodies.h"
#include "core/events.h"
#include "core/prune_plan.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr std::size_t kExtendedPerRecord = 500;

class Prune {
  public:
    Prune(Store& store, AuditLog& audit, const Settings& settings, const CancelToken& cancel,
          Progress& progress)
        : store_(store), audit_(audit), settings_(settings), cancel_(cancel), progress_(progress) {}

    PruneReport execute();

  private:
    void finish_begun();
    void extend(const PrunePlan& plan);
    // One that cannot be dealt with is told, and does not keep the others from going.
    void attempt(const std::string& stem, const std::function<void()>& act);
    bool in_vault(const std::string& stem) const {
        return store_.keeper() != nullptr && store_.keeper()->has(stem);
    }
    void lengthen_seals(const PrunePlan& plan);
    Time needed_until(const PruneRow& row) const;
    void remove(const ArtifactEntry& entry, const std::string& reason);
    void purge(const std::string& stem, const std::string& reason);
    void gone(const std::string& stem, const std::string& reason, const std::string& told);
    void refused(const std::string& stem, const std::string& reason);
    void removed(const std::string& stem, const std::string& reason);
    void withdraw(const std::string& stem, const std::string& reason);
    void tell_blocked(const PrunePlan& plan);

    Store& store_;
    AuditLog& audit_;
    const Settings& settings_;
    const CancelToken& cancel_;
    Progress& progress_;
    PruneReport report_;
};

PruneReport Prune::execute() {
    audit_.refresh();
    finish_begun();
    const PrunePlan plan =
        plan_prune(audit_.catalog(), prune_rules(settings_), {boot_id(), monotonic_ms(), now()});
    report_.blocked = plan.blocked;
    extend(plan);
    if (store_.keeper() != nullptr) {
        lengthen_seals(plan);
    }
    for (const PruneRow& row : plan.rows) {
        cancel_.check();
        if (row.entry->intended && !store_.has_manifest(row.entry->artifact)) {
            continue;  // finish_begun() could not
        }
        if (row.action == PruneAction::prune) {
            attempt(row.entry->artifact, [&] { remove(*row.entry, row.reason); });
        } else if (row.entry->intended) {
            attempt(row.entry->artifact, [&] { withdraw(row.entry->artifact, row.reason); });
        }
    }
    tell_blocked(plan);
    return std::move(report_);
}

// What has lost its manifest is no backup any more: there is no way back.
void Prune::finish_begun() {
    std::vector<std::string> begun;
    for (const auto& [stem, entry] : audit_.catalog().artifacts) {
        if (entry.exists() && entry.intended && !store_.has_manifest(stem)) {
            begun.push_back(stem);
        }
    }
    for (const auto& stem : begun) {
        attempt(stem, [&] {
            const std::string reason = "Its removal had been begun.";
            in_vault(stem) ? purge(stem, reason) : removed(stem, reason);
        });
    }
}

void Prune::attempt(const std::string& stem, const std::function<void()>& act) {
    try {
        act();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::audit || error.code() == ErrorCode::no_space ||
            error.code() == ErrorCode::cancelled) {
            throw;
        }
        report_.failed.push_back(stem);
        progress_.alarm(event::kAlarmPruneFailed,
                        fmt::format("artifact {} could not be removed: {}", stem, error.message()));
    }
}

void Prune::extend(const PrunePlan& plan) {
    Body artifacts = Body::object();
    const auto write = [&] {
        if (!artifacts.empty()) {
            report_.extended += artifacts.size();
            audit_.append(event::kRetentionExtended, body_text({{"artifacts", artifacts}}));
            artifacts = Body::object();
        }
    };
    for (const PruneRow& row : plan.rows) {
        if (row.action == PruneAction::extend) {
            artifacts[row.entry->artifact] = format_time(row.kept_until);
            if (artifacts.size() == kExtendedPerRecord) {
                write();
            }
        }
    }
    write();
}

// The vault's own dates follow what is kept longer than it knows: by a longer setting, or because
// it waits for its upload. What it does not take now, it is asked for again.
void Prune::lengthen_seals(const PrunePlan& plan) {
    for (const PruneRow& row : plan.rows) {
        const auto sealed = parse_time(row.entry->vault_until);
        const Time wanted = needed_until(row);
        if (!sealed || *sealed >= wanted || !in_vault(row.entry->artifact)) {
            continue;
        }
        try {
            store_.keeper()->extend(row.entry->artifact, wanted);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::audit || error.code() == ErrorCode::no_space) {
                throw;
            }
            progress_.warning(fmt::format(
                "artifact {} is kept until {}, but the vault did not take that date: {}",
                row.entry->artifact, format_time(wanted), error.message()));
        }
    }
}

Time Prune::needed_until(const PruneRow& row) const {
    // Not before it is due: most uploads are done long before.
    const bool waits = row.entry->upload == "pending" && row.action == PruneAction::keep &&
                       row.kept_until < now() + std::chrono::days(1);
    return row.kept_until + std::chrono::days(waits ? settings_.pending_max_days : 0);
}

void Prune::remove(const ArtifactEntry& entry, const std::string& reason) {
    const std::string stem = entry.artifact;
    if (in_vault(stem)) {
        purge(stem, reason);
        return;
    }
    if (!entry.intended) {
        audit_.append(event::kPruneIntended, body_text({{"artifact", stem}, {"reason", reason}}));
    }
    // The order of the records decides: a hold that came first holds.
    if (!entry.hold.empty()) {
        withdraw(stem, "It is under a hold.");
        return;
    }
    removed(stem, reason);
}

// The vault decides, and records what it did.
void Prune::purge(const std::string& stem, const std::string& reason) {
    try {
        const std::uint64_t bytes = store_.remove(stem, reason);
        report_.pruned.push_back({stem, bytes, reason});
        audit_.refresh();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::permission) {
            refused(stem, error.message());
        } else if (error.code() == ErrorCode::not_found && !store_.has_manifest(stem)) {
            gone(stem, reason, error.message());
        } else {
            throw;
        }
    }
}

// Nothing of it is there. What the vault attested, the vault alone may call removed.
void Prune::gone(const std::string& stem, const std::string& reason, const std::string& told) {
    audit_.refresh();
    const ArtifactEntry& entry = audit_.catalog().artifacts.at(stem);
    if (entry.exists() && !entry.vault_until.empty()) {
        refused(stem, told);
        return;
    }
    if (entry.exists()) {
        audit_.append(event::kArtifactPruned,
                      body_text({{"artifact", stem}, {"bytes", 0}, {"reason", reason}}));
    }
    report_.pruned.push_back({stem, 0, reason});
}

// Recorded once for a reason.
void Prune::refused(const std::string& stem, const std::string& reason) {
    report_.refused.push_back({stem, reason});
    const Body body{{"artifact", stem}, {"reason", bounded_text(reason, 2000)}};
    if (audit_.catalog().artifacts.at(stem).refused != body["reason"].get<std::string>()) {
        audit_.append(event::kPruneRefused, body_text(body));
    }
}

void Prune::removed(const std::string& stem, const std::string& reason) {
    const std::uint64_t bytes = store_.remove(stem, reason);
    audit_.append(event::kArtifactPruned,
                  body_text({{"artifact", stem}, {"bytes", bytes}, {"reason", reason}}));
    report_.pruned.push_back({stem, bytes, reason});
}

// It is whole; its seal may have been lifted already.
void Prune::withdraw(const std::string& stem, const std::string& reason) {
    const ArtifactEntry& entry = audit_.catalog().artifacts.at(stem);
    store_.reseal(stem, seal_level_from_name(entry.seal).value_or(SealLevel::readonly));
    audit_.append(
        event::kPruneWithdrawn,
        body_text({{"artifact", stem}, {"reason", reason}, {"stamp", store_.stamp(stem)}}));
}

void Prune::tell_blocked(const PrunePlan& plan) {
    if (plan.blocked_bytes > 0) {
        const std::string why = plan.blocked.empty()
                                    ? "Databases have no new good artifact since the machine was "
                                      "restarted."
                                    : plan.blocked;
        progress_.alarm(event::kAlarmPruneBlocked,
                        fmt::format("{} bytes of expired backups are not removed. {} {}",
                                    plan.blocked_bytes, why, plan.hint));
    }
}

}  // namespace

PruneReport prune(Store& store, AuditLog& audit, const Settings& settings,
                  const CancelToken& cancel, Progress& progress) {
    PruneReport report = Prune(store, audit, settings, cancel, progress).execute();
    audit.save_checkpoint();
    return report;
}

void prune_after(Store& store, AuditLog& audit, const Settings& settings, const CancelToken& cancel,
                 Progress& progress) {
    if (cancel.cancelled()) {
        return;
    }
    try {
        prune(store, audit, settings, cancel, progress);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::cancelled) {
            progress.alarm(event::kAlarmPruneFailed,
                           "expired backups could not be removed: " + error.message());
        }
    }
}

}  // namespace immbackup
