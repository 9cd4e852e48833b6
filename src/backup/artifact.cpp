#include "backup/artifact.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/records.h"
#include "core/error.h"
#include "core/events.h"
#include "dump/pipeline.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// What must be left beside the dump itself: manifest, log, other writers.
constexpr std::uint64_t kSpaceMargin = 16ULL * 1024 * 1024;
// Growth since the last artifact that the estimate allows for: a tenth.
constexpr std::uint64_t kGrowthDivisor = 10;
constexpr std::uint64_t kCompressionGuess = 4;

Time retain_until(Time taken, const Settings& settings) {
    return taken + std::chrono::days{settings.effective_hourly_days()};
}

// The manifest's part that is the same for databases and globals.
Manifest base_manifest(const RunContext& context, const std::string& stem) {
    Manifest manifest;
    manifest.artifact = stem;
    manifest.run = context.run;
    manifest.server = context.server;
    manifest.started = now();
    manifest.tier = "hourly";
    manifest.instance = context.audit.catalog().instance;
    manifest.immbackup_version = IMMBACKUP_VERSION;
    return manifest;
}

void show_phase(const RunContext& context, const char* phase, const std::string& database) {
    ProgressState state = context.state;
    state.phase = phase;
    state.database = database;
    context.progress.update(state);
}

void enter_phase(const RunContext& context, const char* phase, const std::string& database) {
    show_phase(context, phase, database);
    context.cancel.check();
}

void take_over(Manifest& manifest, const DumpOutcome& outcome, const Settings& settings) {
    manifest.finished = outcome.ended;
    manifest.snapshot_after = outcome.spawned;
    manifest.snapshot_before = outcome.first_byte;
    manifest.retain_until = retain_until(manifest.snapshot_before, settings);
    manifest.compression = fmt::format("gzip:{}", settings.compression.level);
    manifest.compressor = outcome.compressor;
    manifest.sql_size = outcome.scan.bytes;
    manifest.tables = outcome.scan.tables;
    manifest.rows = outcome.scan.rows;
    manifest.large_objects = outcome.scan.large_objects;
    manifest.large_object_bytes = outcome.scan.large_object_bytes;
    manifest.psql_required = psql_required(outcome.scan.restricted, manifest.server.version_num);
    manifest.warnings.insert(manifest.warnings.end(), outcome.warnings.begin(),
                             outcome.warnings.end());
}

// Runs the dump into a staged file, proves it, publishes it, records it.
void dump_and_publish(const RunContext& context, const DumpProgram& program, DumpJob job,
                      Manifest& manifest) {
    const Settings& settings = context.request.settings;
    const std::string database = manifest.database.name;
    auto staged = context.store.stage(manifest.artifact);
    job.program = manifest.globals ? "pg_dumpall" : "pg_dump";
    job.kind = manifest.globals ? DumpKind::globals : DumpKind::database;
    job.gzip_level = settings.compression.level;
    job.stall_timeout = settings.stall_timeout;
    job.sink = [&staged](std::span<const std::byte> bytes) { staged->write(bytes); };
    job.progress = context.state;
    job.progress.phase = "dumping";
    job.progress.database = database;
    job.progress.bytes_total =
        manifest.globals
            ? 0
            : static_cast<std::uint64_t>(std::max<std::int64_t>(manifest.database.size, 0));
    manifest.pg_dump_version = program.version;
    const DumpOutcome outcome = run_dump(job, context.cancel, context.progress);
    take_over(manifest, outcome, settings);

    enter_phase(context, "checking", database);
    staged->prove(context.cancel);
    manifest.size = staged->size();
    manifest.sha256 = staged->sha256();

    enter_phase(context, "sealing", database);
    manifest.seal = seal_level_name(context.store.seal_level());
    manifest.audit_seq = context.audit.catalog().head_seq;
    manifest.audit_hash = context.audit.catalog().head_hash;
    context.store.publish(std::move(staged), manifest);

    // From here on nothing may stop it: what is published gets its record.
    show_phase(context, "recording", database);
    context.audit.append(event::kArtifactSealed, artifact_sealed_body(manifest));
}

}  // namespace

std::uint64_t expected_size(const Catalog& catalog, const DatabaseProperties& database) {
    const ArtifactEntry* last = nullptr;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (!entry.globals && entry.database == database.name &&
            (last == nullptr || entry.seq > last->seq)) {
            last = &entry;
        }
    }
    if (last != nullptr) {
        return last->size + last->size / kGrowthDivisor;
    }
    return database.size > 0 ? static_cast<std::uint64_t>(database.size) / kCompressionGuess : 0;
}

void check_space(const Space& space, std::uint64_t expected, const std::string& database) {
    const std::uint64_t needed = expected + kSpaceMargin;
    if (space.available < needed) {
        throw Error(
            ErrorCode::no_space,
            fmt::format("not enough space for the dump of database \"{}\"", database),
            fmt::format("About {} bytes are needed, {} are available in the backup directory.",
                        needed, space.available),
            "Free space there, or move immbackup.directory to a larger file system.");
    }
}

Manifest make_artifact(const RunContext& context, const std::string& database, bool sole) {
    enter_phase(context, "connecting", database);
    Manifest manifest = base_manifest(context, database_stem(context.run, database, sole));
    manifest.database = discover_database(context.target, database, context.cancel);
    check_space(space_of(context.store.layout().root),
                expected_size(context.audit.catalog(), manifest.database), database);
    manifest.pg_dump_arguments = pg_dump_arguments(context.request.settings);
    DumpJob job;
    job.command =
        pg_dump_command(context.pg_dump, context.target, manifest.pg_dump_arguments, database, 0);
    dump_and_publish(context, context.pg_dump, std::move(job), manifest);
    return manifest;
}

Manifest make_globals(const RunContext& context) {
    enter_phase(context, "connecting", "");
    Manifest manifest = base_manifest(context, globals_stem(context.run));
    manifest.globals = true;
    manifest.role_passwords = context.role_passwords;
    if (!context.role_passwords) {
        manifest.warnings.emplace_back(
            "role passwords may not be read: the globals were dumped without them");
        context.progress.warning(manifest.warnings.back());
    }
    check_space(space_of(context.store.layout().root), 0, "globals");
    manifest.pg_dump_arguments =
        pg_dumpall_globals_arguments(context.request.settings, context.role_passwords);
    DumpJob job;
    job.command =
        pg_dump_command(*context.pg_dumpall, context.target, manifest.pg_dump_arguments, "", 0);
    dump_and_publish(context, *context.pg_dumpall, std::move(job), manifest);
    return manifest;
}

}  // namespace immbackup
