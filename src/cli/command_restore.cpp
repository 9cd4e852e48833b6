// `immbackup restore`: a database artifact into a database, a globals artifact into a server.

#include <fmt/format.h>

#include "backup/bodies.h"
#include "cli/bucket.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "core/error.h"
#include "core/events.h"
#include "io/process.h"
#include "restore/restore.h"

namespace immbackup {

namespace {

struct RestoreOptions {
    BucketOptions bucket;
    RestoreRequest request;
    std::string latest;
    bool globals = false;
    bool overwrite_roles = false;
    bool no_analyze = false;
};

// The restore is what counts: a log that cannot be written is told, and does not stop it. What
// comes from a bucket is restored where no log is, most often.
void record(Context& context, const OpenSource& source, const char* event, const Body& body) {
    if (!source.store) {
        return;
    }
    try {
        context.open_audit(*source.store).append(event, body_text(body));
    } catch (const Error& error) {
        print_warning("no audit record was written: " + error.message());
    }
}

Body target_body(const RestoreOptions& options) {
    return {{"artifact", options.request.artifact},
            {"target",
             options.globals ? Body(nullptr) : Body(bounded_text(options.request.database, 400))},
            {"host", options.request.server.host},
            {"port", options.request.server.port}};
}

void print_names(const char* title, const std::vector<std::string>& names) {
    for (const auto& name : names) {
        fmt::print("{}: {}\n", title, printable(name));
    }
}

void restore_roles(Context& context, const OpenSource& source, const RestoreOptions& options,
                   Progress& progress) {
    const GlobalsReport report =
        restore_globals(source.artifacts(), options.request.artifact, options.request.server,
                        context.bindir, options.overwrite_roles, context.cancel(), progress);
    Body body = target_body(options);
    body["rows"] = 0;
    body["left_out"] = bounded_list(report.different);
    record(context, source, event::kRestoreFinished, body);
    if (context.json) {
        print_json({{"artifact", options.request.artifact},
                    {"created", report.created},
                    {"equal", report.equal},
                    {"different", report.different},
                    {"passwords", report.passwords}});
        return;
    }
    print_names("created", report.created);
    print_names("exists, equal", report.equal);
    print_names(options.overwrite_roles ? "exists, differed, overwritten"
                                        : "exists, differs, left as it is",
                report.different);
    if (!report.passwords) {
        print_warning("the dump has no role passwords: set them before these roles can log in");
    }
    fmt::print("globals restored from {}\n", options.request.artifact);
}

void restore_one(Context& context, const OpenSource& source, const RestoreOptions& options,
                 Progress& progress) {
    const RestoreReport report =
        restore_database(source.artifacts(), options.request, context.cancel(), progress);
    Body body = target_body(options);
    body["host"] = report.host;
    body["port"] = report.port;
    body["rows"] = report.rows;
    body["seconds"] = report.seconds;
    body["left_out"] = bounded_list(report.left_out);
    record(context, source, event::kRestoreFinished, body);
    if (context.json) {
        print_json({{"artifact", options.request.artifact},
                    {"database", report.database},
                    {"host", report.host},
                    {"port", report.port},
                    {"tables", report.tables},
                    {"rows", report.rows},
                    {"compared", report.compared},
                    {"left_out", report.left_out},
                    {"not_applied", report.not_applied},
                    {"seconds", report.seconds}});
        return;
    }
    print_names("left out", report.left_out);
    print_names("not applied, its role does not exist", report.not_applied);
    fmt::print("restored {} into database \"{}\" in {}\n", options.request.artifact,
               printable(report.database), duration_text(report.seconds));
    if (report.compared) {
        fmt::print("{} rows in {} tables, as the manifest says\n", report.rows, report.tables);
    } else {
        print_warning("rows were not compared: the database was not empty");
    }
}

int restore(Context& context, RestoreOptions options) {
    CancelToken& cancel = context.cancel();
    forbid_core_files();
    const OpenSource source = open_source(context, options.bucket);
    const auto progress = context.make_progress();
    if (!options.latest.empty()) {
        options.request.artifact = latest_artifact(source, options.latest);
    }
    if (options.request.artifact.empty()) {
        throw Error(ErrorCode::usage, "no artifact is named", {},
                    "Name one, or say --latest DATABASE.");
    }
    if (options.globals != options.request.database.empty()) {
        throw Error(ErrorCode::usage, "the target is not clear", {},
                    "Say --to NEWDB for a database, or --globals for roles and tablespaces.");
    }
    options.request.server = ConnectionTarget::from_settings(context.settings());
    options.request.bindir = context.bindir;
    options.request.analyze = !options.no_analyze;
    try {
        if (options.globals) {
            restore_roles(context, source, options, *progress);
        } else {
            restore_one(context, source, options, *progress);
        }
    } catch (const Error& error) {
        const Error shown = cancel.reason().value_or(error);
        Body body = target_body(options);
        body["error"] = error_body(shown);
        record(context, source, event::kRestoreFailed, body);
        throw Error(shown);
    }
    return 0;
}

}  // namespace

void register_restore(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand(
        "restore", "Restore an artifact into a new database, and check that everything is there");
    auto options = std::make_shared<RestoreOptions>();
    RestoreRequest& request = options->request;
    command->add_option("artifact", request.artifact, "Its name, as `immbackup list` shows it");
    command->add_option("--latest", options->latest, "The newest good artifact of this database")
        ->type_name("DATABASE");
    command->add_option("--to", request.database, "The database to make and fill")
        ->type_name("DATABASE");
    command->add_option("--owner", request.owner,
                        "Owner of the new database (default: as in the manifest)");
    command->add_flag("--existing", request.existing, "The database exists already, and is empty");
    command->add_flag("--into-nonempty", request.nonempty,
                      "It exists, and may hold objects; nothing is compared");
    command->add_flag("--keep-failed", request.keep_failed,
                      "Do not drop a new database that could not be filled");
    command->add_flag("--no-analyze", options->no_analyze, "Do not run ANALYZE afterwards");
    command->add_flag("--globals", options->globals,
                      "Restore roles and tablespaces from a globals artifact");
    command->add_flag("--overwrite-roles", options->overwrite_roles,
                      "With --globals: change roles that exist to what the dump says");
    add_connection_options(*command, context);
    add_setting_options(*command, context, {"vault_helper"});
    add_bucket_options(*command, context, options->bucket);
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup restore 20260118T120000Z.shop --to shop_restored",
                            "immbackup restore --latest shop --to shop_restored --host db2 "
                            "--password-file /run/secrets/pw",
                            "immbackup restore 20260118T120000Z.globals --globals",
                            "immbackup restore --latest shop --to shop --from s3://backups/prod"});
    command->callback([&context, options] {
        context.action = [&context, options] { return restore(context, *options); };
    });
}

}  // namespace immbackup
