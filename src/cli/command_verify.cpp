// `immbackup verify`

#include <fmt/format.h>

#include <functional>

#include "backup/bodies.h"
#include "cli/bucket.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/events.h"
#include "restore/verify.h"

namespace immbackup {

namespace {

struct VerifyOptions {
    BucketOptions bucket;
    std::vector<std::string> artifacts;
    bool all = false;
    std::string latest;
};

std::string verified_body(const Verification& v) {
    Body body{{"artifact", v.artifact}, {"result", v.result}};
    if (!v.sha256.empty()) {
        body["sha256"] = v.sha256;
    }
    if (!v.problem.empty()) {
        body["problem"] = bounded_text(v.problem, 4000);
    }
    body["seconds"] = v.seconds;
    return body_text(body);
}

std::vector<std::string> wanted(const OpenSource& source, const VerifyOptions& options) {
    std::vector<std::string> stems = options.artifacts;
    if (!options.latest.empty()) {
        stems.push_back(latest_artifact(source, options.latest));
    }
    if (options.all) {
        if (source.bucket) {  // one that nothing vouches for is told as such, too
            for (const auto& entry : source.bucket->entries()) {
                stems.push_back(entry.artifact);
            }
        } else {
            for (const auto& entry : list_artifacts(*source.store)) {
                stems.push_back(entry.artifact);
            }
        }
    } else if (stems.empty()) {
        throw Error(ErrorCode::usage, "no artifact is named", {},
                    "Name artifacts, or say --all or --latest DATABASE.");
    }
    return stems;
}

// Where nothing can be written (a read-only copy, a vault whose helper is elsewhere) what is found
// is told all the same.
class Record {
  public:
    Record(Context& context, const Store* store) {
        attempt([&] {
            if (store != nullptr) {
                audit_.emplace(context.open_audit(*store));
            }
        });
    }
    void add(const Verification& v) {
        attempt([&] {
            if (audit_) {
                audit_->append(event::kArtifactVerified, verified_body(v));
            }
        });
    }

  private:
    void attempt(const std::function<void()>& step) {
        try {
            step();
        } catch (const Error& error) {
            print_warning("no audit record is written: " + error.message());
            audit_.reset();
        }
    }

    std::optional<AuditLog> audit_;
};

int verify(Context& context, const VerifyOptions& options) {
    CancelToken& cancel = context.cancel();
    const OpenSource source = open_source(context, options.bucket);
    const auto progress = context.make_progress();
    Record record(context, source.store.get());
    auto json = Json::array();
    std::vector<std::vector<std::string>> rows{{"ARTIFACT", "RESULT", "ROWS", "TOOK", "PROBLEM"}};
    if (source.bucket) {
        rows.front().emplace_back("LOCK");
    }
    bool bad = false;
    for (const auto& stem : wanted(source, options)) {
        Verification v = verify_artifact(source.artifacts(), stem, cancel, *progress);
        if (const BucketEntry* doubtful = source.bucket ? source.bucket->doubtful(stem) : nullptr) {
            v.result = attestation_name(doubtful->state);
        }
        bad = bad || v.result != "good";
        record.add(v);
        json.push_back({{"artifact", v.artifact},
                        {"result", v.result},
                        {"problem", v.problem},
                        {"sha256", v.sha256},
                        {"rows", v.manifest.rows},
                        {"seconds", v.seconds}});
        rows.push_back({v.artifact, v.result, fmt::format("{}", v.manifest.rows),
                        duration_text(v.seconds), v.problem});
        if (source.bucket) {
            const std::string lock = v.result == "good" ? source.bucket->lock_now(stem) : "";
            json.back()["lock"] = lock;
            rows.back().push_back(lock);
        }
    }
    if (context.json) {
        print_json(json);
    } else {
        print_table(rows);
    }
    return bad ? static_cast<int>(ErrorCode::corrupt) : 0;
}

}  // namespace

void register_verify(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand(
        "verify", "Check artifacts: digest, decompression, closing line, rows of every table");
    auto options = std::make_shared<VerifyOptions>();
    command->add_option("artifact", options->artifacts, "Names, as `immbackup list` shows them");
    command->add_flag("--all", options->all, "Every artifact of the directory");
    command->add_option("--latest", options->latest, "The newest good one of this database")
        ->type_name("DATABASE");
    add_setting_options(*command, context, {"vault_helper"});
    add_bucket_options(*command, context, options->bucket);
    add_json_option(*command, context);
    add_quiet_option(*command, context);
    add_examples(*command, {"immbackup verify 20260118T120000Z.shop",
                            "immbackup verify --all --json", "immbackup verify --latest shop",
                            "immbackup verify --all --from s3://backups/prod"});
    command->callback([&context, options] {
        context.action = [&context, options] { return verify(context, *options); };
    });
}

}  // namespace immbackup
