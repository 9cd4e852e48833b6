#include "core/forecast.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/health.h"

namespace immbackup {

namespace {

using namespace std::chrono_literals;
using Days = std::chrono::days;

// No schedule that anybody has makes more in the time that is looked at.
constexpr std::size_t kMaxPoints = 100'000;

std::optional<RestorePoint> point_of(const ArtifactEntry& entry, const RetentionDays& days) {
    const auto taken = parse_time(entry.taken);
    const auto until = parse_time(entry.retain_until);
    if (!taken || !until) {
        return std::nullopt;
    }
    const Time kept = std::max(*until, *taken + days.of(entry.tier));
    return RestorePoint{*taken, entry.hold.empty() ? kept : Time::max(), entry.tier};
}

struct Count {
    std::uint64_t points = 0;
    std::optional<Time> oldest;
};

Count count_at(std::vector<RestorePoint> points, Time at, int min_keep) {
    std::sort(points.begin(), points.end(),
              [](const auto& a, const auto& b) { return a.taken > b.taken; });
    Count out;
    int newest = 0;
    for (const auto& point : points) {
        if (point.taken <= at && (newest++ < min_keep || point.until > at)) {
            ++out.points;
            out.oldest = point.taken;
        }
    }
    return out;
}

struct DueTimes {
    long known_from = 0;  // day
    std::map<long, std::uint64_t> due;
    std::map<long, std::uint64_t> missed;
};

// A due time is served by a complete good run that was requested before the next one.
std::optional<DueTimes> due_times(const Catalog& catalog, std::string_view timezone, Time begin,
                                  Time now) {
    const auto schedule = promised_schedule(catalog);
    const auto since = parse_time(catalog.promise.since);
    if (!schedule || !since) {
        return std::nullopt;
    }
    std::vector<Time> runs;
    for (const auto& [id, run] : catalog.runs) {
        const auto requested = parse_time(run.requested);
        if (requested && run.state == "good" && !run.partial) {
            runs.push_back(*requested);
        }
    }
    std::sort(runs.begin(), runs.end());
    DueTimes out;
    const Time from = std::max(begin, *since);
    out.known_from = local_date(from, timezone).day;
    auto run = runs.begin();
    auto time = schedule->next_after(from);
    for (std::size_t i = 0; time && *time <= now && i < kMaxPoints; ++i) {
        const auto next = schedule->next_after(*time);
        run = std::lower_bound(run, runs.end(), *time);
        const bool served = run != runs.end() && (!next || *run < *next);
        const long day = local_date(*time, timezone).day;
        ++out.due[day];
        out.missed[day] += served ? 0 : 1;
        time = next;
    }
    return out;
}

}  // namespace

std::vector<RestorePoint> restore_points(const Catalog& catalog, const Subject& subject,
                                         const std::optional<Schedule>& schedule,
                                         std::string_view timezone, const RetentionDays& days,
                                         Time from, Time until) {
    std::vector<RestorePoint> points;
    std::set<long> weeks;  // with a weekly one
    std::set<long> dates;  // with a weekly or daily one
    const auto note = [&](const RestorePoint& point, const LocalDate& date) {
        if (point.tier == kWeekly) {
            weeks.insert(date.week);
        }
        if (point.tier != kHourly) {
            dates.insert(date.day);
        }
    };
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (!entry.sound() || Subject(entry) != subject) {
            continue;
        }
        if (const auto point = point_of(entry, days)) {
            points.push_back(*point);
            note(*point, local_date(point->taken, timezone));
        }
    }
    auto due = schedule ? schedule->next_after(from) : std::nullopt;
    while (due && *due <= until && points.size() < kMaxPoints) {
        const LocalDate date = local_date(*due, timezone);
        RestorePoint point{*due, *due,
                           !weeks.contains(date.week)  ? kWeekly
                           : !dates.contains(date.day) ? kDaily
                                                       : kHourly};
        point.until += days.of(point.tier);
        note(point, date);
        points.push_back(point);
        due = schedule->next_after(*due);
    }
    return points;
}

