#include "core/prune_plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace immbackup {

namespace {

// What protects the artifacts of one subject.
class SubjectPlan {
  public:
    SubjectPlan(const Catalog& catalog, const PruneRules& rules, const ClockVerdict& clock,
                Time now, const Subject& subject, const std::vector<const ArtifactEntry*>& entries)
        : rules_(rules), clock_(clock), now_(now), subject_(subject) {
        retired_ = !subject.globals && catalog.retired.contains(subject.database);
        int sound = 0;
        for (const ArtifactEntry* entry : entries) {
            if (newest_good_ == nullptr && entry->good()) {
                newest_good_ = entry;
            }
            if (entry->sound() && sound < rules.min_keep) {
                ++sound;
                last_kept_ = entry->seq;
            }
        }
        if (sound < rules.min_keep) {
            last_kept_ = 0;
        }
        // A complete run without it shows that the database is gone.
        waits_ = clock.wait_seq != 0 && catalog.last_full_seq <= clock.wait_seq &&
                 (newest_good_ == nullptr || newest_good_->seq <= clock.wait_seq);
    }

    PruneRow judge(const ArtifactEntry& entry) const {
        PruneRow row;
        row.entry = &entry;
        const auto taken = parse_time(entry.taken);
        const auto recorded = parse_time(entry.retain_until);
        if (!taken || !recorded) {
            row.reason = "Its record does not say when it was taken, or until when it is kept.";
            return row;
        }
        row.kept_until = *recorded;
        // A time so far off that it would wrap is nobody's setting.
        const Time wanted = *taken + rules_.days.of(entry.tier);
        if (!retired_ && wanted > *recorded) {
            row.kept_until = wanted;
            row.action = PruneAction::extend;
        }
        row.expired = row.kept_until <= now_;
        if (!entry.hold.empty()) {
            row.reason = fmt::format("It is under a hold: {}", entry.hold);
        } else if (!row.expired) {
            row.reason = row.action == PruneAction::extend
                             ? fmt::format("A longer setting keeps it until {}.",
                                           format_time(row.kept_until))
                             : fmt::format("It is kept until {}.", format_time(row.kept_until));
        } else {
            judge_expired(row, entry);
        }
        return row;
    }

  private:
    void judge_expired(PruneRow& row, const ArtifactEntry& entry) const {
        // One whose removal was begun protects no other, but is judged as if it had not been.
        const bool sound = entry.state == "good" && (entry.anomaly.empty() || entry.accepted);
        const bool anomalous = newest_good_ != nullptr && !newest_good_->sound();
        const auto pending_until = row.kept_until + std::chrono::days(rules_.pending_max_days);
        const bool waiting = entry.upload == "pending" || entry.upload == "failed";
        const bool pending = waiting && (rules_.pending_max_days == 0 || pending_until > now_);
        if (!retired_ && newest_good_ == nullptr) {
            row.reason = fmt::format("Of {} there is no good artifact.", subject_.title());
        } else if (!retired_ && &entry == newest_good_) {
            row.reason = fmt::format("It is the newest good one of {}.", subject_.title());
        } else if (!retired_ && sound && entry.seq >= last_kept_) {
            row.reason = fmt::format("It is one of the {} newest of {} (min_keep).",
                                     rules_.min_keep, subject_.title());
        } else if (pending) {
            row.reason = entry.upload == "pending"
                             ? "It waits for its upload."
                             : "Its upload has failed, and may be tried again.";
        } else if (!retired_ && anomalous && sound) {
            row.anomaly = true;
            row.reason = fmt::format("The newest one, {}, is an anomaly that nobody has accepted.",
                                     newest_good_->artifact);
        } else if (const auto sealed = parse_time(entry.vault_until); sealed && *sealed > now_) {
            row.reason = fmt::format("The vault keeps it until {}.", entry.vault_until);
        } else if (!clock_.blocked.empty()) {
            row.blocked = true;
            row.reason = clock_.blocked;
        } else if (!retired_ && waits_) {
            row.blocked = true;
            row.reason =
                fmt::format("After the restart of the machine, {} has no new good artifact yet.",
                            subject_.title());
        } else {
            row.action = PruneAction::prune;
            row.reason = waiting
                             ? fmt::format("It was kept until {}; its upload never succeeded.",
                                           format_time(row.kept_until))
                             : fmt::format("It was kept until {}.", format_time(row.kept_until));
            if (!entry.refused.empty()) {
                row.reason += " The vault refused to remove it: " + entry.refused;
            }
        }
    }

    const PruneRules& rules_;
    const ClockVerdict& clock_;
    Time now_;
    Subject subject_;
    bool retired_ = false;
    bool waits_ = false;
    const ArtifactEntry* newest_good_ = nullptr;
    std::uint64_t last_kept_ = UINT64_MAX;  // sound ones from this number on are min_keep's
};

}  // namespace

const char* prune_action_name(PruneAction action) {
    return action == PruneAction::prune    ? "prune"
           : action == PruneAction::extend ? "extend"
                                           : "keep";
}

PruneRules prune_rules(const Settings& settings) {
    return {effective_days(settings), settings.min_keep, settings.pending_max_days};
}

PrunePlan plan_prune(const Catalog& catalog, const PruneRules& rules, const ClockSample& now) {
    const ClockVerdict clock = catalog.clock.judge(now);
    PrunePlan plan;
    plan.blocked = clock.blocked;
    plan.hint = clock.hint;
    for (const auto& [subject, entries] : by_subject(catalog)) {
        const SubjectPlan rule(catalog, rules, clock, now.wall, subject, entries);
        for (const ArtifactEntry* entry : entries) {
            PruneRow row = rule.judge(*entry);
            plan.prune_bytes += row.action == PruneAction::prune ? entry->size : 0;
            plan.blocked_bytes += row.blocked ? entry->size : 0;
            plan.anomaly_bytes += row.anomaly ? entry->size : 0;
            plan.rows.push_back(std::move(row));
        }
    }
    std::sort(plan.rows.begin(), plan.rows.end(),
              [](const PruneRow& a, const PruneRow& b) { return a.entry->seq < b.entry->seq; });
    return plan;
}

}  // namespace immbackup
