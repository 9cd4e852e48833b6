// Bodies of the audit records that a run writes (core/events.h). Pure, and bounded: whatever a
// server or a program said, the body stays far below the longest line that the log takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/manifest.h"
#include "core/settings.h"
#include "core/timetable.h"
#include "store/store.h"

namespace immbackup {

// A database that could not be dumped; globals where the name is absent.
struct FailedDump {
    std::optional<std::string> database;
    Error error;
};

struct RunTotals {
    std::uint64_t artifacts = 0;
    std::uint64_t bytes = 0;
    std::uint64_t sql_bytes = 0;
    std::uint64_t rows = 0;
    double seconds = 0;
};

std::string run_requested_body(const std::string& run, const std::string& trigger,
                               const std::string& actor, const std::vector<std::string>& databases,
                               std::optional<Time> due = std::nullopt);
std::string run_missed_body(const MissedTimes& missed, const std::string& reason);
std::string run_started_body(const std::string& run, const std::vector<std::string>& databases,
                             bool globals);
// `stamp`: Store::stamp() of it.
// `upload`: it is to be uploaded.
std::string artifact_sealed_body(const Manifest& manifest, const std::string& stamp,
                                 bool upload = false);
std::string artifact_failed_body(const std::string& run, const FailedDump& failed);
std::string run_finished_body(const std::string& run, const RunTotals& totals,
                              const std::vector<std::string>& warnings);
std::string run_failed_body(const std::string& run, const RunTotals& totals, const Error& error,
                            const std::vector<FailedDump>& failed);
std::string run_cancelled_body(const std::string& run, const RunTotals& totals, const Error& error,
                               const std::vector<std::string>& remaining);
std::string sweep_body(const SweepReport& report);
// What differs from the settings last recorded; nothing where nothing does.
std::optional<std::string> settings_changed_body(const SettingTexts& before,
                                                 const SettingTexts& after, const std::string& at);

// The error of a run in which these databases failed: one says what it said, with its database;
// several are named in the message, each with its reason in the detail.
Error run_error(const std::vector<FailedDump>& failed, std::size_t wanted);

}  // namespace immbackup
