// How long an artifact is kept: its tier, given when it is made, and the days of that tier.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog.h"
#include "core/settings.h"
#include "core/time.h"

namespace immbackup {

inline constexpr const char* kHourly = "hourly";
inline constexpr const char* kDaily = "daily";
inline constexpr const char* kWeekly = "weekly";

// Days of each tier, none of them unset.
struct RetentionDays {
    int hourly = 2;
    int daily = 7;
    int weekly = 28;
    std::chrono::days of(std::string_view tier) const;
    bool operator==(const RetentionDays&) const = default;
};
RetentionDays effective_days(const Settings& settings);

// The local day and ISO week (its Monday) of an instant, as days since 1970-01-01.
struct LocalDate {
    long day = 0;
    long week = 0;
    unsigned weekday = 0;  // Monday is 0
};
// Throws Error(config) for a time zone that is not known.
LocalDate local_date(Time time, std::string_view timezone);
std::string date_text(long day);  // "2026-01-18"

// The tier of an artifact of `subject` taken at `taken`: weekly where this subject has no weekly
// one of that ISO week, else daily where it has no daily or weekly one of that day, else hourly.
// What counts are sound artifacts; for an artifact that is itself anomalous the anomalous ones
// too, so that a row of bad dumps takes no more than one place of each kind.
std::string choose_tier(const Catalog& catalog, const Subject& subject, Time taken,
                        std::string_view timezone, bool anomalous);

// How an artifact of these figures falls short of the baseline, the newest sound one of its
// subject, a sentence; nothing where it does not. `percent`: below so much of it; 0: never.
// Small differences of small databases are none.
std::optional<std::string> find_anomaly(const ArtifactEntry* baseline, std::uint64_t sql_size,
                                        std::uint64_t rows, int percent);
// Null where there is none.
const ArtifactEntry* baseline_of(const Catalog& catalog, const Subject& subject);

// The stems of each subject, newest record first; pruned ones left out.
std::map<Subject, std::vector<const ArtifactEntry*>> by_subject(const Catalog& catalog);

}  // namespace immbackup
