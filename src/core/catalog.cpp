// How each event changes the catalog. Bodies come from a file that anybody may have changed: every
// member is looked at with a type and a default, and nothing here throws for what it finds.

#include "core/catalog.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/catalog_fold.h"
#include "core/error.h"
#include "core/events.h"
#include "core/json.h"
#include "core/names.h"
#include "core/time.h"

namespace immbackup {

namespace {

using namespace fold;

RunEntry* run_of(Catalog& catalog, const RecordJson& body) {
    const std::string id = text(body, "run");
    if (!parse_run_id(id)) {
        return nullptr;
    }
    RunEntry& run = catalog.runs[id];
    run.run = id;
    catalog.last_run = std::max(catalog.last_run, id);
    return &run;
}

void fold_worker_started(Catalog& catalog, const RecordJson& body) {
    catalog.misconfigured.clear();
    if (text(body, "state") == "misconfigured") {
        catalog.misconfigured = text(body, "problem");
        if (catalog.misconfigured.empty()) {
            catalog.misconfigured = "for unknown reasons";
        }
    }
}

void fold_missed(Catalog& catalog, const RecordJson& body) {
    raise_time(catalog.served, text(body, "due"));
    raise_time(catalog.served, text(body, "until"));
}

void fold_schedule(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    catalog.promise = {text(body, "schedule"), text(body, "timezone"), flag(body, "active"),
                       record.time};
}

void fold_run_requested(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    if (RunEntry* run = run_of(catalog, body)) {
        run->requested = record.time;
        run->state = "requested";
        run->trigger = text(body, "trigger");
        run->actor = text(body, "actor");
        run->due = text(body, "due");
        run->partial = body.contains("databases");
        raise_time(catalog.served, run->due);
    }
}

void fold_run_started(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    if (RunEntry* run = run_of(catalog, body)) {
        run->started = record.time;
        run->state = "running";
    }
}

void fold_run_end(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    RunEntry* run = run_of(catalog, body);
    if (run == nullptr) {
        return;
    }
    run->finished = record.time;
    run->state = record.event == event::kRunFinished ? "good"
                 : record.event == event::kRunFailed ? "failed"
                                                     : "cancelled";
    run->error = error_of(body);
    if (run->state == "good") {
        catalog.last_success = record.time;
        catalog.last_success_run = run->run;
        if (!run->partial) {
            catalog.last_full_run = run->run;
            catalog.last_full_seq = record.seq;
            catalog.covered = run->requested;
            catalog.failures = 0;
        }
    } else {
        catalog.failures += run->state == "failed" && !run->partial ? 1 : 0;
        catalog.last_error = run->error;
        catalog.last_error_run = run->run;
    }
}

void fold_artifact_sealed(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    const std::string stem = text(body, "artifact");
    if (!parse_stem(stem) || !is_sha256_hex(text(body, "sha256"))) {
        ++catalog.bad_lines;
        return;
    }
    const bool known = catalog.artifacts.contains(stem);
    ArtifactEntry& entry = catalog.artifacts[stem];
    entry.artifact = stem;
    entry.run = text(body, "run");
    entry.database = text(body, "database");
    entry.globals = flag(body, "globals");
    entry.tier = text(body, "tier");
    entry.taken = text(body, "taken");
    entry.retain_until = text(body, "retain_until");
    entry.size = number(body, "size");
    entry.sql_size = number(body, "sql_size");
    entry.rows = number(body, "rows");
    entry.sha256 = text(body, "sha256");
    entry.seal = text(body, "seal");
    entry.state = "good";
    entry.seq = record.seq;
    entry.stamp = text(body, "stamp");
    entry.anomaly = text(body, "anomaly");
    entry.upload = text(body, "upload");
    if (const auto attested = catalog.attested.extract(stem)) {
        entry.vault_until = attested.mapped();
    }
    if (!entry.globals) {
        catalog.retired.erase(entry.database);
    }
    RunEntry* run = run_of(catalog, body);
    if (run != nullptr && run->state.empty()) {
        run->state = "running";  // its beginning is in a line that could not be read
    }
    if (run != nullptr && !known) {
        ++run->artifacts;
        run->bytes += entry.size;
    }
}

// The artifact that a record is about; null where it is not known, or is gone.
ArtifactEntry* artifact_of(Catalog& catalog, const RecordJson& body) {
    const auto found = catalog.artifacts.find(text(body, "artifact"));
    return found == catalog.artifacts.end() || !found->second.exists() ? nullptr : &found->second;
}

void fold_artifact_verified(ArtifactEntry& entry, const AuditRecord& record,
                            const RecordJson& body) {
    const std::string result = text(body, "result");
    if (const std::string stamp = text(body, "stamp"); !stamp.empty()) {
        entry.stamp = stamp;
    }
    if (result == "good") {
        entry.state = result;
        entry.verified = record.time;
    } else if (result == "missing" || result == "corrupt") {
        entry.accepted = entry.accepted && entry.state == result;
        entry.state = result;
        entry.verified.clear();
    }
}

// It is the vault's now; everything else about it stays what it was.
void fold_imported(ArtifactEntry& entry, const RecordJson& body) {
    entry.seal = text(body, "seal");
    raise_time(entry.retain_until, text(body, "retain_until"));
    if (const std::string stamp = text(body, "stamp"); !stamp.empty()) {
        entry.stamp = stamp;
    }
}

void fold_vault(Catalog& catalog, const RecordJson& body) {
    catalog.vault = {text(body, "level"), text(body, "reason"), text(body, "clock"),
                     text(body, "clock_reason"), text(body, "version")};
}

// The vault's own date; the job's record of the artifact comes after it, but for an import. Nobody
// else can say it, and what a log says that a vault took over is not of that vault.
void fold_vault_sealed(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    if (record.origin != kVaultOrigin) {
        return;
    }
    if (record.event == event::kLogAdopted) {
        catalog.attested.clear();
        for (auto& [stem, entry] : catalog.artifacts) {
            entry.vault_until.clear();
        }
        return;
    }
    const std::string stem = text(body, "artifact");
    if (ArtifactEntry* entry = artifact_of(catalog, body)) {
        raise_time(entry->vault_until, text(body, "retain_until"));
    } else if (parse_stem(stem)) {
        catalog.attested[stem] = text(body, "retain_until");
    }
}

void fold_retention_extended(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    const auto found = body.find("artifacts");
    if (found == body.end() || !found->is_object()) {
        return;
    }
    for (const auto& [stem, until] : found->items()) {
        const auto entry = catalog.artifacts.find(stem);
        // Never shorter, whatever the line says.
        if (entry != catalog.artifacts.end() && until.is_string()) {
            raise_time(record.origin == kVaultOrigin ? entry->second.vault_until
                                                     : entry->second.retain_until,
                       until.get<std::string>());
            entry->second.refused.clear();
        }
    }
}

// What the vault attested, it alone removes, holds and releases: who says so in its stead lies.
bool is_forged(const ArtifactEntry& entry, const AuditRecord& record) {
    constexpr std::array kOnlyTheVault{event::kPruneIntended, event::kArtifactPruned,
                                       event::kArtifactHeld, event::kArtifactReleased};
    return !entry.vault_until.empty() && record.origin != kVaultOrigin &&
           std::find(kOnlyTheVault.begin(), kOnlyTheVault.end(), record.event) !=
               kOnlyTheVault.end();
}

// What is said of one artifact after it was sealed.
void fold_artifact(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    const std::string& event = record.event;
    constexpr std::array kEvents{
        event::kArtifactVerified, event::kPruneIntended, event::kPruneWithdrawn,
        event::kArtifactPruned,   event::kArtifactHeld,  event::kArtifactReleased,
        event::kArtifactAccepted, event::kPruneRefused,  event::kArtifactImported};
    if (std::find(kEvents.begin(), kEvents.end(), event) == kEvents.end()) {
        return;
    }
    ArtifactEntry* entry = artifact_of(catalog, body);
    if (entry == nullptr || is_forged(*entry, record)) {
        return;
    }
    if (event == event::kArtifactVerified) {
        fold_artifact_verified(*entry, record, body);
    } else if (event == event::kPruneIntended) {
        entry->intended = true;
    } else if (event == event::kPruneWithdrawn) {
        entry->intended = false;
        if (const std::string stamp = text(body, "stamp"); !stamp.empty()) {
            entry->stamp = stamp;
        }
    } else if (event == event::kArtifactPruned) {
        entry->state = "pruned";
        entry->intended = false;
        entry->pruned = record.time;
        entry->hold.clear();
        entry->refused.clear();
    } else if (event == event::kArtifactHeld) {
        entry->hold = text(body, "reason");
        entry->held = record.time;
        entry->held_by = text(body, "actor");
        if (entry->hold.empty()) {
            entry->hold = "no reason was given";
        }
    } else if (event == event::kArtifactReleased) {
        entry->hold.clear();
        entry->held.clear();
        entry->held_by.clear();
        entry->refused.clear();
    } else if (event == event::kPruneRefused) {
        entry->refused = text(body, "reason");
    } else if (event == event::kArtifactImported) {
        fold_imported(*entry, body);
    } else {
        entry->accepted = true;
    }
}

void fold_clock(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    const auto time = parse_time(record.time);
    if (!time) {
        return;
    }
    const bool sampled = body.contains("monotonic_ms");
    const ClockSample sample{text(body, "boot_id"), number(body, "monotonic_ms"), *time};
    const bool acknowledged = record.event == event::kClockAcknowledged;
    if (sampled && (acknowledged || record.event == event::kClockConfirmed)) {
        catalog.clock.confirm(sample);
        if (acknowledged) {
            catalog.clock_acknowledged = record.time;
        }
        return;
    }
    if (sampled) {
        catalog.clock.observe(sample, record.seq);
    }
    catalog.clock.record(*time);
}

// As last recorded; 0: it was not.
std::uint64_t lock_days_setting(const Catalog& catalog) {
    const auto found = catalog.settings.find("s3_object_lock_days");
    std::uint64_t days = 0;
    if (found != catalog.settings.end()) {
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), days);
    }
    return days;
}

