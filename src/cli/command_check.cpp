// `immbackup check`: one line and an exit code for monitoring systems and health checks.

#include <fmt/format.h>

#include <charconv>

#include "backup/s3_check.h"
#include "backup/vault_check.h"
#include "cli/commands.h"
#include "cli/retention_settings.h"
#include "cli/s3_options.h"
#include "cli/table.h"
#include "core/health.h"
#include "io/clock.h"
#include "io/process.h"

namespace immbackup {

namespace {

struct CheckOptions {
    std::string max_age;
    bool s3 = false;
    bool probe = false;
    bool vault = false;
};

// "90", "90s", "45min", "26h", "2d"; nothing for anything else.
std::optional<std::chrono::seconds> parse_span(std::string_view text) {
    long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    constexpr long kMost = 100L * 366 * 24 * 3600;
    const long factor = unit == "" || unit == "s"      ? 1
                        : unit == "min" || unit == "m" ? 60
                        : unit == "h"                  ? 3600
                        : unit == "d"                  ? 86'400
                                                       : 0;
    if (error != std::errc{} || factor == 0 || number <= 0 || number > kMost / factor) {
        return std::nullopt;
    }
    return std::chrono::seconds(number * factor);
}

std::optional<std::chrono::seconds> max_age(const CheckOptions& options) {
    if (options.max_age.empty()) {
        return std::nullopt;
    }
    const auto span = parse_span(options.max_age);
    if (!span) {
        throw Error(ErrorCode::usage,
                    fmt::format("\"{}\" is not a length of time", options.max_age), {},
                    "Write a whole number with s, min, h or d: 26h.");
    }
    return span;
}

std::vector<std::string> missing_artifacts(const Catalog& catalog, const Store& store) {
    std::vector<std::string> missing = newest_artifacts(catalog);
    std::erase_if(missing, [&](const std::string& stem) { return store.complete(stem); });
    return missing;
}

void print_health(const Context& context, const Health& health, const Catalog& catalog) {
    const auto time = [](std::optional<Time> at) {
        return at ? Json(format_time(*at)) : Json(nullptr);
    };
    std::optional<std::int64_t> age;
    if (health.last_good) {
        age = std::max<std::int64_t>((now() - *health.last_good).count() / 1000, 0);
    }
    if (context.json) {
        print_json({{"verdict", verdict_name(health.verdict)},
                    {"exit_code", static_cast<int>(health.verdict)},
                    {"summary", health.summary},
                    {"last_good_run", catalog.last_full_run},
                    {"last_good", time(health.last_good)},
                    {"age_seconds", age ? Json(*age) : nullptr},
                    {"next_due", time(health.next_due)},
                    {"overdue_since", time(health.overdue_since)},
                    {"consecutive_failures", health.failures}});
        return;
    }
    fmt::print("IMMBACKUP {} - {} |{} failures={}\n", verdict_name(health.verdict),
               printable(health.summary), age ? fmt::format(" age={}s", *age) : "",
               health.failures);
}

// Rows for a person, and the worst of them as exit code: 2 without what an upload needs, 1 for any
// other finding.
int check_bucket(Context& context, const CheckOptions& options) {
    CancelToken& cancel = context.cancel();
    forbid_core_files();
    const auto store = context.open_store();
    AuditLog audit = context.open_audit(*store);
    const auto rows = check_s3(context.settings(), audit,
                               options.probe ? s3::Depth::lock : s3::Depth::full, cancel);
    auto json = Json::array();
    std::vector<std::vector<std::string>> table{{"CHECK", "VERDICT", "", "DETAIL"}};
    Verdict worst = Verdict::ok;
    for (const auto& row : rows) {
        if (row.finding()) {
            worst = std::max(worst, row.required ? Verdict::critical : Verdict::warning);
        }
        table.push_back({row.check, std::string(s3::answer_name(row.verdict)),
                         row.finding() ? "!" : "", row.detail});
        json.push_back({{"check", row.check},
                        {"verdict", s3::answer_name(row.verdict)},
                        {"finding", row.finding()},
                        {"required", row.required},
                        {"detail", row.detail}});
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(table);
    }
    return static_cast<int>(worst);
}

int check_the_vault(Context& context) {
    const auto store = context.open_store();
    auto json = Json::array();
    std::vector<std::vector<std::string>> table{{"CHECK", "VERDICT", "DETAIL"}};
    Verdict worst = Verdict::ok;
    for (const auto& row : check_vault(*store, vault_settings(context, *store))) {
        using RowVerdict = VaultRow::Verdict;
        const Verdict verdict = row.verdict == RowVerdict::critical  ? Verdict::critical
                                : row.verdict == RowVerdict::warning ? Verdict::warning
                                                                     : Verdict::ok;
        worst = std::max(worst, verdict);
        table.push_back({row.check, verdict_name(verdict), printable(row.detail)});
        json.push_back(
            {{"check", row.check}, {"verdict", verdict_name(verdict)}, {"detail", row.detail}});
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(table);
    }
    return static_cast<int>(worst);
}

int check(Context& context, const CheckOptions& options) {
    if (options.vault) {
        return check_the_vault(context);
    }
    if (options.s3 || options.probe) {
        return check_bucket(context, options);
    }
    Health health;
    Catalog catalog;
    try {
        const auto limit = max_age(options);
        const auto store = open_store_for_reading(context.directory());
        catalog = read_catalog(store->layout());
        const PrunePlan plan =
            plan_prune(catalog, prune_rules(retention_settings(context, catalog)),
                       {boot_id(), monotonic_ms(), now()});
        health = judge(catalog, now(), missing_artifacts(catalog, *store), limit, &plan);
    } catch (const Error& error) {
        health.summary = error.message() + (error.hint().empty() ? "" : ". " + error.hint());
    }
    print_health(context, health, catalog);
    return static_cast<int>(health.verdict);
}

}  // namespace

void register_check(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand(
        "check",
        "Judge the backups in one line: exit code 0 good, 1 warning, 2 critical, 3 unknown");
    auto options = std::make_shared<CheckOptions>();
    command->add_option("--max-age", options->max_age,
                        "The last good complete run may be at most this old: 26h, 90min, 2d");
    command->add_flag("--s3", options->s3,
                      "Check bucket, store and credentials instead, each with a verdict");
    command->add_flag("--probe", options->probe,
                      "With it, also whether the store refuses to delete under a lock of a minute");
    command->add_flag("--vault", options->vault,
                      "Ask the vault's helper instead: level, clock, bounds, quota, contents");
    add_s3_options(*command, context);
    add_setting_options(*command, context, {"vault_helper"});
    add_json_option(*command, context);
    add_examples(*command, {"immbackup check", "immbackup check --max-age 26h --json",
                            "immbackup check --s3 --s3-bucket backups", "immbackup check --vault"});
    command->callback([&context, options] {
        context.action = [&context, options] { return check(context, *options); };
    });
}

}  // namespace immbackup
