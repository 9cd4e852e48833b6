// What another retention means for the restore points there will be: recorded beside the change of
// the settings, and told, until somebody acknowledges it.
#pragma once

#include <optional>

#include "core/schedule.h"
#include "core/settings.h"
#include "core/time.h"
#include "io/progress.h"
#include "store/audit_log.h"

namespace immbackup {

// `before`: the settings as last recorded, empty where there were none. Does nothing where the days
// of each tier stay what they are.
void record_retention_change(AuditLog& audit, const SettingTexts& before, const Settings& after,
                             Time now, Progress& progress);

// The schedule that the settings ask for; nothing where there is none.
std::optional<Schedule> schedule_of(const Settings& settings);

}  // namespace immbackup
