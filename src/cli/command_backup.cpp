// `immbackup backup`: a run by hand, without the server's worker.

#include <fmt/format.h>

#include "backup/run.h"
#include "backup/vault_check.h"
#include "cli/commands.h"
#include "cli/s3_options.h"
#include "core/error.h"
#include "io/lock.h"
#include "io/process.h"

namespace immbackup {

namespace {

int backup(Context& context, const std::vector<std::string>& databases) {
    CancelToken& cancel = context.cancel();
    const Settings settings = context.settings();
    if (const auto problem = environment_problem([](const char* name) { return ::getenv(name); })) {
        throw Error(ErrorCode::config, problem->message, {}, problem->hint);
    }
    forbid_core_files();
    add_niceness(settings.nice);
    set_io_priority(settings.io_priority);
    const auto store = open_store(settings);
    const auto lock = DirectoryLock::acquire(store->layout().lock_file(), "immbackup backup", 0);
    AuditLog audit = store->open_audit("cli");
    const auto progress = context.make_progress();
    if (const auto weak = weak_seal(*store)) {
        progress->warning(*weak);
    }
    const RunResult result = run_backup({settings, context.bindir, "cli", os_user(), databases},
                                        *store, audit, cancel, *progress);
    auto json = Json::array();
    for (const auto& stem : result.artifacts) {
        const Manifest manifest = store->read_manifest(stem);
        json.push_back({{"artifact", stem},
                        {"size", manifest.size},
                        {"rows", manifest.rows},
                        {"sha256", manifest.sha256}});
        if (!context.json) {
            fmt::print("{}  {}  {} rows\n", stem, size_text(manifest.size), manifest.rows);
        }
    }
    if (context.json) {
        print_json({{"run", result.run},
                    {"artifacts", json},
                    {"bytes", result.bytes},
                    {"warnings", result.warnings}});
    } else {
        for (const auto& warning : result.warnings) {
            print_warning(warning);
        }
        fmt::print("run {}: {} artifacts, {}\n", result.run, result.artifacts.size(),
                   size_text(result.bytes));
    }
    return 0;
}

}  // namespace

void register_backup(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("backup", "Take a backup now, without the server's worker");
    auto databases = std::make_shared<std::vector<std::string>>();
    command->add_option("--database", *databases, "This database only; may be repeated")
        ->take_all()
        ->expected(1)
        ->delimiter('\0');
    add_connection_options(*command, context);
    add_setting_options(*command, context,
                        {"vault_helper",
                         "require_seal",
                         "databases",
                         "compression",
                         "compression_threads",
                         "dump_globals",
                         "pg_dump_options",
                         "run_timeout",
                         "stall_timeout",
                         "lock_wait_timeout",
                         "connect_wait",
                         "nice",
                         "io_priority",
                         "rate_limit",
                         "timezone",
                         "retention_days",
                         "retention_hourly_days",
                         "retention_daily_days",
                         "retention_weekly_days",
                         "min_keep",
                         "pending_max_days",
                         "anomaly_percent",
                         "min_free"});
    add_s3_options(*command, context);
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(
        *command,
        {"immbackup backup --directory /backups",
         "immbackup backup --database shop --host db1 --password-file /run/secrets/db_password"});
    command->callback([&context, databases] {
        context.action = [&context, databases] { return backup(context, *databases); };
    });
}

}  // namespace immbackup
