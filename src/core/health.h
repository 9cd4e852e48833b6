// How the backups are, judged by the catalog: when the next one is promised, whether they are
// overdue, and one verdict for a monitoring system.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/prune_plan.h"
#include "core/schedule.h"
#include "core/time.h"

namespace immbackup {

// What the log says of the schedule and of complete runs (those of everything that the settings
// name). Times that are no times count as absent.
struct PastRuns {
    std::optional<Time> since;     // the promise holds since then; nothing: there was none yet
    std::optional<Time> baseline;  // due times after it are open
    std::optional<Time> covered;   // the last good complete run was requested then; none yet: since
};
PastRuns past_runs(const Catalog& catalog);

// The schedule that the log has as promised; nothing where none is, where this server does not take
// scheduled runs, or where its time zone is not known here.
std::optional<Schedule> promised_schedule(const Catalog& catalog);

// Since when the backups are overdue (overdue_at() in core/timetable.h); nothing: they are not.
std::optional<Time> overdue_since(const Catalog& catalog, Time now);

// As Nagios, Icinga and systemd health checks want it.
enum class Verdict : int { ok = 0, warning = 1, critical = 2, unknown = 3 };
const char* verdict_name(Verdict verdict);  // "OK", "WARNING", …

struct Health {
    Verdict verdict = Verdict::unknown;
    std::string summary;            // one line
    std::optional<Time> last_good;  // end of the last good complete run
    std::optional<Time> next_due;
    std::optional<Time> overdue_since;
    std::uint64_t failures = 0;  // complete runs that failed since the last good one
};

// What is to be known about the artifacts there are, beside the runs.
struct Standing {
    std::uint64_t artifacts = 0;
    std::uint64_t bytes = 0;
    std::uint64_t holds = 0;
    std::vector<std::string> missing;    // and nobody has accepted it
    std::vector<std::string> corrupt;    // the same
    std::vector<std::string> anomalies;  // newest good artifacts that are anomalies, not accepted
    std::string newest_seal;             // of the newest artifact
    std::uint64_t outside_vault = 0;     // sealed weaker than a vault does
    std::uint64_t uploads_pending = 0;
    std::vector<std::string> not_locked;  // in the bucket without a lock that is proven and lasts,
                                          // or parked
};
Standing standing(const Catalog& catalog, Time now);

// `missing`: artifacts of the last good run whose files are not there. `max_age`: the last good
// complete run may not have ended longer ago. `plan`: what may be pruned now, where that is known.
Health judge(const Catalog& catalog, Time now, const std::vector<std::string>& missing,
             std::optional<std::chrono::seconds> max_age, const PrunePlan* plan = nullptr);

// Stems of the artifacts of the last good complete run.
std::vector<std::string> newest_artifacts(const Catalog& catalog);

}  // namespace immbackup