void fold_settings(Catalog& catalog, const RecordJson& body) {
    const auto found = body.find("settings");
    if (found == body.end() || !found->is_object()) {
        return;
    }
    const bool uploaded = !catalog.settings["s3_bucket"].empty();
    catalog.settings.clear();
    for (const auto& [name, value] : found->items()) {
        if (value.is_string()) {
            catalog.settings[name] = value.get<std::string>();
        }
    }
    // Longer locks than were used so far count once they are acknowledged.
    const std::uint64_t days = lock_days_setting(catalog);
    if (days != 0) {
        catalog.lock_days =
            uploaded && catalog.lock_days != 0 ? std::min(catalog.lock_days, days) : days;
    }
}

// Parses JSON of bounded depth; discarded where it is not that. What is nested too deeply ends the
// parse at once, before it costs memory.
RecordJson parse_body(std::string_view content) {
    constexpr int kMaxDepth = 16;
    struct TooDeep {};
    try {
        return RecordJson::parse(
            content,
            [](int depth, RecordJson::parse_event_t, RecordJson&) {
                if (depth > kMaxDepth) {
                    throw TooDeep{};
                }
                return true;
            },
            false);
    } catch (const TooDeep&) {
        return RecordJson::value_t::discarded;
    }
}

}  // namespace

