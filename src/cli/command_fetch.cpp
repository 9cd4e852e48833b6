// `immbackup fetch`

#include <fmt/format.h>

#include "cli/bucket.h"
#include "cli/commands.h"
#include "core/error.h"
#include "io/lock.h"
#include "restore/fetch.h"

namespace immbackup {

namespace {

struct FetchOptions {
    BucketOptions bucket;
    std::vector<std::string> artifacts;
    std::string latest;
    std::string to;
};

int fetch(Context& context, const FetchOptions& options) {
    if (options.bucket.from.empty()) {
        throw Error(ErrorCode::usage, "it is not said where to fetch from", {},
                    "Say --from s3://BUCKET/PREFIX.");
    }
    CancelToken& cancel = context.cancel();
    const OpenSource source = open_source(context, options.bucket);
    std::vector<std::string> stems = options.artifacts;
    if (!options.latest.empty()) {
        stems.push_back(latest_artifact(source, options.latest));
    }
    if (stems.empty()) {
        throw Error(ErrorCode::usage, "no artifact is named", {},
                    "Name artifacts, or say --latest DATABASE.");
    }
    const Layout layout{options.to};
    make_directory(layout.root, 0700);
    const auto lock = DirectoryLock::acquire(layout.lock_file(), "immbackup fetch", 0);
    const auto progress = context.make_progress();
    auto json = Json::array();
    for (const auto& stem : stems) {
        const Fetched got = fetch_artifact(source.artifacts(), stem, options.to, cancel, *progress);
        json.push_back({{"artifact", got.artifact},
                        {"path", got.path},
                        {"present", got.present},
                        {"size", got.size},
                        {"sha256", got.sha256}});
        if (!context.json) {
            fmt::print("{} {} ({})\n", got.present ? "present" : "fetched", got.path,
                       size_text(got.size));
        }
    }
    if (context.json) {
        print_json(json);
    }
    return 0;
}

}  // namespace

void register_fetch(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("fetch", "Bring artifacts from the bucket into a directory, checked");
    auto options = std::make_shared<FetchOptions>();
    command->add_option("artifact", options->artifacts,
                        "Names, as `immbackup list --from` has them");
    command->add_option("--latest", options->latest, "The newest attested one of this database")
        ->type_name("DATABASE");
    command->add_option("--to", options->to, "A backup directory; made where it is missing")
        ->type_name("DIRECTORY")
        ->required();
    add_bucket_options(*command, context, options->bucket);
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup fetch --from s3://backups/prod --latest shop --to /restore",
                            "immbackup restore --directory /restore --latest shop --to shop"});
    command->callback([&context, options] {
        context.action = [&context, options] { return fetch(context, *options); };
    });
}

}  // namespace immbackup
