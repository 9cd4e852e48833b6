// --from s3://bucket/prefix: commands that read from the bucket alone.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "restore/bucket_source.h"

namespace immbackup {

struct BucketOptions {
    std::string from;  // empty: the directory
    BucketChoice choice;
};

// --from, --receipt, --unattested, and the settings that say how the store is reached.
void add_bucket_options(CLI::App& command, Context& context, BucketOptions& options);
// --from alone, with those settings.
void add_from_option(CLI::App& command, Context& context, std::string& from);

// A client for the bucket and prefix that the URL names. Error(usage), Error(config).
std::unique_ptr<s3::Client> open_bucket(Context& context, const std::string& url);

// What the options name: the bucket, or the directory.
struct OpenSource {
    std::unique_ptr<s3::Client> client;    // null: the directory
    std::unique_ptr<BucketSource> bucket;  // null: the directory
    std::unique_ptr<Store> store;          // null: the bucket
    const ArtifactSource& artifacts() const {
        return bucket ? static_cast<const ArtifactSource&>(*bucket) : *store;
    }
};
OpenSource open_source(Context& context, const BucketOptions& options);

// The newest good (attested) artifact of a database; Error(not_found).
std::string latest_artifact(const OpenSource& source, const std::string& database);

}  // namespace immbackup
