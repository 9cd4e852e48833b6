// `immbackup import`: from the plain store into the vault.

#include <fmt/format.h>

#include "backup/import.h"
#include "cli/commands.h"
#include "cli/retention_settings.h"
#include "cli/table.h"
#include "io/lock.h"

namespace immbackup {

namespace {

int import_now(Context& context) {
    CancelToken& cancel = context.cancel();
    const auto store = context.open_writable_store();
    const auto lock = DirectoryLock::acquire(store->layout().lock_file(), "immbackup import", 0);
    AuditLog audit = store->open_audit("cli");
    const auto progress = context.make_progress();
    const Settings settings = retention_settings(context, audit.catalog());
    const ImportReport report = import_artifacts(*store, audit, settings, cancel, *progress);
    auto imported = Json::array();
    auto left = Json::array();
    std::vector<std::vector<std::string>> rows{{"ARTIFACT", "SIZE", "SEAL", "KEPT UNTIL", ""}};
    bool failed = false;
    for (const auto& each : report.imported) {
        rows.push_back({each.artifact, size_text(each.bytes), each.seal,
                        each.retain_until.substr(0, 19), "imported"});
        imported.push_back({{"artifact", each.artifact},
                            {"bytes", each.bytes},
                            {"seal", each.seal},
                            {"retain_until", each.retain_until}});
    }
    for (const auto& each : report.left) {
        failed = failed || each.failed;
        rows.push_back({each.artifact, "", "", "", each.reason});
        left.push_back(
            {{"artifact", each.artifact}, {"reason", each.reason}, {"failed", each.failed}});
    }
    if (context.json) {
        print_json({{"imported", imported}, {"left", left}});
    } else if (rows.size() == 1) {
        fmt::print("there is nothing to import\n");
    } else {
        print_table(rows);
    }
    return failed ? static_cast<int>(ErrorCode::failed) : 0;
}

}  // namespace

void register_import(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand(
        "import", "Move the artifacts of the plain store into the vault, verified and sealed");
    add_retention_options(*command, context);
    add_setting_options(*command, context, {"vault_helper"});
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup import", "immbackup import --json"});
    command->callback([&context] { context.action = [&context] { return import_now(context); }; });
}

}  // namespace immbackup
