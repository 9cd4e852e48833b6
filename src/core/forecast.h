// Looking ahead: which restore points there will be under these settings, and when the disk is
// full. Pure.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/retention.h"
#include "core/schedule.h"

namespace immbackup {

// A restore point: when it was (or will be) taken, and until when it is kept.
struct RestorePoint {
    Time taken;
    Time until;
    std::string tier;
};

// The restore points of one subject as they will be made from `from` until `until`: its sound ones,
// then one at each due time, with the tiers that they will get.
std::vector<RestorePoint> restore_points(const Catalog& catalog, const Subject& subject,
                                         const std::optional<Schedule>& schedule,
                                         std::string_view timezone, const RetentionDays& days,
                                         Time from, Time until);

struct PreviewRow {
    Subject subject{"", false};
    int in_days = 0;           // from now
    std::uint64_t before = 0;  // restore points there will be then
    std::uint64_t after = 0;
    std::optional<Time> oldest_before;
    std::optional<Time> oldest_after;
};
inline constexpr std::array kPreviewDays{1, 7, 28};
// For each subject that has a sound artifact, and each of kPreviewDays. The `min_keep` newest stay
// whatever their age.
std::vector<PreviewRow> preview_retention(const Catalog& catalog,
                                          const std::optional<Schedule>& schedule,
                                          std::string_view timezone, const RetentionDays& before,
                                          const RetentionDays& after, int min_keep, Time now);
// "in 28 days 44 instead of 83 restore points, the oldest …", of the subject that loses most; empty
// where nothing changes.
std::string preview_text(const std::vector<PreviewRow>& rows);

// Days until `available` bytes are used up, as the last two weeks grew and as retention frees;
// nothing: not within ten years.
std::optional<int> days_until_full(const Catalog& catalog, const RetentionDays& days, Time now,
                                   std::uint64_t available);

// Backups of one subject on one local day.
struct CoverageRow {
    Subject subject{"", false};
    long day = 0;
    std::uint64_t made = 0;            // good when they were made
    std::uint64_t present = 0;         // of these, still there and good
    std::optional<std::uint64_t> due;  // due times of the day; nothing: not known to us
    std::uint64_t missed = 0;          // due times that no good run served
    std::optional<Time> oldest;        // restore points that are there
    std::optional<Time> newest;
};
// The last `weeks` weeks up to `now`, newest day first, from the first artifact on. Due times are
// known from the moment on in which the schedule was promised.
std::vector<CoverageRow> coverage(const Catalog& catalog, std::string_view timezone, int weeks,
                                  Time now);

}  // namespace immbackup
