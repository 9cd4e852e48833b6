// `immbackup prune`

#include <fmt/format.h>

#include "backup/prune.h"
#include "cli/commands.h"
#include "cli/retention_settings.h"
#include "cli/table.h"
#include "core/prune_plan.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/process.h"

namespace immbackup {

namespace {

int show_plan(Context& context) {
    const auto store = open_store_for_reading(context.directory());
    const Catalog catalog = read_catalog(store->layout());
    const Settings settings = retention_settings(context, catalog);
    const PrunePlan plan =
        plan_prune(catalog, prune_rules(settings), {boot_id(), monotonic_ms(), now()});
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{{"ARTIFACT", "TIER", "SIZE", "ACTION", "REASON"}};
    for (const PruneRow& row : plan.rows) {
        const ArtifactEntry& entry = *row.entry;
        rows.push_back({entry.artifact, entry.tier, size_text(entry.size),
                        prune_action_name(row.action), row.reason});
        json.push_back({{"artifact", entry.artifact},
                        {"tier", entry.tier},
                        {"size", entry.size},
                        {"action", prune_action_name(row.action)},
                        {"reason", row.reason}});
    }
    if (context.json) {
        print_json({{"blocked", plan.blocked.empty() ? Json(nullptr) : Json(plan.blocked)},
                    {"bytes", plan.prune_bytes},
                    {"blocked_bytes", plan.blocked_bytes},
                    {"anomaly_bytes", plan.anomaly_bytes},
                    {"artifacts", json}});
        return 0;
    }
    print_table(rows);
    if (!plan.blocked.empty()) {
        print_warning("nothing can be removed now. " + plan.blocked + " " + plan.hint);
    }
    fmt::print("{} would be removed\n", size_text(plan.prune_bytes));
    return 0;
}

int prune_now(Context& context) {
    CancelToken& cancel = context.cancel();
    const auto store = context.open_writable_store();
    const auto lock = DirectoryLock::acquire(store->layout().lock_file(), "immbackup prune", 0);
    AuditLog audit = store->open_audit("cli");
    const auto progress = context.make_progress();
    const Settings settings = retention_settings(context, audit.catalog());
    const PruneReport report = prune(*store, audit, settings, cancel, *progress);
    auto json = Json::array();
    std::uint64_t bytes = 0;
    for (const auto& pruned : report.pruned) {
        bytes += pruned.bytes;
        json.push_back(
            {{"artifact", pruned.artifact}, {"bytes", pruned.bytes}, {"reason", pruned.reason}});
        if (!context.json) {
            fmt::print("{}  {}  {}\n", pruned.artifact, size_text(pruned.bytes), pruned.reason);
        }
    }
    auto refused = Json::array();
    for (const auto& each : report.refused) {
        refused.push_back({{"artifact", each.artifact}, {"reason", each.reason}});
        if (!context.json) {
            fmt::print("{}  the vault keeps it: {}\n", each.artifact, printable(each.reason));
        }
    }
    if (context.json) {
        print_json({{"pruned", json},
                    {"bytes", bytes},
                    {"refused", refused},
                    {"extended", report.extended},
                    {"failed", report.failed},
                    {"blocked", report.blocked.empty() ? Json(nullptr) : Json(report.blocked)}});
    } else {
        fmt::print("{} artifacts removed, {}\n", report.pruned.size(), size_text(bytes));
    }
    return report.failed.empty() ? 0 : static_cast<int>(ErrorCode::failed);
}

}  // namespace

void register_prune(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand(
        "prune", "Remove the artifacts whose time is over and that no rule keeps");
    auto dry_run = std::make_shared<bool>(false);
    command->add_flag("--dry-run", *dry_run, "Show what would be removed, what not, and why");
    add_retention_options(*command, context);
    add_setting_options(*command, context, {"vault_helper"});
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup prune --dry-run", "immbackup prune --json"});
    command->callback([&context, dry_run] {
        context.action = [&context, dry_run] {
            return *dry_run ? show_plan(context) : prune_now(context);
        };
    });
}

}  // namespace immbackup
