#include "cli/retention_settings.h"

#include <array>

namespace immbackup {

namespace {

constexpr std::array kNames{"schedule",
                            "timezone",
                            "retention_days",
                            "retention_hourly_days",
                            "retention_daily_days",
                            "retention_weekly_days",
                            "min_keep",
                            "require_seal",
                            "pending_max_days"};

}  // namespace

Settings retention_settings(const Context& context, const Catalog& catalog) {
    const auto origins = context.setting_origins();
    SettingTexts texts;
    texts["directory"] = origins.at("directory").text;
    for (const char* name : kNames) {
        const auto& origin = origins.at(name);
        const auto recorded = catalog.settings.find(name);
        texts[name] = origin.from == "default" && recorded != catalog.settings.end()
                          ? recorded->second
                          : origin.text;
    }
    return resolve_settings(texts);
}

Settings vault_settings(const Context& context, const Store& store) {
    Catalog catalog;
    try {
        catalog = read_catalog(store.layout());
    } catch (const Error& error) {
        if (error.code() != ErrorCode::permission) {
            throw;
        }
    }
    return retention_settings(context, catalog);
}

void add_retention_options(CLI::App& command, Context& context) {
    add_setting_options(
        command, context,
        {"timezone", "retention_days", "retention_hourly_days", "retention_daily_days",
         "retention_weekly_days", "min_keep", "pending_max_days"});
}

}  // namespace immbackup
