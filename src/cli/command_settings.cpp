// `immbackup settings`, `immbackup schedule`, `immbackup version`

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/schedule.h"
#include "core/time.h"
#include "io/clock.h"

namespace immbackup {

namespace {

int print_settings(Context& context, bool markdown) {
    if (markdown) {
        fmt::print("{}", settings_markdown());
        return 0;
    }
    const auto origins = context.setting_origins();
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{{"SETTING", "VALUE", "FROM"}};
    for (const auto& definition : setting_definitions()) {
        const auto& origin = origins.at(definition.name);
        const auto problem = setting_problem(definition, origin.text);
        rows.push_back({definition.name, origin.text,
                        origin.from + (problem ? " (invalid: " + *problem + ")" : "")});
        json.push_back({{"name", definition.name},
                        {"value", origin.text},
                        {"from", origin.from},
                        {"problem", problem ? Json(*problem) : Json(nullptr)}});
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(rows);
    }
    static_cast<void>(context.settings());  // throws where one is invalid, after all were shown
    return 0;
}

struct ScheduleOptions {
    std::string expression;
    std::string from;
    int count = 5;
};

int print_schedule(Context& context, const ScheduleOptions& options) {
    const std::string timezone = context.setting_origins().at("timezone").text;
    const Schedule schedule = Schedule::parse(options.expression, timezone);
    Time time = now();
    if (!options.from.empty()) {
        auto parsed = parse_time(options.from);
        if (!parsed && options.from.size() == 17) {  // 2026-03-29T00:00Z
            parsed = parse_time(options.from.substr(0, 16) + ":00Z");
        }
        if (!parsed) {
            throw Error(ErrorCode::usage, fmt::format("\"{}\" is not a time", options.from), {},
                        "Write it in UTC: 2026-03-29T00:00Z.");
        }
        time = *parsed - std::chrono::milliseconds{1};  // a run that is due then counts
    }
    auto json = Json::array();
    for (int i = 0; i < options.count; ++i) {
        const auto next = schedule.next_after(time);
        if (!next) {
            break;
        }
        time = *next;
        json.push_back(format_time(time));
        if (!context.json) {
            fmt::print("{}\n", format_time(time));
        }
    }
    if (context.json) {
        print_json(json);
    }
    return 0;
}

}  // namespace

void register_settings(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("settings", "Show the settings in effect and where they come from");
    auto markdown = std::make_shared<bool>(false);
    command->add_flag("--markdown", *markdown, "Print the reference table of the documentation");
    add_setting_options(*command, context, {});
    add_json_option(*command, context);
    add_examples(*command,
                 {"immbackup settings", "BACKUP_DIR=/srv/backups immbackup settings --json"});
    command->callback([&context, markdown] {
        context.action = [&context, markdown] { return print_settings(context, *markdown); };
    });
}

void register_schedule(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("schedule", "Try a schedule: print the times that it means, in UTC");
    auto options = std::make_shared<ScheduleOptions>();
    command
        ->add_option("expression", options->expression, "As in crontab(5), or @hourly and the like")
        ->required();
    command->add_option("--from", options->from,
                        "Begin there instead of now, in UTC: 2026-03-29T00:00Z");
    command->add_option("--count", options->count, "How many times")->check(CLI::Range(1, 10000));
    add_setting_options(*command, context, {"timezone"});
    add_json_option(*command, context);
    add_examples(*command, {"immbackup schedule '0 2 * * *' --timezone Europe/Vienna --from "
                            "2026-03-28T00:00Z --count 3"});
    command->callback([&context, options] {
        context.action = [&context, options] { return print_schedule(context, *options); };
    });
}

void register_version(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("version", "Print the version");
    add_json_option(*command, context);
    command->callback([&context] {
        context.action = [&context] {
            if (context.json) {
                print_json({{"version", IMMBACKUP_VERSION}});
            } else {
                fmt::print("immbackup {}\n", IMMBACKUP_VERSION);
            }
            return 0;
        };
    });
}

}  // namespace immbackup
