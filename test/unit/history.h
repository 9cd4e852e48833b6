// A world for the rules of retention: clocks that a test moves, runs that make artifacts, prunes
// that follow their plan; all of it as the records that the programs would write.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/catalog.h"
#include "core/events.h"
#include "core/json.h"
#include "core/names.h"
#include "core/prune_plan.h"
#include "core/retention.h"
#include "sanitized.h"

namespace immbackup::test {

using namespace std::chrono_literals;
using Days = std::chrono::days;

// What most histories back up.
inline const std::vector<std::string> kShop{"shop"};

class History {
  public:
    explicit History(Time start = *parse_time("2026-01-01T00:00:00.000Z")) : truth(start) {}

    Catalog catalog;
    PruneRules rules;
    std::string timezone = "UTC";
    Time truth;                           // what a right clock shows
    std::chrono::milliseconds error{0};   // of the wall clock
    std::chrono::milliseconds up{1'000};  // since boot
    int boot = 1;
    int percent = 50;

    Time wall() const { return truth + error; }
    ClockSample sample() const {
        return {fmt::format("boot-{}", boot), static_cast<std::uint64_t>(up.count()), wall()};
    }
    void pass(std::chrono::milliseconds time) {
        truth += time;
        up += time;
    }
    void reboot(std::chrono::milliseconds down) {
        truth += down;
        ++boot;
        up = 1s;
    }

    void record(const char* event, const Json& body) {
        AuditRecord next{catalog.head_seq + 1,
                         format_time(wall()),
                         "job",
                         catalog.head_hash,
                         event,
                         body.dump(),
                         ""};
        const std::string line = format_audit_line(next);
        catalog.apply_line(std::string_view(line).substr(0, line.size() - 1), line.size());
    }
    Json with_clocks(Json body) const {
        body["boot_id"] = sample().boot_id;
        body["monotonic_ms"] = sample().monotonic_ms;
        return body;
    }

    // A complete run; returns its stems. `rows` of each database.
    std::vector<std::string> run(const std::vector<std::string>& databases,
                                 std::uint64_t rows = 100'000, bool good = true) {
        const std::string id = next_run_id(wall(), catalog.last_run);
        record(event::kRunRequested, {{"run", id}});
        record(event::kRunStarted, with_clocks({{"run", id}}));
        std::vector<std::string> stems;
        for (const auto& database : databases) {
            if (good) {
                stems.push_back(seal(id, database, rows));
            }
        }
        record(good ? event::kRunFinished : event::kRunFailed, {{"run", id}});
        return stems;
    }
    std::string seal(const std::string& id, const std::string& database, std::uint64_t rows) {
        const Subject subject(database, false);
        const auto anomaly = find_anomaly(baseline_of(catalog, subject), rows * 100, rows, percent);
        const std::string tier =
            choose_tier(catalog, subject, wall(), timezone, anomaly.has_value());
        const std::string stem = database_stem(id, database, false);
        record(event::kArtifactSealed, {{"run", id},
                                        {"artifact", stem},
                                        {"database", database},
                                        {"globals", false},
                                        {"tier", tier},
                                        {"taken", format_time(wall())},
                                        {"retain_until", format_time(wall() + rules.days.of(tier))},
                                        {"size", rows},
                                        {"sql_size", rows * 100},
                                        {"rows", rows},
                                        {"sha256", std::string(64, 'a')},
                                        {"seal", "readonly"},
                                        {"anomaly", anomaly.value_or("")}});
        return stem;
    }

    PrunePlan plan() const { return plan_prune(catalog, rules, sample()); }
    // Follows the plan; returns what was removed.
    std::vector<std::string> prune() {
        std::vector<std::string> gone;
        Json longer = Json::object();
        for (const auto& row : plan().rows) {
            if (row.action == PruneAction::extend) {
                longer[row.entry->artifact] = format_time(row.kept_until);
            } else if (row.action == PruneAction::prune) {
                gone.push_back(row.entry->artifact);
            }
        }
        if (!longer.empty()) {
            record(event::kRetentionExtended, {{"artifacts", longer}});
        }
        for (const auto& stem : gone) {
            record(event::kPruneIntended, {{"artifact", stem}});
            record(event::kArtifactPruned, {{"artifact", stem}});
        }
        return gone;
    }
    void of(const char* event, const std::string& stem) {
        record(event, {{"artifact", stem}, {"actor", "anna"}, {"reason", "because"}});
    }
    void acknowledge_clock() { record(event::kClockAcknowledged, with_clocks(Json::object())); }
    const ArtifactEntry& entry(const std::string& stem) const { return catalog.artifacts.at(stem); }
    std::size_t present() const {
        std::size_t count = 0;
        for (const auto& [stem, entry] : catalog.artifacts) {
            count += entry.exists() ? 1 : 0;
        }
        return count;
    }
};

}  // namespace immbackup::test
