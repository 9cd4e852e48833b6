// What may be removed and what must stay, decided before anything is touched. Pure.
//
// Never removed: the newest good artifact of a subject (a database, or the globals), its newest
// `min_keep` sound ones, what is under a hold, what waits for its upload or could not be uploaded
// (for pending_max_days), what a vault has sealed until a later date, and every sound one while the
// newest is an anomaly that nobody accepted. Nothing at all is removed while the clock is not
// trusted, and of a subject of which no artifact is good.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/clock_state.h"
#include "core/retention.h"

namespace immbackup {

struct PruneRules {
    RetentionDays days;
    int min_keep = 3;
    int pending_max_days = 14;  // 0: for ever
};

enum class PruneAction { keep, extend, prune };
const char* prune_action_name(PruneAction action);

struct PruneRow {
    const ArtifactEntry* entry = nullptr;  // of the catalog that was given
    PruneAction action = PruneAction::keep;
    Time kept_until;       // with a longer setting taken into account
    std::string reason;    // a sentence
    bool expired = false;  // its time is over: prune, or kept by a rule
    bool anomaly = false;  // kept only because newer ones are anomalous
    bool blocked = false;  // kept only because the clock is not trusted
};

struct PrunePlan {
    std::vector<PruneRow> rows;  // every artifact there is, in the order of their records
    std::string blocked;         // why nothing at all may be removed now, or empty
    std::string hint;
    std::uint64_t prune_bytes = 0;
    std::uint64_t blocked_bytes = 0;  // would go if the clock were trusted
    std::uint64_t anomaly_bytes = 0;  // would go if no anomaly kept them
};

PrunePlan plan_prune(const Catalog& catalog, const PruneRules& rules, const ClockSample& now);
PruneRules prune_rules(const Settings& settings);

}  // namespace immbackup
