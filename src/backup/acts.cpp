#include "backup/acts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "backup/bodies.h"
#include "core/events.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxReason = 2000;
// Well within what the vault takes.
constexpr std::size_t kMaxVaultActor = 250;
constexpr std::size_t kMaxVaultReason = 1000;

struct Kind {
    const char* name;
    const char* event;
    const char* subject;  // the member that names it, or null
};
constexpr std::array kKinds{
    Kind{"hold", event::kArtifactHeld, "artifact"},
    Kind{"release", event::kArtifactReleased, "artifact"},
    Kind{"accept", event::kArtifactAccepted, "artifact"},
    Kind{"retire", event::kDatabaseRetired, "database"},
    Kind{"acknowledge_settings", event::kSettingsAcknowledged, nullptr},
    Kind{"acknowledge_clock", event::kClockAcknowledged, nullptr},
};

const ArtifactEntry& existing(const Catalog& catalog, const std::string& stem) {
    const auto found = catalog.artifacts.find(stem);
    if (found == catalog.artifacts.end()) {
        throw Error(ErrorCode::not_found, fmt::format("there is no artifact \"{}\"", stem), {},
                    "View immbackup.artifacts and `immbackup list` show them.");
    }
    if (!found->second.exists()) {
        throw Error(ErrorCode::not_found, fmt::format("artifact \"{}\" was pruned", stem),
                    fmt::format("It was removed at {}.", found->second.pruned));
    }
    return found->second;
}

void check_artifact(const Catalog& catalog, const Act& act) {
    const ArtifactEntry& entry = existing(catalog, act.subject);
    if (act.kind == "hold" && entry.intended) {
        throw Error(ErrorCode::busy, fmt::format("artifact \"{}\" is being removed", act.subject),
                    "A prune has begun with it.");
    }
    if (act.kind == "hold" && !entry.hold.empty()) {
        throw Error(ErrorCode::exists,
                    fmt::format("artifact \"{}\" is under a hold already", act.subject),
                    fmt::format("{} holds it since {}: {}", entry.held_by, entry.held, entry.hold));
    }
    if (act.kind == "release" && entry.hold.empty()) {
        throw Error(ErrorCode::not_found,
                    fmt::format("artifact \"{}\" is not under a hold", act.subject));
    }
    if (act.kind == "accept" && entry.anomaly.empty() && entry.state == "good") {
        throw Error(ErrorCode::usage,
                    fmt::format("nothing is wrong with artifact \"{}\"", act.subject),
                    "It is good and no anomaly.");
    }
    if (act.kind == "accept" && entry.accepted) {
        throw Error(ErrorCode::exists,
                    fmt::format("artifact \"{}\" was accepted already", act.subject));
    }
}

void check_database(const Catalog& catalog, const std::string& database) {
    const auto of_database = [&](const auto& item) {
        return !item.second.globals && item.second.database == database && item.second.exists();
    };
    if (std::none_of(catalog.artifacts.begin(), catalog.artifacts.end(), of_database)) {
        throw Error(ErrorCode::not_found,
                    fmt::format("there is no artifact of a database \"{}\"", database));
    }
    if (catalog.retired.contains(database)) {
        throw Error(ErrorCode::exists, fmt::format("database \"{}\" is retired already", database));
    }
}

}  // namespace

namespace {

void check_reason(const Act& act) {
    if (act.reason.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw Error(ErrorCode::usage, "a reason is needed", "It goes into the audit log.");
    }
}

const Kind& kind_of(const Act& act) {
    const auto kind = std::find_if(kKinds.begin(), kKinds.end(),
                                   [&](const Kind& known) { return act.kind == known.name; });
    if (kind == kKinds.end()) {
        throw Error(ErrorCode::usage,
                    fmt::format("\"{}\" is nothing that can be recorded", act.kind));
    }
    return *kind;
}

void check_subject(const Catalog& catalog, const Kind& kind, const Act& act) {
    const std::string_view subject = kind.subject == nullptr ? "" : kind.subject;
    if (subject == "artifact") {
        check_artifact(catalog, act);
    } else if (subject == "database") {
        check_database(catalog, act.subject);
    } else if (act.kind == "acknowledge_settings" && catalog.unacknowledged.empty()) {
        throw Error(ErrorCode::not_found, "there is no change of settings to acknowledge");
    }
}

// What only an operator may say cannot be said as the OS user of the server, whom it protects from.
Error for_operators(const Error& error, const Act& act) {
    const std::string command = act.kind == "release" ? "immbackup release " + act.subject
                                                      : "immbackup acknowledge --clock";
    return {error.code(),
            fmt::format("the vault does not take this from the OS user of the server: {}",
                        error.message()),
            "A SQL superuser can act as that user; whoever may lift a hold or accept a clock must "
            "be somebody else.",
            fmt::format("As root, or as a member of the vault's operator_group, run: {} "
                        "--reason '...'",
                        command)};
}

}  // namespace

bool tell_vault(Store& store, const Act& act) {
    Keeper* keeper = store.keeper();
    if (keeper == nullptr) {
        return false;
    }
    check_reason(act);
    const std::string actor = bounded_text(act.actor, kMaxVaultActor);
    const std::string reason = bounded_text(act.reason, kMaxVaultReason);
    try {
        if (act.kind == "hold") {
            keeper->hold(act.subject, actor, reason);
        } else if (act.kind == "release") {
            keeper->release(act.subject, actor, reason);
        } else if (act.kind == "acknowledge_clock") {
            keeper->accept_clock(actor, reason);
        } else {
            return false;
        }
    } catch (const Error& error) {
        if (error.code() != ErrorCode::permission || act.kind == "hold") {
            throw;
        }
        throw for_operators(error, act);
    }
    return true;
}

void record_act(Store& store, AuditLog& audit, const Act& act) {
    const Kind& kind = kind_of(act);
    check_reason(act);
    audit.refresh();
    check_subject(audit.catalog(), kind, act);
    const bool of_vault = act.kind == "acknowledge_clock" ||
                          (store.keeper() != nullptr && store.keeper()->has(act.subject));
    if (of_vault && tell_vault(store, act)) {
        audit.refresh();
        audit.save_checkpoint();
        return;
    }
    Body body = Body::object();
    if (kind.subject != nullptr) {
        body[kind.subject] = act.subject;
    }
    body["actor"] = bounded_text(act.actor, 1000);
    body["reason"] = bounded_text(act.reason, kMaxReason);
    if (act.kind == "acknowledge_clock") {
        body["boot_id"] = boot_id();
        body["monotonic_ms"] = monotonic_ms();
    }
    audit.append(kind.event, body_text(body));
    // A prune that recorded its intention before our record goes on.
    if (act.kind == "hold" && audit.catalog().artifacts.at(act.subject).intended) {
        throw Error(ErrorCode::busy, fmt::format("artifact \"{}\" is being removed", act.subject),
                    "A prune had begun with it.");
    }
    audit.save_checkpoint();
}

}  // namespace immbackup
