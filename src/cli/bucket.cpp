#include "cli/bucket.h"

#include "backup/remote.h"
#include "cli/listing.h"
#include "core/error.h"
#include "io/process.h"
#include "s3/credentials.h"

namespace immbackup {

void add_from_option(CLI::App& command, Context& context, std::string& from) {
    command.add_option("--from", from, "The bucket instead of the directory: s3://BUCKET/PREFIX")
        ->type_name("URL");
    add_setting_options(
        command, context,
        {"s3_region", "s3_endpoint_url", "s3_addressing", "s3_ca_file", "s3_bandwidth_limit",
         "s3_connect_timeout", "s3_stall_timeout", "s3_retry_timeout"});
}

void add_bucket_options(CLI::App& command, Context& context, BucketOptions& options) {
    add_from_option(command, context, options.from);
    command
        .add_option("--receipt", options.choice.receipt_version,
                    "With --from, where receipts disagree: the version of the one that counts")
        ->type_name("VERSION");
    command.add_flag("--unattested", options.choice.unattested,
                     "With --from: use objects that no receipt names");
}

std::unique_ptr<s3::Client> open_bucket(Context& context, const std::string& url) {
    const BucketUrl place = parse_bucket_url(url);
    CancelToken& cancel = context.cancel();
    forbid_core_files();
    context.flags["s3_bucket"] = place.bucket;
    context.flags["s3_prefix"] = place.prefix;
    SettingTexts texts;  // no other setting may keep anybody from reading a backup
    for (const auto& [name, origin] : context.setting_origins()) {
        if (name.starts_with("s3_")) {
            texts[name] = origin.text;
        }
    }
    const S3Settings settings = resolve_settings(texts).s3;
    return std::make_unique<s3::Client>(
        s3_options(settings),
        s3::system_credential_inputs(settings.region, settings.ca_file, cancel), cancel);
}

OpenSource open_source(Context& context, const BucketOptions& options) {
    OpenSource out;
    if (!options.from.empty()) {
        out.client = open_bucket(context, options.from);
        out.bucket = std::make_unique<BucketSource>(*out.client, options.choice);
        return out;
    }
    if (!options.choice.receipt_version.empty() || options.choice.unattested) {
        throw Error(ErrorCode::usage, "--receipt and --unattested are for --from", {},
                    "Say --from s3://BUCKET/PREFIX, or leave them out.");
    }
    out.store = context.open_store();
    return out;
}

std::string latest_artifact(const OpenSource& source, const std::string& database) {
    return source.bucket ? source.bucket->latest(database)
                         : latest_artifact(*source.store, database);
}

}  // namespace immbackup
