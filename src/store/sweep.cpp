// After a crash: what a dead process left is removed, or, where it was complete, finished.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "store/local_store.h"
#include "store/seal.h"

namespace immbackup {

namespace {

// Names that this program makes in incoming/.
bool is_ours_in_incoming(const std::string& name) {
    constexpr std::string_view kPart = ".part";
    if (name.starts_with(kProbePrefix)) {
        const std::string_view pid = std::string_view(name).substr(kProbePrefix.size());
        return !pid.empty() && pid.find_first_not_of("0123456789") == std::string_view::npos;
    }
    return (name.ends_with(kPart) && stem_of_file(name.substr(0, name.size() - kPart.size())));
}

bool is_regular(const fs::path& path, std::uint64_t& size) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return false;
    }
    size = static_cast<std::uint64_t>(status.st_size);
    return true;
}

}  // namespace

SweepReport LocalStore::sweep(const std::vector<std::string>& known) {
    SweepReport report;
    sweep_incoming(report);
    sweep_active(known, report);
    if (!report.removed.empty() || !report.completed.empty()) {
        sync_directory(layout_.incoming());
        sync_directory(layout_.active());
    }
    return report;
}

// What the system does not let us remove is nothing that this process made, and no reason to take
// no backup: it is reported.
void LocalStore::discard(const fs::path& path, const std::string& name, std::uint64_t size,
                         SweepReport& report) {
    try {
        unseal_and_remove(path);
        report.removed.push_back({name, size});
    } catch (const Error& error) {
        if (error.code() != ErrorCode::permission) {
            throw;
        }
        report.foreign.push_back(name);
    }
}

void LocalStore::sweep_incoming(SweepReport& report) {
    for (const std::string& name : list_directory(layout_.incoming())) {
        const fs::path path = layout_.incoming() / name;
        std::uint64_t size = 0;
        if (is_ours_in_incoming(name) && is_regular(path, size)) {
            discard(path, "incoming/" + name, size, report);
        } else {
            report.foreign.push_back("incoming/" + name);
        }
    }
}

void LocalStore::sweep_active(const std::vector<std::string>& known, SweepReport& report) {
    std::set<std::string> stems;
    for (const std::string& name : list_directory(layout_.active())) {
        const auto stem = stem_of_file(name);
        std::uint64_t size = 0;
        if (stem && is_regular(layout_.active() / name, size)) {
            stems.insert(*stem);
        } else {
            report.foreign.push_back("active/" + name);
        }
    }
    for (const auto& stem : stems) {
        sweep_stem(stem, std::find(known.begin(), known.end(), stem) != known.end(), report);
    }
}

void LocalStore::sweep_stem(const std::string& stem, bool known, SweepReport& report) {
    if (known) {
        // Recorded as sealed: whatever is wrong with it now is for a verification to find, never to
        // remove.
        return;
    }
    const DumpFormat format = layout_.format_of(stem);
    const std::vector<fs::path> files{layout_.digest(stem, format), layout_.artifact(stem, format),
                                      layout_.manifest(stem, format)};
    std::uint64_t size = 0;
    if (!problem_of(stem, CancelToken{})) {
        reseal(stem, seal_level_from_name(read_manifest(stem).seal).value_or(SealLevel::readonly));
        report.completed.push_back(stem);
        return;
    }
    // A publication that was cut off has no manifest yet, and nothing of it is sealed (publish()
    // sees to that when it takes one back, too). Anything else may be a damaged backup whose record
    // was lost: it is reported, and stays.
    const bool has_manifest = is_regular(files[2], size);
    for (const auto& file : files) {
        if (!is_regular(file, size)) {
            continue;
        }
        const std::string name = "active/" + file.filename().string();
        if (has_manifest || seal_of_file(file) != SealLevel::none) {
            report.foreign.push_back(name);
        } else {
            discard(file, name, size, report);
        }
    }
}

}  // namespace immbackup
