#include "backup/artifact.h"

#include <fmt/format.h>

#include <chrono>

#include "core/names.h"
#include "dump/pipeline.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr const char* kTier = "hourly";

void enter(const ArtifactContext& context, ProgressState& state, const char* phase) {
    context.cancel.check();
    state.phase = phase;
    context.progress.update(state);
}

DumpJob dump_job(const ArtifactContext& context, const DumpItem& item,
                 const std::vector<std::string>& arguments) {
    DumpJob job;
    const DumpProgram& program = item.globals ? *context.pg_dumpall : context.pg_dump;
    job.command =
        pg_dump_command(program, context.target, arguments, item.database, context.settings.nice);
    job.program = item.globals ? "pg_dumpall" : "pg_dump";
    job.kind = item.globals ? DumpKind::globals : DumpKind::database;
    job.gzip_level = context.settings.compression.level;
    job.stall_timeout = context.settings.stall_timeout;
    return job;
}

// What the dump itself says of the artifact.
void describe_dump(Manifest& manifest, const DumpJob& job, const DumpOutcome& outcome) {
    manifest.snapshot_after = outcome.spawned;
    // pg_dump takes its snapshot before it writes anything; pg_dumpall reads as it goes.
    manifest.snapshot_before = job.kind == DumpKind::globals ? outcome.ended : outcome.first_byte;
    manifest.sql_size = outcome.scan.bytes;
    manifest.compression = fmt::format("gzip:{}", job.gzip_level);
    manifest.compressor = outcome.compressor;
    manifest.tables = outcome.scan.tables;
    manifest.rows = outcome.scan.rows;
    manifest.large_objects = outcome.scan.large_objects;
    manifest.large_object_bytes = outcome.scan.large_object_bytes;
    manifest.psql_required = psql_required(outcome.scan.restricted, manifest.server.version_num);
    manifest.warnings = outcome.warnings;
}

void describe_run(Manifest& manifest, const ArtifactContext& context) {
    manifest.run = context.run;
    manifest.server = context.discovery.server;
    manifest.tier = kTier;
    manifest.retain_until =
        manifest.snapshot_before + std::chrono::days(context.settings.effective_hourly_days());
    manifest.seal = seal_level_name(context.store.seal_level());
    manifest.audit_seq = context.audit.catalog().head_seq;
    manifest.audit_hash = context.audit.catalog().head_hash;
    manifest.instance = context.audit.catalog().instance;
    manifest.immbackup_version = IMMBACKUP_VERSION;
}

}  // namespace

Manifest make_artifact(const ArtifactContext& context, const DumpItem& item,
                       ProgressState progress) {
    progress.database = item.database;
    enter(context, progress, "connecting");
    Manifest manifest;
    manifest.globals = item.globals;
    manifest.artifact = item.globals ? globals_stem(context.run)
                                     : database_stem(context.run, item.database, context.sole);
    manifest.started = now();
    if (item.globals) {
        manifest.role_passwords = context.discovery.superuser;
        manifest.pg_dump_arguments =
            pg_dumpall_globals_arguments(context.settings, manifest.role_passwords);
        manifest.pg_dump_version = context.pg_dumpall->version;
    } else {
        manifest.database = discover_database(context.target, item.database, context.cancel);
        manifest.pg_dump_arguments = pg_dump_arguments(context.settings);
        manifest.pg_dump_version = context.pg_dump.version;
    }

    const std::string& directory = context.settings.directory;
    const auto database_size =
        static_cast<std::uint64_t>(std::max<std::int64_t>(manifest.database.size, 0));
    const SizeEstimate estimate = estimate_size(context.audit.catalog(), item, database_size);
    check_space(item, estimate, space_of(directory).available, directory);

    auto staged = context.store.stage(manifest.artifact);
    progress.bytes_total = estimate.sql_bytes;
    enter(context, progress, "dumping");
    DumpJob job = dump_job(context, item, manifest.pg_dump_arguments);
    job.sink = [&staged](std::span<const std::byte> bytes) { staged->write(bytes); };
    job.progress = progress;
    const DumpOutcome outcome = run_dump(job, context.cancel, context.progress);

    progress.bytes_in = progress.bytes_total = outcome.scan.bytes;
    progress.bytes_out = staged->size();
    enter(context, progress, "checking");
    staged->prove(context.cancel);

    enter(context, progress, "sealing");
    manifest.finished = now();
    manifest.size = staged->size();
    manifest.sha256 = staged->sha256();
    describe_dump(manifest, job, outcome);
    describe_run(manifest, context);
    context.store.publish(std::move(staged), manifest);
    return manifest;
}

}  // namespace immbackup
