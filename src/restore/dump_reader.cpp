#include "restore/dump_reader.h"

#include <fmt/format.h>

#include <map>

#include "core/digest.h"
#include "core/error.h"

namespace immbackup {

namespace {

Error differs(const Manifest& manifest, std::string why) {
    return {ErrorCode::corrupt,
            fmt::format("artifact \"{}\" is not what its manifest says", manifest.artifact),
            std::move(why), "Use another artifact, or another copy of this one."};
}

}  // namespace

std::string content_difference(const ScanResult& scan, const Manifest& manifest) {
    if (!scan.complete) {
        return scan.problem.empty() ? "The dump has no closing line." : scan.problem;
    }
    if (scan.bytes != manifest.sql_size) {
        return fmt::format("The dump has {} bytes; {} were written.", scan.bytes,
                           manifest.sql_size);
    }
    std::map<std::string_view, const TableContent*> found;
    for (const auto& table : scan.tables) {
        found[table.name] = &table;
    }
    for (const auto& promised : manifest.tables) {
        const auto at = found.find(promised.name);
        if (at == found.end()) {
            return fmt::format("Table {} is not in the dump.", promised.name);
        }
        if (at->second->rows != promised.rows || at->second->bytes != promised.bytes) {
            return fmt::format(
                "Table {} has {} rows in {} bytes; {} rows in {} bytes were written.",
                promised.name, at->second->rows, at->second->bytes, promised.rows, promised.bytes);
        }
    }
    if (scan.tables.size() != manifest.tables.size()) {
        return fmt::format("The dump has {} tables; {} were written.", scan.tables.size(),
                           manifest.tables.size());
    }
    if (scan.large_objects != manifest.large_objects ||
        scan.large_object_bytes != manifest.large_object_bytes) {
        return fmt::format(
            "The dump has {} large objects in {} bytes; {} in {} bytes were written.",
            scan.large_objects, scan.large_object_bytes, manifest.large_objects,
            manifest.large_object_bytes);
    }
    return {};
}

DumpReading read_dump(const ArtifactSource& source, const Manifest& manifest, const ByteSink& sql,
                      const char* phase, const CancelToken& cancel, Progress& progress) {
    if (const auto size = source.artifact_size(manifest.artifact); size != manifest.size) {
        throw differs(manifest,
                      fmt::format("The file has {} bytes; {} were written.", size, manifest.size));
    }
    DumpScanner scanner(manifest.globals ? DumpKind::globals : DumpKind::database);
    ProgressState state;
    state.phase = phase;
    state.database = manifest.database.name;
    state.bytes_total = manifest.sql_size;
    const auto decompressor =
        make_decompressor(manifest.format(), [&](std::span<const std::byte> bytes) {
            cancel.check();
            scanner.feed(bytes);
            state.bytes_in += bytes.size();
            state.table = scanner.current_table();
            if (sql) {
                sql(bytes);
            }
        });
    Sha256 digest;
    source.read_artifact(manifest.artifact, [&](std::span<const std::byte> block) {
        cancel.check();
        digest.update(block);
        state.bytes_out += block.size();
        decompressor->feed(block);
        progress.update(state);
    });
    decompressor->finish();
    DumpReading reading{digest.hex(), scanner.finish()};
    if (reading.sha256 != manifest.sha256) {
        throw differs(manifest, fmt::format("The file's SHA-256 is {}; {} was written.",
                                            reading.sha256, manifest.sha256));
    }
    if (auto difference = content_difference(reading.scan, manifest); !difference.empty()) {
        throw differs(manifest, std::move(difference));
    }
    return reading;
}

}  // namespace immbackup