void Catalog::apply(const AuditRecord& record) {
    head_seq = record.seq;
    head_hash = record.hash;
    const RecordJson body = parse_body(record.body);
    if (!body.is_object()) {
        ++bad_lines;
        return;
    }
    fold_clock(*this, record, body);
    const std::string& event = record.event;
    if (event == event::kInstanceCreated) {
        instance = text(body, "instance");
    } else if (event == event::kWorkerStarted) {
        fold_worker_started(*this, body);
    } else if (event == event::kScheduleChanged) {
        fold_schedule(*this, record, body);
    } else if (event == event::kRunMissed) {
        fold_missed(*this, body);
    } else if (event == event::kRunRequested) {
        fold_run_requested(*this, record, body);
    } else if (event == event::kRunStarted) {
        fold_run_started(*this, record, body);
    } else if (event == event::kRunFinished || event == event::kRunFailed ||
               event == event::kRunCancelled) {
        fold_run_end(*this, record, body);
    } else if (event == event::kArtifactSealed) {
        fold_artifact_sealed(*this, record, body);
    } else if (event == event::kSettingsChanged) {
        fold_settings(*this, body);
    } else if (event == event::kRetentionExtended) {
        fold_retention_extended(*this, record, body);
    } else if (event == event::kRetentionChanged) {
        unacknowledged += (unacknowledged.empty() ? "" : "; ") + text(body, "effect");
        unacknowledged_since = unacknowledged_since.empty() ? record.time : unacknowledged_since;
    } else if (event == event::kSettingsAcknowledged) {
        unacknowledged.clear();
        unacknowledged_since.clear();
        lock_days = lock_days_setting(*this);
    } else if (event == event::kVaultSealed || event == event::kLogAdopted) {
        fold_vault_sealed(*this, record, body);
    } else if (event == event::kVaultChecked) {
        fold_vault(*this, body);
    } else if (event == event::kAnchorStored) {
        fold::anchor(*this, record, body);
    } else if (event == event::kLocksTried) {
        fold::locks_tried(*this, record, body);
    } else if (event == event::kUploadBegun || event == event::kUploadAborted ||
               event == event::kObjectUploaded || event == event::kArtifactUploaded ||
               event == event::kUploadFailed || event == event::kLockExtended ||
               event == event::kLockProven || event == event::kLegalHoldChanged ||
               event == event::kObjectsDeleted) {
        fold::upload(*this, record, body);
    } else if (event == event::kDatabaseRetired) {
        retired[text(body, "database")] = {record.time, text(body, "reason")};
    } else {
        fold_artifact(*this, record, body);
    }
}

void Catalog::apply_line(std::string_view line, std::uint64_t bytes) {
    offset += bytes;
    std::string why;
    if (const auto record = parse_audit_line(line, why)) {
        apply(*record);
    } else {
        ++bad_lines;
    }
}

std::string Subject::title() const {
    return globals ? std::string("the globals") : "database \"" + database + "\"";
}

}  // namespace immbackup
