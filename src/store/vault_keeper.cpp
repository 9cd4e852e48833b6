// What is asked of the vault's helper, and needs no content.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "io/clock.h"
#include "store/vault_store.h"

namespace immbackup {

namespace {

// Artifacts without an attestation are read back first.
constexpr int kRecoverMs = 3'600'000;
// A helper whose client was killed may still be at work on its last publication.
constexpr std::uint64_t kBusyMs = 60'000;
constexpr std::chrono::milliseconds kBusyPause{250};
constexpr std::chrono::days kWorthwhile{30};

std::uint64_t number_or_zero(const VaultAnswer& answer, std::string_view name) {
    return answer.has(name) ? answer.number(name) : 0;
}

std::string text_or_none(const VaultAnswer& answer, std::string_view name) {
    return answer.has(name) ? answer.text(name) : std::string();
}

SealLevel level_of(const VaultAnswer& answer) {
    const auto level = seal_level_from_name(text_or_none(answer, "level"));
    return level == SealLevel::vault || level == SealLevel::vault_dac ? *level : SealLevel::none;
}

VaultItem item_of(const VaultAnswer& fields) {
    VaultItem item;
    item.stem = fields.text("stem");
    item.state = fields.text("state");
    item.level = level_of(fields);
    item.held = text_or_none(fields, "held") == "1";
    item.retain_until = text_or_none(fields, "retain_until");
    item.sealed = text_or_none(fields, "sealed");
    return item;
}

}  // namespace

VaultStatus VaultStore::status() {
    const VaultAnswer answer = link_.ask("status");
    VaultStatus status;
    status.level = level_of(answer);
    status.reason = text_or_none(answer, "reason");
    status.version = text_or_none(answer, "version");
    status.clock = text_or_none(answer, "clock");
    status.clock_reason = text_or_none(answer, "clock_reason");
    status.caller = text_or_none(answer, "caller");
    status.log = text_or_none(answer, "log") == "1";
    status.min_retention = std::chrono::seconds(number_or_zero(answer, "min_retention"));
    status.max_retention = std::chrono::seconds(number_or_zero(answer, "max_retention"));
    status.max_extension = std::chrono::seconds(number_or_zero(answer, "max_extension"));
    status.keep_newest = number_or_zero(answer, "keep_newest");
    status.quota_bytes = number_or_zero(answer, "quota_bytes");
    status.quota_files = number_or_zero(answer, "quota_files");
    status.used_bytes = number_or_zero(answer, "used_bytes");
    status.used_files = number_or_zero(answer, "used_files");
    status.quota_log = number_or_zero(answer, "quota_log");
    status.used_log = number_or_zero(answer, "used_log");
    return status;
}

SealLevel VaultStore::seal_level() {
    return status().level;
}

std::string VaultStore::seal_reason() {
    const VaultStatus now = status();
    if (now.reason.empty()) {
        return now.level == SealLevel::vault ? "" : "The vault's helper gives no reason.";
    }
    return fmt::format("The vault's helper says: {}.", now.reason);
}

VaultListing VaultStore::list_items(const std::string& request) {
    VaultListing listing;
    link_.ask(request, [&](std::string_view kind, const VaultAnswer& fields) {
        if (kind == "artifact") {
            listing.artifacts.push_back(item_of(fields));
        } else if (kind == "foreign") {
            listing.foreign.push_back(fields.text("file"));
        }
    });
    return listing;
}

VaultListing VaultStore::listing() {
    return list_items("list");
}

Time VaultStore::extend(const std::string& stem, Time until) {
    const auto ask = [&](Time date) {
        const VaultAnswer answer = link_.ask("extend" + vault_field("stem", stem) +
                                             vault_field("retain_until", format_time(date)));
        return parse_time(answer.text("retain_until")).value_or(Time{});
    };
    try {
        return ask(until);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::config) {
            throw;
        }
    }
    // Beyond the bounds: as far as they go. A minute less, since both clocks are read.
    const VaultStatus bounds = status();
    Time latest = std::min(until, now() + bounds.max_extension - std::chrono::minutes(1));
    for (const auto& item : list_items("list" + vault_field("stem", stem)).artifacts) {
        if (const auto sealed = parse_time(item.sealed)) {
            latest = std::min(latest, *sealed + bounds.max_retention);
        }
        // Each is a record for ever, and their number is limited: none for a few days.
        const auto now_until = parse_time(item.retain_until);
        if (now_until && latest - *now_until < kWorthwhile) {
            return *now_until;
        }
    }
    return ask(latest);
}

void VaultStore::hold(const std::string& stem, const std::string& actor,
                      const std::string& reason) {
    link_.ask("hold" + vault_field("stem", stem) + vault_text_field("actor", actor) +
              vault_text_field("reason", reason));
}

void VaultStore::release(const std::string& stem, const std::string& actor,
                         const std::string& reason) {
    link_.ask("release" + vault_field("stem", stem) + vault_text_field("actor", actor) +
              vault_text_field("reason", reason));
}

void VaultStore::accept_clock(const std::string& actor, const std::string& reason) {
    link_.ask("accept-clock" + vault_text_field("actor", actor) +
              vault_text_field("reason", reason));
}

std::uint64_t VaultStore::remove(const std::string& stem, const std::string& reason) {
    if (is_plain(stem)) {
        return plain_.remove(stem, reason);
    }
    const VaultAnswer answer =
        link_.ask("purge" + vault_field("stem", stem) + vault_text_field("reason", reason));
    return answer.number("bytes");
}

void VaultStore::recover() {
    const std::uint64_t deadline = monotonic_ms() + kBusyMs;
    while (true) {
        try {
            link_.ask("recover", kRecoverMs);
            return;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::busy || monotonic_ms() > deadline) {
                throw;
            }
        }
        std::this_thread::sleep_for(kBusyPause);
    }
}

void VaultStore::reseal(const std::string& stem, SealLevel level) {
    if (is_plain(stem)) {
        plain_.reseal(stem, level);
        return;
    }
    if (seal_of(stem) < level) {
        recover();
    }
    if (const SealLevel now = seal_of(stem); now < level) {
        throw Error(ErrorCode::permission,
                    fmt::format("the vault cannot seal artifact {} as \"{}\" again", stem,
                                seal_level_name(level)),
                    fmt::format("It is sealed as \"{}\".", seal_level_name(now)),
                    "\"immbackup check --vault\" says why.");
    }
}

// The vault finishes or removes what a crash left there, and records it; here it is found out what
// our own records lack.
SweepReport VaultStore::sweep(const std::vector<std::string>& known) {
    SweepReport report;
    recover();
    const VaultListing found = listing();
    for (const auto& item : found.artifacts) {
        const bool recorded = std::find(known.begin(), known.end(), item.stem) != known.end();
        if (item.state == "sealed" && !recorded && !problem_of(item.stem, CancelToken{})) {
            report.completed.push_back(item.stem);
        } else if (item.state == "orphan" && !recorded) {
            report.foreign.push_back("active/" + layout_.artifact(item.stem).filename().string());
        }
    }
    report.foreign.insert(report.foreign.end(), found.foreign.begin(), found.foreign.end());
    return report;
}

std::vector<std::string> VaultStore::plain() const {
    std::error_code ignored;
    return fs::is_directory(plain_.layout().active(), ignored) ? plain_.list()
                                                               : std::vector<std::string>();
}

std::uint64_t VaultStore::drop_plain(const std::string& stem) {
    if (is_plain(stem)) {
        throw Error(ErrorCode::internal, fmt::format("artifact {} is not in the vault", stem));
    }
    return plain_.remove(stem, {});
}

}  // namespace immbackup
