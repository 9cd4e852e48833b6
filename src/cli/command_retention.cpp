// `immbackup coverage` and `immbackup preview`: what is covered, and what another retention would
// change.

#include <fmt/format.h>

#include "backup/retention_change.h"
#include "cli/commands.h"
#include "cli/retention_settings.h"
#include "cli/table.h"
#include "core/forecast.h"
#include "io/clock.h"

namespace immbackup {

namespace {

struct Look {
    Catalog catalog;
    Settings settings;
};
Look look(const Context& context) {
    const auto store = open_store_for_reading(context.directory());
    Look out;
    out.catalog = read_catalog(store->layout());
    out.settings = retention_settings(context, out.catalog);
    return out;
}

Json time_json(std::optional<Time> time) {
    return time ? Json(format_time(*time)) : Json(nullptr);
}
std::string time_text(std::optional<Time> time) {
    return time ? format_time(*time) : "-";
}
Json name_json(const Subject& subject) {
    return subject.globals ? Json(nullptr) : Json(subject.database);
}
std::string name_text(const Subject& subject) {
    return subject.globals ? "(globals)" : subject.database;
}

int print_coverage(Context& context, int weeks) {
    const Look at = look(context);
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"DATABASE", "DAY", "MADE", "PRESENT", "DUE", "MISSED", "OLDEST", "NEWEST"}};
    for (const auto& row : coverage(at.catalog, at.settings.timezone, weeks, now())) {
        rows.push_back({name_text(row.subject), date_text(row.day), fmt::format("{}", row.made),
                        fmt::format("{}", row.present), row.due ? fmt::format("{}", *row.due) : "-",
                        row.due ? fmt::format("{}", row.missed) : "-", time_text(row.oldest),
                        time_text(row.newest)});
        json.push_back({{"database", name_json(row.subject)},
                        {"globals", row.subject.globals},
                        {"day", date_text(row.day)},
                        {"made", row.made},
                        {"present", row.present},
                        {"due", row.due ? Json(*row.due) : Json(nullptr)},
                        {"missed", row.due ? Json(row.missed) : Json(nullptr)},
                        {"oldest", time_json(row.oldest)},
                        {"newest", time_json(row.newest)}});
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(rows);
    }
    return 0;
}

struct PreviewOptions {
    int hourly = 0;  // 0: as it is
    int daily = 0;
    int weekly = 0;
};

int print_preview(Context& context, const PreviewOptions& options) {
    const Look at = look(context);
    const RetentionDays before = effective_days(at.settings);
    const auto or_same = [](int wanted, int same) { return wanted > 0 ? wanted : same; };
    const RetentionDays after{or_same(options.hourly, before.hourly),
                              or_same(options.daily, before.daily),
                              or_same(options.weekly, before.weekly)};
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"DATABASE", "IN DAYS", "POINTS", "THEN", "OLDEST", "THEN"}};
    for (const auto& row :
         preview_retention(at.catalog, schedule_of(at.settings), at.settings.timezone, before,
                           after, at.settings.min_keep, now())) {
        rows.push_back({name_text(row.subject), fmt::format("{}", row.in_days),
                        fmt::format("{}", row.before), fmt::format("{}", row.after),
                        time_text(row.oldest_before), time_text(row.oldest_after)});
        json.push_back({{"database", name_json(row.subject)},
                        {"globals", row.subject.globals},
                        {"in_days", row.in_days},
                        {"points_before", row.before},
                        {"points_after", row.after},
                        {"oldest_before", time_json(row.oldest_before)},
                        {"oldest_after", time_json(row.oldest_after)}});
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(rows);
    }
    return 0;
}

}  // namespace

void register_retention(CLI::App& app, Context& context) {
    CLI::App* covered = app.add_subcommand(
        "coverage", "Restore points of each database and day, and due times without a backup");
    auto weeks = std::make_shared<int>(4);
    covered->add_option("--weeks", *weeks, "How far back")->check(CLI::Range(1, 520));
    add_setting_options(*covered, context, {"timezone"});
    add_json_option(*covered, context);
    add_examples(*covered, {"immbackup coverage --weeks 1"});
    covered->callback([&context, weeks] {
        context.action = [&context, weeks] { return print_coverage(context, *weeks); };
    });

    CLI::App* preview = app.add_subcommand(
        "preview", "Which restore points another retention would leave, 1, 7 and 28 days from now");
    auto options = std::make_shared<PreviewOptions>();
    constexpr int kMost = 36500;
    preview->add_option("--hourly", options->hourly, "Days")->check(CLI::Range(1, kMost));
    preview->add_option("--daily", options->daily, "Days")->check(CLI::Range(1, kMost));
    preview->add_option("--weekly", options->weekly, "Days")->check(CLI::Range(1, kMost));
    add_retention_options(*preview, context);
    add_json_option(*preview, context);
    add_examples(*preview, {"immbackup preview --hourly 1 --weekly 14"});
    preview->callback([&context, options] {
        context.action = [&context, options] { return print_preview(context, *options); };
    });
}

}  // namespace immbackup
