#include "backup/promise.h"

#include "backup/bodies.h"
#include "backup/records.h"
#include "core/events.h"
#include "core/timetable.h"

namespace immbackup {

void record_missed(AuditLog& audit, Time now, const std::string& reason) {
    const auto baseline = past_runs(audit.catalog()).baseline;
    const auto schedule = promised_schedule(audit.catalog());
    if (!baseline || !schedule) {
        return;
    }
    for (const auto& missed : missed_times(*schedule, *baseline, now)) {
        audit.append(event::kRunMissed, run_missed_body(missed, reason));
    }
}

void record_promise(AuditLog& audit, const Settings& settings, bool active) {
    const auto& promise = audit.catalog().promise;
    if (!promise.since.empty() && promise.schedule == settings.schedule &&
        promise.timezone == settings.timezone && promise.active == active) {
        return;
    }
    audit.append(event::kScheduleChanged, body_text({{"schedule", settings.schedule},
                                                     {"timezone", settings.timezone},
                                                     {"active", active}}));
}

}  // namespace immbackup
