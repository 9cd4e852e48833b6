#include "cli/listing.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "store/audit_log.h"

namespace immbackup {

namespace {

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(fs::symlink_status(path, ignored));
}

ArtifactEntry from_manifest(const Store& store, const std::string& stem) {
    ArtifactEntry entry;
    entry.artifact = stem;
    entry.run = parse_stem(stem)->run_id;
    try {
        const Manifest manifest = store.read_manifest(stem);
        entry.database = manifest.database.name;
        entry.globals = manifest.globals;
        entry.tier = manifest.tier;
        entry.taken = format_time(manifest.snapshot_before);
        entry.retain_until = format_time(manifest.retain_until);
        entry.size = manifest.size;
        entry.sql_size = manifest.sql_size;
        entry.rows = manifest.rows;
        entry.sha256 = manifest.sha256;
        entry.seal = manifest.seal;
        entry.state = "unrecorded";
    } catch (const Error&) {
        entry.state = "unreadable";
    }
    return entry;
}

}  // namespace

std::vector<ArtifactEntry> list_artifacts(const Store& store) {
    Catalog catalog = read_catalog(store.layout());
    std::erase_if(catalog.artifacts, [](const auto& item) { return !item.second.exists(); });
    for (auto& [stem, entry] : catalog.artifacts) {
        const Layout& layout = store.layout();
        const DumpFormat format = layout.format_of(stem);
        if (!is_there(layout.artifact(stem, format)) || !is_there(layout.digest(stem, format)) ||
            !is_there(layout.manifest(stem, format))) {
            entry.state = "missing";
        }
    }
    for (const auto& stem : store.list()) {
        if (!catalog.artifacts.contains(stem)) {
            catalog.artifacts[stem] = from_manifest(store, stem);
        }
    }
    std::vector<ArtifactEntry> out;
    for (auto& [stem, entry] : catalog.artifacts) {
        out.push_back(std::move(entry));
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const ArtifactEntry& a, const ArtifactEntry& b) { return a.run < b.run; });
    return out;
}

std::string latest_artifact(const Store& store, const std::string& database) {
    const auto all = list_artifacts(store);
    for (auto entry = all.rbegin(); entry != all.rend(); ++entry) {
        if (!entry->globals && entry->database == database &&
            (entry->state == "good" || entry->state == "unrecorded")) {
            return entry->artifact;
        }
    }
    throw Error(ErrorCode::not_found,
                fmt::format("there is no good artifact of database \"{}\"", database), {},
                "`immbackup list` shows the artifacts there are.");
}

}  // namespace immbackup
