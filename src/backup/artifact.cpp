#include "backup/artifact.h"

#include <fmt/format.h>

#include <chrono>

#include "core/names.h"
#include "core/retention.h"
#include "dump/pipeline.h"
#include "io/clock.h"
#include "io/cores.h"

namespace immbackup {

namespace {

// How often the free space is looked at while a dump is written.
constexpr std::uint64_t kSpaceCheck = 16ULL * 1024 * 1024;

void enter(const ArtifactContext& context, ProgressState& state, const char* phase) {
    context.cancel.check();
    state.phase = phase;
    context.progress.update(state);
}

DumpJob dump_job(const ArtifactContext& context, const DumpItem& item,
                 const std::vector<std::string>& arguments) {
    DumpJob job;
    const DumpProgram& program = item.globals ? *context.pg_dumpall : context.pg_dump;
    job.command = pg_dump_command(program, context.target, arguments, item.database);
    job.program = item.globals ? "pg_dumpall" : "pg_dump";
    job.kind = item.globals ? DumpKind::globals : DumpKind::database;
    job.compression = context.settings.compression;
    job.threads = compression_threads(context.settings.compression_threads);
    job.rate_limit = context.settings.rate_limit;
    job.stall_timeout = context.settings.stall_timeout;
    return job;
}

// What the dump itself says of the artifact.
void describe_dump(Manifest& manifest, const DumpJob& job, const DumpOutcome& outcome) {
    manifest.snapshot_after = outcome.spawned;
    // pg_dump takes its snapshot before it writes anything; pg_dumpall reads as it goes.
    manifest.snapshot_before = job.kind == DumpKind::globals ? outcome.ended : outcome.first_byte;
    manifest.sql_size = outcome.scan.bytes;
    manifest.compression = job.compression.text();
    manifest.compressor = outcome.compressor;
    manifest.tables = outcome.scan.tables;
    manifest.rows = outcome.scan.rows;
    manifest.large_objects = outcome.scan.large_objects;
    manifest.large_object_bytes = outcome.scan.large_object_bytes;
    manifest.psql_required = psql_required(outcome.scan.restricted, manifest.server.version_num);
    manifest.warnings = outcome.warnings;
}

// Writes to the staged file, which an upload follows from its first byte on, and ends the dump
// where it would take the space that must stay free: the estimate may have been wrong, and others
// write too.
ByteSink spending_sink(StagedArtifact& staged, const std::string& stem, const Settings& settings,
                       RunUploads& uploads) {
    return [&staged, &stem, &settings, &uploads,
            checked = std::uint64_t{0}](std::span<const std::byte> bytes) mutable {
        const bool first = staged.size() == 0;
        staged.write(bytes);
        if (first) {
            uploads.begin(staged, stem);
        }
        uploads.grown_to(staged.size());
        if (staged.size() - checked < kSpaceCheck) {
            return;
        }
        checked = staged.size();
        const std::uint64_t available = space_of(settings.directory).available;
        if (available < settings.min_free) {
            throw Error(ErrorCode::no_space, "the dump would leave too little space",
                        fmt::format("{} bytes are free in \"{}\", {} must be (immbackup.min_free).",
                                    available, settings.directory, settings.min_free),
                        "Free space in the backup directory, or enlarge its file system.");
        }
    };
}

// How long it is going to be kept: of the tiers that it may get, depending on what will be in it,
// the shorter one. A store that seals with a date lengthens it where it was the other.
Staging staging_of(const ArtifactContext& context, const DumpItem& item, const std::string& stem) {
    const auto still = context.audit.hold_still();
    const Catalog& catalog = context.audit.catalog();
    const Subject subject(item.database, item.globals);
    const RetentionDays days = effective_days(context.settings);
    const auto days_if = [&](bool anomalous) {
        return days.of(choose_tier(catalog, subject, now(), context.settings.timezone, anomalous));
    };
    // The globals count from their end, which comes soon after their first byte.
    constexpr std::chrono::minutes kSoon{10};
    const std::chrono::seconds keep = std::min(days_if(false), days_if(true));
    return {stem, context.settings.compression.format,
            item.globals ? std::string(kGlobalsStem) : subject_token(item.database),
            keep + (item.globals ? kSoon : std::chrono::minutes(0)), &context.cancel};
}

// `promised`: StagedArtifact::promised().
void describe_retention(Manifest& manifest, const ArtifactContext& context, const DumpItem& item,
                        std::optional<Time> promised) {
    const Catalog& catalog = context.audit.catalog();
    const Subject subject(item.database, item.globals);
    manifest.anomaly = find_anomaly(baseline_of(catalog, subject), manifest.sql_size, manifest.rows,
                                    context.settings.anomaly_percent)
                           .value_or("");
    manifest.tier = choose_tier(catalog, subject, manifest.snapshot_before,
                                context.settings.timezone, !manifest.anomaly.empty());
    manifest.retain_until =
        manifest.snapshot_before + effective_days(context.settings).of(manifest.tier);
    if (promised) {
        manifest.retain_until = std::max(manifest.retain_until, *promised);
    }
}

void describe_run(Manifest& manifest, const ArtifactContext& context) {
    manifest.run = context.run;
    manifest.server = context.discovery.server;
    const SealLevel level = context.store.seal_level();
    const SealLevel required = context.settings.require_seal;
    check_seal(level, required, level < required ? context.store.seal_reason() : "");
    manifest.seal = seal_level_name(level);
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
    const SizeEstimate estimate = [&] {
        const auto still = context.audit.hold_still();
        return estimate_size(context.audit.catalog(), item, database_size);
    }();
    check_space(item, estimate, space_of(directory).available, context.settings.min_free,
                directory);

    auto staged = context.store.stage(staging_of(context, item, manifest.artifact));
    progress.bytes_total = estimate.sql_bytes;
    enter(context, progress, "dumping");
    DumpJob job = dump_job(context, item, manifest.pg_dump_arguments);
    job.sink = spending_sink(*staged, manifest.artifact, context.settings, context.uploads);
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
    {
        const auto still = context.audit.hold_still();
        describe_retention(manifest, context, item, staged->promised());
        describe_run(manifest, context);
    }
    context.store.publish(std::move(staged), manifest);
    return manifest;
}

}  // namespace immbackup
