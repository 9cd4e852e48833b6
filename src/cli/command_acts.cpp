// `immbackup hold`, `release`, `accept`, `retire` and `acknowledge`: what an operator says,
// recorded.

#include <fmt/format.h>
#include <unistd.h>

#include "backup/acts.h"
#include "backup/uploads.h"
#include "cli/commands.h"
#include "cli/s3_options.h"
#include "io/process.h"

namespace immbackup {

namespace {

struct ActOptions {
    std::string subject;
    std::string reason;
    bool clock = false;
    bool settings = false;
};

// The operators of a vault need not be in the group that reads it.
bool may_read_log(const Layout& layout) {
    return !layout.vault || ::access(layout.audit_log().c_str(), R_OK) == 0;
}

void print_recorded(const Context& context, const Json& seq) {
    if (!context.json) {
        fmt::print("recorded\n");
    } else {
        print_json({{"recorded", seq}});
    }
}

int act_on(Context& context, const std::string& kind, const ActOptions& options) {
    const auto store = context.open_store();
    const Act act{kind, options.subject, options.reason, os_user()};
    if (!may_read_log(store->layout()) && tell_vault(*store, act)) {
        print_recorded(context, nullptr);
        return 0;
    }
    AuditLog audit = context.open_audit(*store);
    record_act(*store, audit, act);
    if (kind == "hold" || kind == "release") {
        forbid_core_files();
        follow_with_legal_hold(context.settings(), audit, kind, options.subject, context.cancel());
    }
    print_recorded(context, audit.catalog().head_seq);
    return 0;
}

struct ActCommand {
    const char* name;
    const char* description;
    const char* subject;  // name of the argument, or null
    const char* subject_help;
    const char* example;
};

void add_act(CLI::App& app, Context& context, const ActCommand& act_command) {
    CLI::App* command = app.add_subcommand(act_command.name, act_command.description);
    auto options = std::make_shared<ActOptions>();
    if (act_command.subject != nullptr) {
        command->add_option(act_command.subject, options->subject, act_command.subject_help)
            ->required();
    } else {
        auto* settings = command->add_flag("--settings", options->settings,
                                           "The change of the retention is known, and the recovery "
                                           "plans are updated");
        command->add_flag("--clock", options->clock, "The clock is right")->excludes(settings);
    }
    command->add_option("--reason", options->reason, "Why; it goes into the audit log")->required();
    if (std::string_view(act_command.name) == "hold" ||
        std::string_view(act_command.name) == "release") {
        add_s3_options(*command, context);
        add_setting_options(*command, context, {"vault_helper"});
    } else {
        add_setting_options(*command, context, {"vault_helper"});
    }
    add_json_option(*command, context);
    add_examples(*command, {act_command.example});
    const std::string name = act_command.name;
    command->callback([&context, options, name] {
        context.action = [&context, options, name] {
            if (name != "acknowledge") {
                return act_on(context, name, *options);
            }
            if (options->clock == options->settings) {
                throw Error(ErrorCode::usage, "it is not said what is acknowledged", {},
                            "Say --settings or --clock.");
            }
            return act_on(context, options->clock ? "acknowledge_clock" : "acknowledge_settings",
                          *options);
        };
    });
}

}  // namespace

void register_acts(CLI::App& app, Context& context) {
    constexpr const char* kArtifact = "Its name, as `immbackup list` shows it";
    add_act(app, context,
            {"hold", "Put an artifact under a hold: nothing removes it until it is released",
             "artifact", kArtifact, "immbackup hold 20260118T120000Z.shop --reason 'case 4711'"});
    add_act(app, context,
            {"release", "Take the hold off an artifact", "artifact", kArtifact,
             "immbackup release 20260118T120000Z.shop --reason 'case 4711 is closed'"});
    add_act(app, context,
            {"accept", "Accept what is wrong with an artifact: an anomaly, or that it is lost",
             "artifact", kArtifact,
             "immbackup accept 20260118T120000Z.shop --reason 'the archive was moved out'"});
    add_act(app, context,
            {"retire", "A database is gone for good: its last artifacts are protected no longer",
             "database", "Name of the database",
             "immbackup retire shop_old --reason 'replaced by shop'"});
    add_act(app, context,
            {"acknowledge", "Acknowledge a change of the retention, or that the clock is right",
             nullptr, nullptr,
             "immbackup acknowledge --settings --reason 'recovery plan 12 was updated'"});
}

}  // namespace immbackup
