// `immbackup show`

#include <fmt/format.h>

#include "cli/bucket.h"
#include "cli/commands.h"
#include "core/error.h"
#include "io/file.h"

namespace immbackup {

namespace {

void line(const char* name, const std::string& value) {
    fmt::print("{:<16} {}\n", name, printable(value));
}

// Receipts that disagree are shown before anything is believed.
void show_receipts(const BucketSource& bucket, const std::string& artifact) {
    for (const auto& entry : bucket.entries()) {
        if (entry.artifact != artifact) {
            continue;
        }
        line("state", std::string(attestation_name(entry.state)));
        if (!entry.problem.empty()) {
            line("problem", entry.problem);
        }
        for (const auto& [version, receipt] : entry.receipts) {
            line("receipt", version);
            line("  written",
                 fmt::format("{} by instance {}", format_time(receipt.written), receipt.instance));
            line("  sha256", receipt.sha256);
            for (const auto& [file, object] : receipt.objects) {
                line("  object", fmt::format("{} version {}", object.key, object.version_id));
            }
        }
    }
}

void show_seal(const OpenSource& source, const Manifest& m) {
    if (source.bucket) {
        line("seal", m.seal + " where it was made");
        line("lock", source.bucket->lock_now(m.artifact));
    } else {
        line("seal", fmt::format("{} when made, {} now", m.seal,
                                 seal_level_name(source.store->seal_of(m.artifact))));
    }
}

int show(Context& context, const BucketOptions& options, const std::string& artifact) {
    const OpenSource source = open_source(context, options);
    if (context.json) {
        const std::string text = source.artifacts().manifest_text(artifact);
        static_cast<void>(source.artifacts().read_manifest(artifact));
        fmt::print("{}", text);
        return 0;
    }
    if (source.bucket) {
        show_receipts(*source.bucket, artifact);
    }
    const Manifest m = source.artifacts().read_manifest(artifact);
    line("artifact", m.artifact);
    if (m.globals) {
        line("content",
             m.role_passwords ? "roles and tablespaces" : "roles without passwords, tablespaces");
    } else {
        line("database", m.database.name);
        line("owner", m.database.owner);
        line("encoding",
             fmt::format("{}, {} {}", m.database.encoding, m.database.locale_provider,
                         m.database.locale.empty() ? m.database.collate : m.database.locale));
    }
    line("server",
         fmt::format("PostgreSQL {} at {}:{}", m.server.version, m.server.host, m.server.port));
    line("dumped by",
         fmt::format("pg_dump {}, immbackup {}", m.pg_dump_version, m.immbackup_version));
    line("restore with", m.psql_required);
    line("snapshot", fmt::format("between {} and {}", format_time(m.snapshot_after),
                                 format_time(m.snapshot_before)));
    line("took", duration_text(std::chrono::duration<double>(m.finished - m.started).count()));
    line("size", fmt::format("{} ({} of SQL), {}", size_text(m.size), size_text(m.sql_size),
                             m.compression));
    line("sha256", m.sha256);
    line("content", fmt::format("{} rows in {} tables, {} large objects", m.rows, m.tables.size(),
                                m.large_objects));
    line("tier", fmt::format("{}, kept until {}", m.tier, format_time(m.retain_until)));
    show_seal(source, m);
    line("audit", fmt::format("after record {} ({})", m.audit_seq, m.audit_hash));
    for (const auto& warning : m.warnings) {
        line("warning", warning);
    }
    return 0;
}

}  // namespace

void register_show(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("show", "Show what the manifest says of an artifact");
    auto artifact = std::make_shared<std::string>();
    command->add_option("artifact", *artifact, "Its name, as `immbackup list` shows it")
        ->required();
    auto bucket = std::make_shared<BucketOptions>();
    add_setting_options(*command, context, {});
    add_bucket_options(*command, context, *bucket);
    add_json_option(*command, context);
    add_examples(*command, {"immbackup show 20260118T120000Z.shop",
                            "immbackup show 20260118T120000Z.shop --json | jq .tables",
                            "immbackup show 20260118T120000Z.shop --from s3://backups/prod"});
    command->callback([&context, artifact, bucket] {
        context.action = [&context, artifact, bucket] { return show(context, *bucket, *artifact); };
    });
}

}  // namespace immbackup
