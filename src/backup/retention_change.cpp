#include "backup/retention_change.h"

#include <fmt/format.h>

#include "backup/bodies.h"
#include "core/error.h"
#include "core/events.h"
#include "core/forecast.h"

namespace immbackup {

namespace {

// Nothing where what was recorded is no settings of this version.
std::optional<RetentionDays> days_of(const SettingTexts& texts) {
    try {
        return effective_days(resolve_settings(texts));
    } catch (const Error&) {
        return std::nullopt;
    }
}

Body days_body(const RetentionDays& days) {
    return {{"hourly", days.hourly}, {"daily", days.daily}, {"weekly", days.weekly}};
}

}  // namespace

std::optional<Schedule> schedule_of(const Settings& settings) {
    if (settings.schedule.empty()) {
        return std::nullopt;
    }
    return Schedule::parse(settings.schedule, settings.timezone);
}

void record_retention_change(AuditLog& audit, const SettingTexts& before, const Settings& after,
                             Time now, Progress& progress) {
    const auto was = before.empty() ? std::nullopt : days_of(before);
    const RetentionDays is = effective_days(after);
    // The catalog has the change already: what counts until it is acknowledged is the smaller one.
    const std::uint64_t locked = audit.catalog().lock_days;
    const bool longer_locks = was && !after.s3.bucket.empty() && locked != 0 &&
                              static_cast<std::uint64_t>(after.s3.object_lock_days) > locked;
    if (!was || (*was == is && !longer_locks)) {
        return;
    }
    std::string effect = fmt::format(
        "days kept: hourly {} instead of {}, daily {} instead of {}, "
        "weekly {} instead of {}",
        is.hourly, was->hourly, is.daily, was->daily, is.weekly, was->weekly);
    const std::string points = preview_text(preview_retention(
        audit.catalog(), schedule_of(after), after.timezone, *was, is, after.min_keep, now));
    if (!points.empty()) {
        effect += ": " + points;
    }
    if (longer_locks) {
        effect +=
            fmt::format("; uploads stay locked for {} days and not {} until this is acknowledged",
                        locked, after.s3.object_lock_days);
    }
    audit.append(event::kRetentionChanged, body_text({{"from", days_body(*was)},
                                                      {"to", days_body(is)},
                                                      {"effect", bounded_text(effect, 4000)}}));
    progress.alarm(event::kAlarmRetentionChanged,
                   fmt::format("the retention was changed, {}. Update the recovery plans, then say "
                               "so: immbackup.acknowledge_settings('...')",
                               effect));
}

}  // namespace immbackup
