// `immbackup upload`

#include <fmt/format.h>

#include "backup/uploads.h"
#include "cli/commands.h"
#include "cli/s3_options.h"
#include "cli/table.h"
#include "io/process.h"

namespace immbackup {

namespace {

int upload(Context& context) {
    CancelToken& cancel = context.cancel();
    const Settings settings = context.settings();
    forbid_core_files();
    const auto store = open_store(settings);
    AuditLog audit = store->open_audit("cli");
    const auto progress = context.make_progress();
    const UploadReport report = upload_pending(settings, *store, audit, true, cancel, *progress);
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{{"ARTIFACT", "STATE", "LOCKED UNTIL", "PROBLEM"}};
    const auto add = [&](const std::string& artifact, std::string_view state,
                         const std::string& until, const std::string& problem) {
        rows.push_back({artifact, std::string(state), until, problem});
        json.push_back({{"artifact", artifact},
                        {"state", state},
                        {"locked_until", until.empty() ? Json(nullptr) : Json(until)},
                        {"problem", problem}});
    };
    bool bad = !report.failed.empty();
    for (const auto* results : {&report.uploaded, &report.proven}) {
        for (const auto& result : *results) {
            bad = bad || result.state != s3::LockState::locked;
            add(result.artifact, s3::lock_state_name(result.state), result.locked_until,
                result.reason);
        }
    }
    for (const auto& failed : report.failed) {
        add(failed.artifact, is_permanent(failed.error) ? "failed" : "pending", "",
            failed.error.message());
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(rows);
    }
    return bad ? static_cast<int>(ErrorCode::failed) : 0;
}

}  // namespace

void add_s3_options(CLI::App& command, Context& context) {
    add_setting_options(
        command, context,
        {"s3_bucket",          "s3_prefix",          "s3_object_lock_mode", "s3_object_lock_days",
         "s3_anchor_days",     "s3_region",          "s3_endpoint_url",     "s3_addressing",
         "s3_ca_file",         "s3_storage_class",   "s3_kms_key_id",       "s3_required",
         "s3_extend_locks",    "s3_prune",           "s3_concurrency",      "s3_max_parts",
         "s3_bandwidth_limit", "s3_connect_timeout", "s3_stall_timeout",    "s3_retry_timeout",
         "s3_upload_timeout"});
}

void register_upload(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("upload", "Upload what is pending, extend locks, anchor the audit log");
    add_s3_options(*command, context);
    add_setting_options(*command, context, {"vault_helper"});
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup upload --s3-bucket backups --s3-region eu-central-1",
                            "S3_BUCKET=backups immbackup upload --json"});
    command->callback([&context] { context.action = [&context] { return upload(context); }; });
}

}  // namespace immbackup
