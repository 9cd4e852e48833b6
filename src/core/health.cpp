#include "core/health.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/lock_dates.h"
#include "core/seal_level.h"
#include "core/timetable.h"

namespace immbackup {

namespace {

using namespace std::chrono_literals;

std::string span_text(std::chrono::milliseconds span) {
    const auto seconds = std::max<std::int64_t>(span / 1s, 0);
    if (seconds < 120) {
        return fmt::format("{} s", seconds);
    }
    if (seconds < 7200) {
        return fmt::format("{} min", seconds / 60);
    }
    return seconds < 172'800 ? fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60)
                             : fmt::format("{} days {} h", seconds / 86'400, seconds / 3600 % 24);
}

// The complete run that is going on.
std::optional<Time> running_since(const Catalog& catalog) {
    for (auto it = catalog.runs.rbegin(); it != catalog.runs.rend(); ++it) {
        if (it->second.open() && !it->second.partial) {
            return parse_time(it->second.requested);
        }
    }
    return std::nullopt;
}

// The first upload that has failed more than twice.
const ArtifactEntry* overdue_upload(const Catalog& catalog) {
    constexpr std::uint64_t kPatience = 2;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (entry.exists() && entry.upload == "pending" && entry.upload_tries > kPatience) {
            return &entry;
        }
    }
    return nullptr;
}

// That backups are sealed weaker than they must be, as the log has it; nothing where they are not.
std::optional<std::string> weaker_seal(const Catalog& catalog, const Standing& stock) {
    if (catalog.vault.level == "none") {
        return "the vault cannot seal: " + catalog.vault.reason;
    }
    const auto setting = catalog.settings.find("require_seal");
    const SealLevel required =
        setting == catalog.settings.end()
            ? SealLevel::readonly
            : seal_level_from_name(setting->second).value_or(SealLevel::readonly);
    const std::string& found =
        catalog.vault.level.empty() ? stock.newest_seal : catalog.vault.level;
    const SealLevel level = seal_level_from_name(found).value_or(required);
    if (level >= required) {
        return std::nullopt;
    }
    return fmt::format("backups are sealed as \"{}\", and must be as \"{}\" (require_seal)", found,
                       seal_level_name(required));
}

// The worst of what is wrong, or that nothing is.
void find_fault(Health& health, const Catalog& catalog, Time now,
                const std::vector<std::string>& missing,
                std::optional<std::chrono::seconds> max_age, const PrunePlan* plan) {
    const Standing stock = standing(catalog, now);
    const auto reference = health.last_good ? health.last_good : parse_time(catalog.promise.since);
    const std::string age =
        health.last_good ? fmt::format("last good run {} ended {} ago", catalog.last_full_run,
                                       span_text(now - *health.last_good))
                         : std::string("no complete run has been good yet");
    const std::string failing =
        health.failures == 0
            ? std::string()
            : fmt::format("; {} failed since: {}", health.failures,
                          catalog.last_error ? catalog.last_error->message : "for unknown reasons");
    health.verdict = Verdict::critical;
    if (catalog.bad_lines > 0) {
        health.summary =
            fmt::format("{} lines of the audit log cannot be read; {}", catalog.bad_lines, age);
    } else if (!catalog.misconfigured.empty()) {
        health.summary = fmt::format("the worker is misconfigured and takes no backups: {}; {}",
                                     catalog.misconfigured, age);
    } else if (!missing.empty()) {
        health.summary = fmt::format("files of {} artifacts of run {} are missing, such as {}",
                                     missing.size(), catalog.last_full_run, missing.front());
    } else if (!stock.missing.empty() || !stock.corrupt.empty()) {
        const bool gone = !stock.missing.empty();
        health.summary = fmt::format("{} artifacts are missing and {} corrupt, such as {}; {}",
                                     stock.missing.size(), stock.corrupt.size(),
                                     gone ? stock.missing.front() : stock.corrupt.front(), age);
    } else if (const auto weak = weaker_seal(catalog, stock)) {
        health.summary = fmt::format("{}; {}", *weak, age);
    } else if (max_age && (!reference || now - *reference > *max_age)) {
        health.summary =
            fmt::format("{}, which is longer than {}{}", age, span_text(*max_age), failing);
    } else if (health.overdue_since) {
        health.summary =
            fmt::format("overdue since {}: {}{}", format_time(*health.overdue_since), age, failing);
    } else if (health.last_good && *health.last_good > now + 3h) {
        health.verdict = Verdict::warning;
        health.summary =
            fmt::format("{} ended in the future: a clock is wrong", catalog.last_full_run);
    } else if (health.failures > 0) {
        health.verdict = Verdict::warning;
        health.summary = age + failing;
    } else if (!stock.anomalies.empty()) {
        health.verdict = Verdict::warning;
        health.summary = fmt::format("artifact {} is an anomaly that nobody has accepted: {}",
                                     stock.anomalies.front(),
                                     catalog.artifacts.at(stock.anomalies.front()).anomaly);
    } else if (catalog.vault.clock == "blocked") {
        health.verdict = Verdict::warning;
        health.summary =
            fmt::format("the vault does not trust the clock: {}", catalog.vault.clock_reason);
    } else if (plan != nullptr && plan->blocked_bytes > 0) {
        health.verdict = Verdict::warning;
        health.summary = fmt::format(
            "{} bytes of expired backups are not removed: {}", plan->blocked_bytes,
            plan->blocked.empty() ? "databases have no new good artifact since the restart"
                                  : plan->blocked);
    } else if (!stock.not_locked.empty()) {
        health.verdict = Verdict::warning;
        const ArtifactEntry& entry = catalog.artifacts.at(stock.not_locked.front());
        health.summary =
            fmt::format("{} uploads are not proven locked, such as {} ({}): {}",
                        stock.not_locked.size(), entry.artifact, upload_state(entry, now),
                        lock_is_over(entry, now) ? "its lock ended at " + entry.locked_until
                                                 : entry.upload_error);
    } else if (!catalog.lock_problem.empty()) {
        health.verdict = Verdict::warning;
        health.summary = "locks in the bucket are not as they should be: " + catalog.lock_problem;
    } else if (!catalog.anchor_state.empty() && catalog.anchor_state != "locked") {
        health.verdict = Verdict::warning;
        health.summary = fmt::format("the anchor of the audit log of {} is {} in the bucket",
                                     catalog.anchored, catalog.anchor_state);
    } else if (const ArtifactEntry* late = overdue_upload(catalog)) {
        health.verdict = Verdict::warning;
        health.summary = fmt::format("artifact {} is not uploaded after {} tries: {}",
                                     late->artifact, late->upload_tries, late->upload_error);
    } else if (!catalog.unacknowledged.empty()) {
        health.verdict = Verdict::warning;
        health.summary = "a change of the retention is not acknowledged: " + catalog.unacknowledged;
    } else if (!max_age && catalog.promise.schedule.empty() && !health.last_good) {
        health.verdict = Verdict::unknown;
        health.summary = "there is no complete backup, and no schedule";
    } else {
        health.verdict = Verdict::ok;
        health.summary = age;
    }
}

}  // namespace

PastRuns past_runs(const Catalog& catalog) {
    PastRuns out;
    out.since = parse_time(catalog.promise.since);
    if (out.since) {
        out.baseline = std::max(*out.since, parse_time(catalog.served).value_or(*out.since));
        out.covered = parse_time(catalog.covered).value_or(*out.since);
    }
    return out;
}

std::optional<Schedule> promised_schedule(const Catalog& catalog) {
    const auto& promise = catalog.promise;
    if (!promise.active || promise.schedule.empty()) {
        return std::nullopt;
    }
    try {
        return Schedule::parse(promise.schedule, promise.timezone);
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<Time> overdue_since(const Catalog& catalog, Time now) {
    const PastRuns past = past_runs(catalog);
    const auto schedule = promised_schedule(catalog);
    if (!schedule || !past.since) {
        return std::nullopt;
    }
    const auto at =
        overdue_at(*schedule, std::max(*past.covered, *past.since), running_since(catalog));
    return at && *at <= now ? at : std::nullopt;
}

Standing standing(const Catalog& catalog, Time now) {
    Standing out;
    const auto extending = catalog.settings.find("s3_extend_locks");
    const bool extends = extending == catalog.settings.end() || extending->second != "off";
    std::uint64_t newest = 0;
    for (const auto& [stem, entry] : catalog.artifacts) {
        if (!entry.exists()) {
            continue;
        }
        ++out.artifacts;
        out.bytes += entry.size;
        out.holds += entry.hold.empty() ? 0 : 1;
        if (entry.seq >= newest) {
            newest = entry.seq;
            out.newest_seal = entry.seal;
        }
        out.outside_vault += seal_level_from_name(entry.seal) < SealLevel::vault_dac ? 1 : 0;
        out.uploads_pending += entry.upload == "pending" ? 1 : 0;
        if (entry.upload == "unproven" || entry.upload == "unlocked" || entry.upload == "failed" ||
            (extends && lock_is_over(entry, now))) {
            out.not_locked.push_back(stem);
        }
        if (entry.state != "good" && !entry.accepted) {
            (entry.state == "missing" ? out.missing : out.corrupt).push_back(stem);
        }
    }
    for (const auto& [subject, entries] : by_subject(catalog)) {
        const auto good = std::find_if(entries.begin(), entries.end(),
                                       [](const auto* entry) { return entry->good(); });
        if (good != entries.end() && !(*good)->sound()) {
            out.anomalies.push_back((*good)->artifact);
        }
    }
    return out;
}

const char* verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::ok:
            return "OK";
        case Verdict::warning:
            return "WARNING";
        case Verdict::critical:
            return "CRITICAL";
        case Verdict::unknown:
            break;
    }
    return "UNKNOWN";
}

Health judge(const Catalog& catalog, Time now, const std::vector<std::string>& missing,
             std::optional<std::chrono::seconds> max_age, const PrunePlan* plan) {
    Health health;
    const auto last = catalog.runs.find(catalog.last_full_run);
    if (last != catalog.runs.end()) {
        health.last_good = parse_time(last->second.finished);
    }
    health.failures = catalog.failures;
    health.overdue_since = overdue_since(catalog, now);
    if (const auto schedule = promised_schedule(catalog)) {
        health.next_due = schedule->next_after(now);
    }
    find_fault(health, catalog, now, missing, max_age, plan);
    if (health.next_due) {
        health.summary += "; next due " + format_time(*health.next_due);
    }
    std::replace_if(
        health.summary.begin(), health.summary.end(),
        [](unsigned char c) { return c < 0x20 || c == 0x7F || c == '|'; }, ' ');
    return health;
}

std::vector<std::string> newest_artifacts(const Catalog& catalog) {
    std::vector<std::string> stems;
    for (const auto& [stem, artifact] : catalog.artifacts) {
        if (!catalog.last_full_run.empty() && artifact.run == catalog.last_full_run) {
            stems.push_back(stem);
        }
    }
    return stems;
}

}  // namespace immbackup
