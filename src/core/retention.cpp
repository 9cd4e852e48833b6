#include "core/retention.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/schedule.h"
#include "core/zone.h"

namespace immbackup {

namespace {

constexpr std::uint64_t kSmallSql = 64 * 1024;
constexpr std::uint64_t kFewRows = 100;
constexpr std::uint64_t kSomeRows = 10;

bool counts(const ArtifactEntry& entry, bool anomalous) {
    return anomalous ? entry.good() : entry.sound();
}

// Less than so many percent of what it was, and less by more than `noise`.
bool fell(std::uint64_t was, std::uint64_t is, int percent, std::uint64_t noise) {
    return is < was && was - is > noise &&
           static_cast<double>(is) * 100 < static_cast<double>(was) * percent;
}

}  // namespace

std::chrono::days RetentionDays::of(std::string_view tier) const {
    return std::chrono::days(tier == kWeekly ? weekly : tier == kDaily ? daily : hourly);
}

RetentionDays effective_days(const Settings& settings) {
    constexpr RetentionDays kDefault;
    const auto days = [&settings](int own, int standard) {
        return own > 0 ? own : settings.retention_days > 0 ? settings.retention_days : standard;
    };
    return {days(settings.retention_hourly_days, kDefault.hourly),
            days(settings.retention_daily_days, kDefault.daily),
            days(settings.retention_weekly_days, kDefault.weekly)};
}

LocalDate local_date(Time time, std::string_view timezone) {
    if (const auto problem = timezone_problem(timezone)) {
        throw Error(ErrorCode::config, fmt::format("invalid time zone \"{}\"", timezone), *problem);
    }
    const auto local = Zone(timezone).to_local(std::chrono::floor<std::chrono::seconds>(time));
    const long day = date::floor<date::days>(local).time_since_epoch().count();
    // 1970-01-01 was a Thursday.
    const auto weekday = static_cast<unsigned>(((day + 3) % 7 + 7) % 7);
    return {day, day - static_cast<long>(weekday), weekday};
}

std::string date_text(long day) {
    return format_time(Time(std::chrono::days(day))).substr(0, 10);
}

std::string choose_tier(const Catalog& catalog, const Subject& subject, Time taken,
                        std::string_view timezone, bool anomalous) {
    const LocalDate today = local_date(taken, timezone);
    bool has_weekly = false;  // in this week
    bool has_daily = false;   // on this day, of either kind
    for (const auto& [stem, entry] : catalog.artifacts) {
        const auto time = parse_time(entry.taken);
        // No local day or week reaches further.
        if (entry.tier == kHourly || !time ||
            std::chrono::abs(*time - taken) > std::chrono::days(9) || Subject(entry) != subject ||
            !counts(entry, anomalous)) {
            continue;
        }
        const LocalDate date = local_date(*time, timezone);
        has_weekly = has_weekly || (entry.tier == kWeekly && date.week == today.week);
        has_daily = has_daily || date.day == today.day;
    }
    return !has_weekly ? kWeekly : !has_daily ? kDaily : kHourly;
}

const ArtifactEntry* baseline_of(const Catalog& catalog, const Subject& subject) {
    const ArtifactEntry* newest = nullptr;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (entry.sound() && Subject(entry) == subject &&
            (newest == nullptr || entry.seq > newest->seq)) {
            newest = &entry;
        }
    }
    return newest;
}

std::optional<std::string> find_anomaly(const ArtifactEntry* baseline, std::uint64_t sql_size,
                                        std::uint64_t rows, int percent) {
    if (baseline == nullptr || percent == 0) {
        return std::nullopt;
    }
    if (fell(baseline->rows, rows, percent, kFewRows) ||
        (rows == 0 && baseline->rows >= kSomeRows)) {
        return fmt::format("It has {} rows, where {} has {}.", rows, baseline->artifact,
                           baseline->rows);
    }
    if (fell(baseline->sql_size, sql_size, percent, kSmallSql)) {
        return fmt::format("It has {} bytes of SQL, where {} has {}.", sql_size, baseline->artifact,
                           baseline->sql_size);
    }
    return std::nullopt;
}

std::map<Subject, std::vector<const ArtifactEntry*>> by_subject(const Catalog& catalog) {
    std::map<Subject, std::vector<const ArtifactEntry*>> out;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (entry.exists()) {
            out[Subject(entry)].push_back(&entry);
        }
    }
    for (auto& [subject, entries] : out) {
        std::sort(entries.begin(), entries.end(),
                  [](const auto* a, const auto* b) { return a->seq > b->seq; });
    }
    return out;
}

}  // namespace immbackup
