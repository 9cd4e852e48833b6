// `immbackup list`

#include <fmt/format.h>

#include "cli/bucket.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/table.h"
#include "core/names.h"

namespace immbackup {

namespace {

Json entry_json(const ArtifactEntry& e) {
    return {{"artifact", e.artifact},
            {"run", e.run},
            {"database", e.globals ? Json(nullptr) : Json(e.database)},
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

Json bucket_json(const BucketEntry& e, const Receipt* r) {
    Json receipts = Json::array();
    for (const auto& [version, receipt] : e.receipts) {
        receipts.push_back({{"version_id", version},
                            {"written", format_time(receipt.written)},
                            {"instance", receipt.instance},
                            {"sha256", receipt.sha256}});
    }
    Json out{
        {"artifact", e.artifact}, {"state", attestation_name(e.state)}, {"problem", e.problem}};
    if (r != nullptr) {
        const ReceiptObject& dump = r->dump();
        out.update(Json{{"database", r->globals ? Json(nullptr) : Json(r->database)},
                        {"globals", r->globals},
                        {"tier", r->tier},
                        {"taken", format_time(r->taken)},
                        {"retain_until", format_time(r->retain_until)},
                        {"size", r->size},
                        {"sql_size", r->sql_size},
                        {"rows", r->rows},
                        {"sha256", r->sha256},
                        {"instance", r->instance},
                        {"key", dump.key},
                        {"version_id", dump.version_id},
                        {"lock_state", dump.state},
                        {"lock_mode", dump.mode},
                        {"locked_until", dump.until}});
    }
    out["receipts"] = std::move(receipts);
    return out;
}

// What the receipts say; how the store holds an artifact now, `show` asks it.
int list_bucket(Context& context, const BucketOptions& options, const std::string& database) {
    const OpenSource source = open_source(context, options);
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"ARTIFACT", "DATABASE", "TAKEN", "SIZE", "SQL", "ROWS", "LOCKED UNTIL", "STATE"}};
    for (const auto& e : source.bucket->entries()) {
        const Receipt* r = source.bucket->receipt(e.artifact);
        if (!database.empty() && r != nullptr && (r->globals || r->database != database)) {
            continue;
        }
        json.push_back(bucket_json(e, r));
        const std::string state(attestation_name(e.state));
        if (r == nullptr) {
            rows.push_back({e.artifact, "", "", "", "", "", "", state});
            continue;
        }
        const ReceiptObject& dump = r->dump();
        rows.push_back({e.artifact, r->globals ? "(globals)" : r->database,
                        format_time(r->taken).substr(0, 19), size_text(r->size),
                        size_text(r->sql_size), fmt::format("{}", r->rows),
                        dump.state == "locked" ? dump.until.substr(0, 19) : dump.state, state});
    }
    if (context.json) {
        print_json(json);
    } else if (rows.size() == 1) {
        fmt::print("no artifacts in \"{}\"\n", options.from);
    } else {
        print_table(rows);
    }
    return 0;
}

int list(Context& context, const std::string& database) {
    auto json = Json::array();
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
    auto bucket = std::make_shared<BucketOptions>();
    add_setting_options(*command, context, {});
    add_from_option(*command, context, bucket->from);
    add_json_option(*command, context);
    add_examples(*command,
                 {"immbackup list --directory /backups", "immbackup list --database shop --json",
                  "immbackup list --from s3://backups/prod --s3-region eu-central-1"});
    command->callback([&context, database, bucket] {
        context.action = [&context, database, bucket] {
            return bucket->from.empty() ? list(context, *database)
                                        : list_bucket(context, *bucket, *database);
        };
    });
}

}  // namespace immbackup
