#include "backup/inspect.h"

#include <fmt/format.h>

#include "backup/bodies.h"
#include "core/events.h"

namespace immbackup {

namespace {

std::string verified_body(const std::string& stem, const char* result, const std::string& problem,
                          const std::string& stamp) {
    Body body{{"artifact", stem}, {"result", result}};
    if (!problem.empty()) {
        body["problem"] = bounded_text(problem, 4000);
    }
    body["stamp"] = stamp;
    return body_text(body);
}

// As it is now; what cannot be read is as lost as what is wrong.
std::optional<Error> problem_now(const Store& store, const std::string& stem,
                                 const CancelToken& cancel) {
    try {
        return store.problem_of(stem, cancel);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) {
            throw;
        }
        return error;
    }
}

// A seal that cannot be set again is no reason to take no backup.
std::string reseal(Store& store, const std::string& stem, SealLevel level) {
    try {
        store.reseal(stem, level);
        return "Its seal had been lifted; it was sealed again.";
    } catch (const Error& error) {
        return "Its seal had been lifted, and cannot be set again: " + error.message();
    }
}

void inspect(Store& store, AuditLog& audit, const ArtifactEntry& entry, const CancelToken& cancel,
             Progress& progress) {
    const std::string stem = entry.artifact;
    const auto problem = problem_now(store, stem, cancel);
    if (problem) {
        const bool missing = problem->code() == ErrorCode::not_found;
        audit.append(event::kArtifactVerified,
                     verified_body(stem, missing ? "missing" : "corrupt", problem->message(),
                                   store.stamp(stem)));
        progress.alarm(event::kAlarmArtifactLost,
                       fmt::format("artifact {} is {}: {}", stem, missing ? "missing" : "corrupt",
                                   problem->message()));
        return;
    }
    std::string note;
    const auto promised = seal_level_from_name(entry.seal).value_or(SealLevel::readonly);
    if (store.seal_of(stem) < promised) {
        note = reseal(store, stem, promised);
        progress.warning(
            fmt::format("artifact {} is good, but its seal had been lifted. {}", stem, note));
    }
    audit.append(event::kArtifactVerified, verified_body(stem, "good", note, store.stamp(stem)));
}

}  // namespace

void inspect_artifacts(Store& store, AuditLog& audit, const CancelToken& cancel,
                       Progress& progress) {
    std::vector<std::string> changed;
    for (const auto& [stem, entry] : audit.catalog().artifacts) {
        cancel.check();
        if (entry.exists() && !entry.intended && store.stamp(stem) != entry.stamp) {
            changed.push_back(stem);
        }
    }
    for (const auto& stem : changed) {
        cancel.check();
        inspect(store, audit, audit.catalog().artifacts.at(stem), cancel, progress);
    }
}

}  // namespace immbackup
