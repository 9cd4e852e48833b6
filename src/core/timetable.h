// When to run: due times out of a schedule, coalesced where several have passed, and retries after
// a failure. Pure: the time is always passed in. The scheduler process asks it, and starts the
// runs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/schedule.h"
#include "core/time.h"

namespace immbackup {

// Due times that no run served: one, or a range of them where there are too many to list.
struct MissedTimes {
    Time first;
    Time last;  // the same, for a single one
    bool operator==(const MissedTimes&) const = default;
};

// The last due time in (after, until].
std::optional<Time> latest_due(const Schedule& schedule, Time after, Time until);
// All due times in (after, until], oldest first; what goes beyond kMaxMissed is one range at the
// end.
inline constexpr std::size_t kMaxMissed = 400;
std::vector<MissedTimes> missed_times(const Schedule& schedule, Time after, Time until);

// From when on the backups are overdue, if none is good until then: one period, but at most an
// hour, after the first due time since `covered`, the time at which the last good run was
// requested. A run that is going on since a later time than that due time counts as that due time's
// run for one more period.
std::optional<Time> overdue_at(const Schedule& schedule, Time covered,
                               std::optional<Time> running_since = std::nullopt);

// Whether the last good run, requested at `covered`, is older than one period: the smaller one of
// the two around the last due time.
bool older_than_a_period(const Schedule& schedule, Time covered, Time now);

class Timetable {
  public:
    // `random` gives numbers from 0 to 1, for the jitter of retries.
    explicit Timetable(std::function<double()> random) : random_(std::move(random)) {}

    struct Due {
        std::string trigger;      // "schedule", "retry", "catch_up"
        std::optional<Time> due;  // the due time that the run serves; none: it was served before
        std::vector<MissedTimes> missed;  // what no run serves, to be recorded with it
    };
    enum class End { good, failed, cancelled };

    // The due times of this schedule (none: there are none) after `baseline` are ours from now on.
    // A retry that was planned is kept.
    void follow(std::optional<Schedule> schedule, Time baseline);
    // One extra run, as soon as possible.
    void catch_up() { catch_up_ = true; }

    bool is_due(Time now) const;
    // What is to run now; then run() or pass().
    std::optional<Due> take(Time now);
    // Due times up to now are somebody else's: no run, no record.
    void pass(Time now);
    // The run of the last take() has ended. `recorded`: its request is in the audit log, and with
    // it what it serves and what was missed.
    void ended(End end, bool recorded, Time now);

    // When is_due() becomes true by itself; nothing: never.
    std::optional<Time> wake_at() const;
    std::optional<Time> next_due() const { return next_due_; }
    std::optional<Time> retry_at() const { return retry_at_; }
    unsigned attempts() const { return attempts_; }  // failed ones since the last due time

  private:
    void advance(Time baseline);
    void mind_the_clock(Time now);
    std::optional<Due> take_scheduled(Time now);

    std::function<double()> random_;
    std::optional<Schedule> schedule_;
    Time baseline_{};
    std::optional<Time> next_due_;
    bool catch_up_ = false;
    std::optional<Time> retry_at_;
    unsigned attempts_ = 0;
    std::optional<Due> taken_;
    std::optional<Due> unrecorded_;  // taken once, but its run never came into the audit log
};

}  // namespace immbackup
