#include "core/timetable.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace immbackup {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// As Vixie cron: a clock that was set back further than this was plainly wrong before, and its new
// time counts. Up to it nothing runs until the old time is reached again, so that nothing runs
// twice.
constexpr milliseconds kClockCorrection = 3h;

constexpr milliseconds kFirstRetry = 60s;
constexpr milliseconds kRetryCeiling = 15min;
constexpr double kJitter = 0.2;
// A retry that close to the next due time would only delay it.
constexpr milliseconds kRetryMargin = 60s;

constexpr milliseconds kOverdueGrace = 1h;

}  // namespace

std::optional<Time> latest_due(const Schedule& schedule, Time after, Time until) {
    // Windows that grow, so that few due times are walked whatever the schedule.
    constexpr std::array<milliseconds, 7> kWindows{
        1min, 1h, 24h, 24h * 32, 24h * 366, 24h * 366 * 8, 24h * 366 * 41};
    for (const auto window : kWindows) {
        const Time begin = std::max(after, until - window);
        std::optional<Time> last;
        for (auto time = schedule.next_after(begin); time && *time <= until;
             time = schedule.next_after(*time)) {
            last = time;
        }
        if (last || begin == after) {
            return last;
        }
    }
    return std::nullopt;
}

std::vector<MissedTimes> missed_times(const Schedule& schedule, Time after, Time until) {
    std::vector<MissedTimes> out;
    for (auto time = schedule.next_after(after); time && *time <= until;
         time = schedule.next_after(*time)) {
        if (out.size() == kMaxMissed) {
            out.push_back({*time, latest_due(schedule, after, until).value_or(*time)});
            break;
        }
        out.push_back({*time, *time});
    }
    return out;
}

std::optional<Time> overdue_at(const Schedule& schedule, Time covered,
                               std::optional<Time> running_since) {
    auto due = schedule.next_after(covered);
    if (due && running_since && *running_since >= *due) {
        due = schedule.next_after(*running_since);
    }
    if (!due) {
        return std::nullopt;
    }
    const auto next = schedule.next_after(*due);
    return *due + (next ? std::min<milliseconds>(*next - *due, kOverdueGrace) : kOverdueGrace);
}

bool older_than_a_period(const Schedule& schedule, Time covered, Time now) {
    const auto due = latest_due(schedule, covered, now);
    if (!due) {
        return false;
    }
    auto period = milliseconds::max();
    if (const auto next = schedule.next_after(*due)) {
        period = *next - *due;
    }
    constexpr milliseconds kFarBack = 24h * 366;
    if (const auto before = latest_due(schedule, *due - kFarBack, *due - milliseconds{1})) {
        period = std::min<milliseconds>(period, *due - *before);
    }
    // A run is requested a little after its due time: a tenth of a period off is not younger.
    return period == milliseconds::max() || now - covered >= period - period / 10;
}

void Timetable::advance(Time baseline) {
    baseline_ = baseline;
    next_due_ = schedule_ ? schedule_->next_after(baseline_) : std::nullopt;
}

void Timetable::follow(std::optional<Schedule> schedule, Time baseline) {
    schedule_ = std::move(schedule);
    advance(baseline);
}

bool Timetable::is_due(Time now) const {
    return catch_up_ || (next_due_ && *next_due_ <= now) || (retry_at_ && *retry_at_ <= now) ||
           baseline_ > now + kClockCorrection;
}

void Timetable::mind_the_clock(Time now) {
    if (baseline_ > now + kClockCorrection) {
        advance(now);
    }
    const auto latest = now + 2 * kRetryCeiling;
    if (retry_at_ && *retry_at_ > latest) {
        retry_at_ = latest;
    }
}

std::optional<Timetable::Due> Timetable::take(Time now) {
    mind_the_clock(now);
    auto due = take_scheduled(now);
    if (!due && (catch_up_ || (retry_at_ && *retry_at_ <= now))) {
        due = Due{catch_up_ ? "catch_up" : "retry", std::nullopt, {}};
        if (unrecorded_) {
            due->due = unrecorded_->due;
            due->missed = unrecorded_->missed;
        }
    }
    if (due) {
        catch_up_ = false;
        retry_at_.reset();
        unrecorded_.reset();
        taken_ = due;
    }
    return due;
}

std::optional<Timetable::Due> Timetable::take_scheduled(Time now) {
    if (!next_due_ || *next_due_ > now) {
        return std::nullopt;
    }
    Due due{"schedule", latest_due(*schedule_, baseline_, now), {}};
    if (unrecorded_) {
        due.missed = unrecorded_->missed;
        if (unrecorded_->due) {
            due.missed.push_back({*unrecorded_->due, *unrecorded_->due});
        }
    }
    for (const auto& missed : missed_times(*schedule_, baseline_, *due.due - milliseconds{1})) {
        due.missed.push_back(missed);
    }
    if (due.missed.size() > kMaxMissed + 1) {
        // Failing without a record for that long: the oldest become one range.
        const auto surplus = due.missed.size() - kMaxMissed;
        due.missed[surplus - 1].first = due.missed.front().first;
        due.missed.erase(due.missed.begin(),
                         due.missed.begin() + static_cast<std::ptrdiff_t>(surplus - 1));
    }
    attempts_ = 0;
    advance(*due.due);
    return due;
}

void Timetable::pass(Time now) {
    mind_the_clock(now);
    catch_up_ = false;
    retry_at_.reset();
    unrecorded_.reset();
    if (next_due_ && *next_due_ <= now) {
        advance(now);
    }
}

void Timetable::ended(End end, bool recorded, Time now) {
    if (!recorded) {
        unrecorded_ = taken_;
    }
    taken_.reset();
    if (end != End::failed) {
        attempts_ = 0;
        return;
    }
    constexpr unsigned kDoublings = 8;  // beyond the ceiling anyway
    auto delay = std::min(kFirstRetry * (1 << std::min(attempts_, kDoublings)), kRetryCeiling);
    delay = milliseconds(static_cast<std::int64_t>(static_cast<double>(delay.count()) *
                                                   (1 + kJitter * (2 * random_() - 1))));
    ++attempts_;
    const Time at = now + delay;
    if (!next_due_ || at + kRetryMargin < *next_due_) {
        retry_at_ = at;
    }
}

std::optional<Time> Timetable::wake_at() const {
    if (!next_due_ || (retry_at_ && *retry_at_ < *next_due_)) {
        return retry_at_;
    }
    return next_due_;
}

}  // namespace immbackup
