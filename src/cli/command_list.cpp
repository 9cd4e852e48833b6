// `immbackup list`

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/table.h"

namespace immbackup {

namespace {

nlohmann::ordered_json entry_json(const ArtifactEntry& e) {
    return {{"artifact", e.artifact},
            {"run", e.run},
            {"database",
             e.globals ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(e.database)},
            {"globals", e.globals},
            {"tier", e.tier},
            {"taken", e.taken},
            {"retain_until", e.retain_until},
            {"size", e.size},
            {"sql_size", e.sql_size},
            {"rows", e.rows},
            {"sha256", e.sha256},
            {"seal", e.seal},
            {"state", e.state},
            {"verified", e.verified}};
}

int list(Context& context, const std::string& database) {
    auto json = nlohmann::ordered_json::array();
    std::vector<std::vector<std::string>> rows{
        {"ARTIFACT", "DATABASE", "TAKEN", "SIZE", "SQL", "ROWS", "SEAL", "STATE"}};
    for (const auto& e : list_artifacts(*context.open_store())) {
        if (!database.empty() && (e.globals || e.database != database)) {
            continue;
        }
        json.push_back(entry_json(e));
        rows.push_back({e.artifact, e.globals ? "(globals)" : e.database, e.taken.substr(0, 19),
                        size_text(e.size), size_text(e.sql_size), fmt::format("{}", e.rows), e.seal,
                        e.state});
    }
    if (context.json) {
        print_json(json);
    } else if (rows.size() == 1) {
        fmt::print("no artifacts in \"{}\"\n", context.directory());
    } else {
        print_table(rows);
    }
    return 0;
}

}  // namespace

void register_list(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("list", "List the artifacts in the backup directory");
    auto database = std::make_shared<std::string>();
    command->add_option("--database", *database, "Only those of this database");
    add_setting_options(*command, context, {});
    add_json_option(*command, context);
    add_examples(*command,
                 {"immbackup list --directory /backups", "immbackup list --database shop --json"});
    command->callback([&context, database] {
        context.action = [&context, database] { return list(context, *database); };
    });
}

}  // namespace immbackup
