// The rules of a run, without I/O: what it dumps, and how much space that takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/settings.h"

namespace immbackup {

// One artifact of a run.
struct DumpItem {
    std::string database;  // empty: the globals
    bool globals = false;
    std::string title() const;  // "database \"shop\"", "the globals"
};

// Why a list of databases cannot be asked for: names that are empty, given twice, or too long for
// a file name. Error(usage).
void check_names(const std::vector<std::string>& names);

// Whether the run dumps the globals: `auto` means no where databases are named, be it by the run.
bool wants_globals(const Settings& settings, const std::vector<std::string>& asked);
// What to dump: the run's own list, else the setting's, else what there is; the globals come last.
// Error(not_found) where there is nothing.
std::vector<DumpItem> plan_run(const Settings& settings, const std::vector<std::string>& asked,
                               const std::vector<std::string>& existing);

// Error(permission) where the seal that a run can reach is weaker than it must be. `reason`: why it
// is no more, a sentence.
void check_seal(SealLevel reached, SealLevel required, const std::string& reason);

// Bytes that the artifact will probably take, and why that is thought.
struct SizeEstimate {
    std::uint64_t bytes = 0;      // compressed
    std::uint64_t sql_bytes = 0;  // uncompressed, 0: unknown
    std::string reason;           // a sentence
};
SizeEstimate estimate_size(const Catalog& catalog, const DumpItem& item,
                           std::uint64_t database_size);
// Error(no_space) with the figures where it would not fit.
// `min_free`: the setting, in bytes.
void check_space(const DumpItem& item, const SizeEstimate& estimate, std::uint64_t available,
                 std::uint64_t min_free, const std::string& directory);

}  // namespace immbackup
