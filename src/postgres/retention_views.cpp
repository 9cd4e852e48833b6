// The set-returning functions below the views retention and coverage, and retention_preview().
#include <string>

#include "core/forecast.h"
#include "core/names.h"
#include "core/prune_plan.h"
#include "io/clock.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/presence.h"
#include "postgres/rows.h"
#include "postgres/shmem.h"
#include "store/audit_log.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_retention);
PG_FUNCTION_INFO_V1(immbackup_coverage);
PG_FUNCTION_INFO_V1(immbackup_retention_preview);
}

namespace immbackup {

namespace {

Layout layout() {
    return find_layout(configured_directory());
}

std::optional<Schedule> schedule_in(const Settings& settings) {
    return settings.schedule.empty()
               ? std::nullopt
               : std::optional(Schedule::parse(settings.schedule, settings.timezone));
}

// What was made under another retention than the one that counts now.
std::string conflict_of(const ArtifactEntry& entry, const PruneRow& row,
                        const RetentionDays& days) {
    const auto taken = parse_time(entry.taken);
    const auto locked = parse_time(entry.locked_until);
    if (locked && *locked < row.kept_until) {
        return "It is kept longer than it is locked in the bucket.";
    }
    if (locked && *locked > row.kept_until + std::chrono::days(1)) {
        return "It is locked in the bucket longer than it is kept.";
    }
    if (taken && *taken + days.of(entry.tier) < row.kept_until) {
        return "The days of its tier were reduced since: later ones are kept shorter.";
    }
    return {};
}

void write_retention(RowWriter& row, const ArtifactEntry& entry, const PruneRow* planned,
                     bool present, const RetentionDays& days) {
    const std::string until =
        planned == nullptr ? entry.retain_until : format_time(planned->kept_until);
    const std::string conflict =
        planned == nullptr ? std::string() : conflict_of(entry, *planned, days);
    const std::string reason =
        planned == nullptr ? "It was pruned at " + entry.pruned + "." : planned->reason;
    row.text(entry.artifact);
    row.text_or_null(entry.database);
    row.flag(entry.globals);
    row.text_or_null(entry.tier);
    row.time_or_null(entry.taken);
    row.time_or_null(until);
    row.time_or_null(entry.locked_until);
    row.text_or_null(entry.seal);
    row.flag(!entry.hold.empty());
    row.text_or_null(entry.hold);
    row.text_or_null(entry.held_by);
    row.time_or_null(entry.held);
    row.text_or_null(entry.anomaly);
    row.flag(entry.accepted);
    row.number(entry.size);
    row.text(planned == nullptr      ? "pruned"
             : !present              ? "missing"
             : entry.state != "good" ? std::string_view(entry.state)
             : planned->expired      ? "expired"
                                     : "kept");
    row.flag(planned != nullptr && planned->action == PruneAction::prune);
    row.text(reason);
    row.text_or_null(conflict);
    row.emit();
}

}  // namespace

}  // namespace immbackup

using namespace immbackup;

Datum immbackup_retention(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const Catalog catalog = read_catalog(layout(), check_interrupts);
        const PruneRules rules = prune_rules(resolve_settings(settings_in_effect()));
        const PrunePlan plan =
            plan_prune(catalog, rules, {boot_id(), monotonic_ms(), immbackup::now()});
        const FilesPresent files(layout());
        std::map<std::string_view, const PruneRow*> planned;
        for (const PruneRow& each : plan.rows) {
            planned[each.entry->artifact] = &each;
        }
        for (const auto& [stem, entry] : catalog.artifacts) {
            const auto found = planned.find(stem);
            write_retention(row, entry, found == planned.end() ? nullptr : found->second,
                            files.complete(stem), rules.days);
        }
    });
    return 0;
}

Datum immbackup_coverage(PG_FUNCTION_ARGS) {
    require_preloaded();
    const int weeks = PG_ARGISNULL(0) ? 4 : PG_GETARG_INT32(0);
    if (weeks < 1 || weeks > 520) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("weeks must be between 1 and 520")));
    }
    RowWriter row(fcinfo);
    guarded([&row, &weeks] {
        const Catalog catalog = read_catalog(layout(), check_interrupts);
        const Settings settings = resolve_settings(settings_in_effect());
        for (const auto& day : coverage(catalog, settings.timezone, weeks, immbackup::now())) {
            const std::string date = date_text(day.day);
            const std::string oldest = day.oldest ? format_time(*day.oldest) : "";
            const std::string newest = day.newest ? format_time(*day.newest) : "";
            row.text_or_null(day.subject.database);
            row.flag(day.subject.globals);
            row.text(date);
            row.number(day.made);
            row.number(day.present);
            row.number_or_null(day.due);
            row.number_or_null(day.due ? std::optional(day.missed) : std::nullopt);
            row.time_or_null(oldest);
            row.time_or_null(newest);
            row.emit();
        }
    });
    return 0;
}

Datum immbackup_retention_preview(PG_FUNCTION_ARGS) {
    require_preloaded();
    int wanted[3] = {0, 0, 0};
    for (int i = 0; i < 3; ++i) {
        if (!PG_ARGISNULL(i)) {
            wanted[i] = PG_GETARG_INT32(i);
            if (wanted[i] < 1 || wanted[i] > 36500) {
                ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                                errmsg("days must be between 1 and 36500")));
            }
        }
    }
    RowWriter row(fcinfo);
    guarded([&row, &wanted] {
        const Catalog catalog = read_catalog(layout(), check_interrupts);
        const Settings settings = resolve_settings(settings_in_effect());
        const RetentionDays before = effective_days(settings);
        const RetentionDays after{wanted[0] > 0 ? wanted[0] : before.hourly,
                                  wanted[1] > 0 ? wanted[1] : before.daily,
                                  wanted[2] > 0 ? wanted[2] : before.weekly};
        for (const auto& each :
             preview_retention(catalog, schedule_in(settings), settings.timezone, before, after,
                               settings.min_keep, immbackup::now())) {
            const std::string was = each.oldest_before ? format_time(*each.oldest_before) : "";
            const std::string is = each.oldest_after ? format_time(*each.oldest_after) : "";
            row.text_or_null(each.subject.database);
            row.flag(each.subject.globals);
            row.integer(each.in_days);
            row.number(each.before);
            row.number(each.after);
            row.time_or_null(was);
            row.time_or_null(is);
            row.emit();
        }
    });
    return 0;
}
