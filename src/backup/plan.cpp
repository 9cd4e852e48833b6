#include "backup/plan.h"

#include <fmt/format.h>

#include <set>

#include "core/error.h"

namespace immbackup {

namespace {

// "<run id>.<name, each byte as %XX>.sql.zst.manifest.json.part" has to fit a file name.
constexpr std::size_t kMaxDatabaseName = 70;
// For the manifest, the audit log and what other programs write meanwhile.
constexpr std::uint64_t kSpaceMargin = 16ULL * 1024 * 1024;
// Compressed plain SQL is seldom more than this share of a database with its indexes.
constexpr std::uint64_t kDatabaseShare = 4;

std::string megabytes(std::uint64_t bytes) {
    return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace

std::string DumpItem::title() const {
    return globals ? std::string("the globals") : fmt::format("database \"{}\"", database);
}

void check_names(const std::vector<std::string>& names) {
    std::set<std::string> seen;
    for (const auto& name : names) {
        if (name.empty() || name.find('\0') != std::string::npos) {
            throw Error(ErrorCode::usage, "a database name is empty or holds a zero byte");
        }
        if (name.size() > kMaxDatabaseName) {
            throw Error(ErrorCode::usage, fmt::format("database name \"{}\" is too long", name),
                        fmt::format("It may have at most {} bytes.", kMaxDatabaseName));
        }
        if (!seen.insert(name).second) {
            throw Error(ErrorCode::usage, fmt::format("database \"{}\" is given twice", name));
        }
    }
}

bool wants_globals(const Settings& settings, const std::vector<std::string>& asked) {
    return settings.dump_globals == GlobalsMode::on || (settings.globals_wanted() && asked.empty());
}

std::vector<DumpItem> plan_run(const Settings& settings, const std::vector<std::string>& asked,
                               const std::vector<std::string>& existing) {
    const auto& names =
        !asked.empty() ? asked : (!settings.databases.empty() ? settings.databases : existing);
    if (names.empty()) {
        throw Error(ErrorCode::not_found, "there is no database to back up",
                    "The server has no database that allows connections and is no template.",
                    "Name the databases in the setting immbackup.databases (DB_NAME).");
    }
    std::vector<DumpItem> items;
    items.reserve(names.size() + 1);
    for (const auto& name : names) {
        items.push_back({name, false});
    }
    if (wants_globals(settings, asked)) {
        items.push_back({"", true});
    }
    return items;
}

void check_seal(SealLevel reached, SealLevel required, const std::string& reason) {
    if (reached < required) {
        throw Error(ErrorCode::permission,
                    fmt::format("backups can be sealed as \"{}\" only, and must be as \"{}\" "
                                "(immbackup.require_seal)",
                                seal_level_name(reached), seal_level_name(required)),
                    reason,
                    "Restore what the stronger seal needs, or accept the weaker one in "
                    "immbackup.require_seal (BACKUP_REQUIRE_SEAL). See docs/vault.md.");
    }
}

SizeEstimate estimate_size(const Catalog& catalog, const DumpItem& item,
                           std::uint64_t database_size) {
    const ArtifactEntry* last = nullptr;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (entry.globals == item.globals && entry.database == item.database &&
            entry.state == "good" && (last == nullptr || entry.seq > last->seq)) {
            last = &entry;
        }
    }
    if (last != nullptr) {
        return {last->size + last->size / 10, last->sql_size,
                fmt::format("Its last artifact has {}.", megabytes(last->size))};
    }
    return {database_size / kDatabaseShare, database_size,
            fmt::format("The database has {}.", megabytes(database_size))};
}

void check_space(const DumpItem& item, const SizeEstimate& estimate, std::uint64_t available,
                 std::uint64_t min_free, const std::string& directory) {
    const std::uint64_t reserve = std::max(kSpaceMargin, min_free);
    const std::uint64_t needed = estimate.bytes + reserve;
    if (needed <= available) {
        return;
    }
    throw Error(
        ErrorCode::no_space, fmt::format("not enough space to dump {}", item.title()),
        fmt::format("About {} are needed, {} of them as a reserve{}, and {} are available "
                    "in \"{}\". {}",
                    megabytes(needed), megabytes(reserve),
                    min_free > kSpaceMargin ? " (immbackup.min_free)" : "", megabytes(available),
                    directory, estimate.reason),
        "Free space in the backup directory, or enlarge its file system. What may be "
        "removed was removed already; view immbackup.retention says what is kept, and why.");
}

}  // namespace immbackup
