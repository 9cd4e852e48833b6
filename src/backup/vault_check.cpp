#include "backup/vault_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/bodies.h"
#include "core/events.h"
#include "core/retention.h"

namespace immbackup {

namespace {

using VaultVerdict = VaultRow::Verdict;

constexpr std::size_t kMaxStatusText = 1000;

std::string days_text(std::chrono::seconds span) {
    return fmt::format("{:g} days", static_cast<double>(span.count()) / 86'400.0);
}

Keeper& vault_of(Store& store) {
    if (store.keeper() == nullptr) {
        throw Error(
            ErrorCode::config,
            fmt::format("the backup directory \"{}\" is not a vault", store.layout().root.string()),
            {}, "See docs/vault.md.");
    }
    return *store.keeper();
}

VaultRow level_row(const VaultStatus& status, const Settings& settings) {
    const std::string name(seal_level_name(status.level));
    if (status.level < SealLevel::vault_dac) {
        return {"level", VaultVerdict::critical, status.reason};
    }
    const std::string detail =
        status.reason.empty() ? name : fmt::format("{}: {}", name, status.reason);
    if (status.level < settings.require_seal) {
        return {"level", VaultVerdict::critical,
                fmt::format("{} (immbackup.require_seal is {})", detail,
                            seal_level_name(settings.require_seal))};
    }
    return {"level", status.level == SealLevel::vault ? VaultVerdict::good : VaultVerdict::warning,
            detail};
}

VaultRow clock_row(const VaultStatus& status) {
    const VaultVerdict verdict =
        status.clock == "blocked" ? VaultVerdict::critical : VaultVerdict::good;
    return {"clock", verdict,
            status.clock_reason.empty() ? status.clock
                                        : fmt::format("{}: {}", status.clock, status.clock_reason)};
}

// What the settings ask for, the vault may cut.
VaultRow bounds_row(const VaultStatus& status, const Settings& settings) {
    const RetentionDays days = effective_days(settings);
    const std::chrono::seconds longest =
        std::chrono::days(std::max({days.hourly, days.daily, days.weekly}));
    const std::chrono::seconds shortest =
        std::chrono::days(std::min({days.hourly, days.daily, days.weekly}));
    const std::string bounds =
        fmt::format("{} to {}", days_text(status.min_retention), days_text(status.max_retention));
    if (longest > status.max_retention) {
        return {"retention", VaultVerdict::warning,
                fmt::format("{}; the settings keep artifacts for {}, the vault guards them for the "
                            "first {} of these",
                            bounds, days_text(longest), days_text(status.max_retention))};
    }
    if (shortest < status.min_retention) {
        return {"retention", VaultVerdict::good,
                fmt::format("{}; the settings ask for {}, the vault keeps all for {} at least",
                            bounds, days_text(shortest), days_text(status.min_retention))};
    }
    return {"retention", VaultVerdict::good, bounds};
}

VaultRow quota_row(const std::string& what, std::uint64_t used, std::uint64_t quota) {
    if (quota == 0) {
        return {what, VaultVerdict::good, fmt::format("{} used, no quota", used)};
    }
    constexpr std::uint64_t kNearlyFull = 90;
    const std::uint64_t percent = used / std::max<std::uint64_t>(quota / 100, 1);
    return {what,
            percent >= 100           ? VaultVerdict::critical
            : percent >= kNearlyFull ? VaultVerdict::warning
                                     : VaultVerdict::good,
            fmt::format("{} of {} used", used, quota)};
}

VaultRow count_row(const char* check, VaultVerdict bad, const std::vector<std::string>& names,
                   const char* meaning) {
    if (names.empty()) {
        return {check, VaultVerdict::good, "none"};
    }
    return {check, bad, fmt::format("{}, such as {}: {}", names.size(), names.front(), meaning)};
}

void add_contents(std::vector<VaultRow>& rows, Keeper& vault) {
    std::vector<std::string> orphans;
    std::vector<std::string> missing;
    std::vector<std::string> unknown;
    const VaultListing listing = vault.listing();
    for (const auto& item : listing.artifacts) {
        if (item.state == "orphan" || item.state == "unattested") {
            orphans.push_back(item.stem);
        } else if (item.state == "missing") {
            missing.push_back(item.stem);
        } else if (item.state == "unknown") {
            unknown.push_back(item.stem);
        }
    }
    rows.push_back(count_row("missing", VaultVerdict::critical, missing,
                             "attested, but gone; only root can have removed them"));
    rows.push_back(count_row("orphans", VaultVerdict::warning, orphans,
                             "left by a crash; the next run completes them, or they go after "
                             "their date"));
    rows.push_back(
        count_row("unknown", VaultVerdict::warning, unknown,
                  "sealed by a newer version of the helper; this one leaves them alone"));
    rows.push_back(count_row("foreign", VaultVerdict::warning, listing.foreign,
                             "files that the vault did not make"));
    rows.push_back(count_row("plain store", VaultVerdict::warning, vault.plain(),
                             "not in the vault yet; `immbackup import` moves them"));
}

}  // namespace

void record_vault(Store& store, AuditLog& audit) {
    if (store.keeper() == nullptr) {
        return;
    }
    const VaultStatus status = store.keeper()->status();
    const Catalog::Vault found{std::string(seal_level_name(status.level)),
                               bounded_text(status.reason, kMaxStatusText), status.clock,
                               bounded_text(status.clock_reason, kMaxStatusText), status.version};
    const Catalog::Vault& before = audit.catalog().vault;
    // Reasons may hold figures that change; what counts is what they lead to.
    if (found.level == before.level && found.clock == before.clock &&
        found.version == before.version) {
        return;
    }
    Body body{{"level", found.level}};
    if (!found.reason.empty()) {
        body["reason"] = found.reason;
    }
    body["clock"] = found.clock;
    if (!found.clock_reason.empty()) {
        body["clock_reason"] = found.clock_reason;
    }
    body["version"] = found.version;
    audit.append(event::kVaultChecked, body_text(body));
}

std::optional<std::string> weak_seal(Store& store) {
    const SealLevel level = store.seal_level();
    const SealLevel best = store.keeper() != nullptr ? SealLevel::vault : SealLevel::immutable;
    if (level >= best) {
        return std::nullopt;
    }
    return fmt::format("artifacts are sealed as \"{}\" only. {}", seal_level_name(level),
                       store.seal_reason());
}

std::vector<VaultRow> check_vault(Store& store, const Settings& settings) {
    Keeper& vault = vault_of(store);
    const VaultStatus status = vault.status();
    std::vector<VaultRow> rows{level_row(status, settings)};
    rows.push_back(
        {"helper", status.version == IMMBACKUP_VERSION ? VaultVerdict::good : VaultVerdict::warning,
         fmt::format("version {}, this program is {}", status.version, IMMBACKUP_VERSION)});
    rows.push_back({"caller", VaultVerdict::good, status.caller});
    rows.push_back(clock_row(status));
    if (status.level < SealLevel::vault_dac) {
        return rows;  // the rest cannot be found out
    }
    rows.push_back(bounds_row(status, settings));
    rows.push_back({"keep newest", VaultVerdict::good,
                    fmt::format("{} of each database", status.keep_newest)});
    rows.push_back(quota_row("bytes", status.used_bytes, status.quota_bytes));
    rows.push_back(quota_row("files", status.used_files, status.quota_files));
    rows.push_back(quota_row("log", status.used_log, status.quota_log));
    add_contents(rows, vault);
    return rows;
}

}  // namespace immbackup