std::vector<PreviewRow> preview_retention(const Catalog& catalog,
                                          const std::optional<Schedule>& schedule,
                                          std::string_view timezone, const RetentionDays& before,
                                          const RetentionDays& after, int min_keep, Time now) {
    std::vector<PreviewRow> rows;
    const Time end = now + Days(kPreviewDays.back());
    for (const auto& [subject, entries] : by_subject(catalog)) {
        if (baseline_of(catalog, subject) == nullptr) {
            continue;
        }
        const auto was = restore_points(catalog, subject, schedule, timezone, before, now, end);
        const auto is = restore_points(catalog, subject, schedule, timezone, after, now, end);
        for (const int days : kPreviewDays) {
            const Count then = count_at(was, now + Days(days), min_keep);
            const Count instead = count_at(is, now + Days(days), min_keep);
            rows.push_back(
                {subject, days, then.points, instead.points, then.oldest, instead.oldest});
        }
    }
    return rows;
}

std::string preview_text(const std::vector<PreviewRow>& rows) {
    const PreviewRow* worst = nullptr;
    const auto change = [](const PreviewRow& row) {
        return static_cast<std::int64_t>(row.after) - static_cast<std::int64_t>(row.before);
    };
    for (const auto& row : rows) {
        if (row.before != row.after && (worst == nullptr || change(row) < change(*worst))) {
            worst = &row;
        }
    }
    if (worst == nullptr) {
        return {};
    }
    const auto reach = [](std::optional<Time> oldest) {
        return oldest ? format_time(*oldest) : std::string("none");
    };
    return fmt::format(
        "in {} days there will be {} restore points of {} instead of {}, the oldest of {} instead "
        "of {}",
        worst->in_days, worst->after, worst->subject.title(), worst->before,
        reach(worst->oldest_after), reach(worst->oldest_before));
}

std::optional<int> days_until_full(const Catalog& catalog, const RetentionDays& days, Time now,
                                   std::uint64_t available) {
    constexpr int kWindow = 14;
    constexpr int kHorizon = 3660;
    struct Stock {
        Time until;
        std::uint64_t size;
    };
    std::vector<Stock> stock;
    std::map<std::string, double> made;  // bytes of each tier in the window
    Time first = now;
    double present = 0;
    for (const auto& [stem, entry] : catalog.artifacts) {
        const auto taken = parse_time(entry.taken);
        if (taken && *taken > now - Days(kWindow)) {
            made[entry.tier] += static_cast<double>(entry.size);
            first = std::min(first, *taken);
        }
        const auto point = point_of(entry, days);
        if (entry.exists() && point) {
            stock.push_back({point->until, entry.size});
            present += static_cast<double>(entry.size);
        }
    }
    const double observed =
        std::max(1.0, static_cast<double>((now - first).count()) / 86'400'000.0);
    std::sort(stock.begin(), stock.end(),
              [](const Stock& a, const Stock& b) { return a.until < b.until; });
    std::size_t gone = 0;
    double used = present;
    for (int day = 1; day <= kHorizon; ++day) {
        while (gone < stock.size() && stock[gone].until <= now + Days(day)) {
            used -= static_cast<double>(stock[gone++].size);
        }
        double fresh = 0;
        for (const auto& [tier, bytes] : made) {
            fresh += bytes / observed *
                     static_cast<double>(std::min<std::int64_t>(day, days.of(tier).count()));
        }
        if (used + fresh - present > static_cast<double>(available)) {
            return day;
        }
    }
    return std::nullopt;
}

std::vector<CoverageRow> coverage(const Catalog& catalog, std::string_view timezone, int weeks,
                                  Time now) {
    const long today = local_date(now, timezone).day;
    const Time begin = now - Days(7L * weeks);
    std::map<Subject, std::map<long, CoverageRow>> days;
    for (const auto& [stem, entry] : catalog.artifacts) {
        const auto taken = parse_time(entry.taken);
        if (!taken || *taken < begin || *taken > now + Days(1)) {
            continue;
        }
        CoverageRow& row = days[Subject(entry)][local_date(*taken, timezone).day];
        ++row.made;
        if (entry.good()) {
            ++row.present;
            row.oldest = std::min(*taken, row.oldest.value_or(*taken));
            row.newest = std::max(*taken, row.newest.value_or(*taken));
        }
    }
    const auto known = due_times(catalog, timezone, begin, now);
    std::vector<CoverageRow> out;
    for (auto& [subject, rows] : days) {
        const long first = rows.begin()->first;
        for (long day = today; day >= first; --day) {
            CoverageRow row = rows[day];
            row.subject = subject;
            row.day = day;
            if (known && day >= known->known_from) {
                const auto of = [day](const auto& counts) {
                    const auto found = counts.find(day);
                    return found == counts.end() ? 0 : found->second;
                };
                row.due = of(known->due);
                row.missed = of(known->missed);
            }
            out.push_back(row);
        }
    }
    return out;
}

}  // namespace immbackup
