#include "backup/records.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "backup/bodies.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxList = 200;
constexpr std::size_t kMaxErrorText = 500;
constexpr std::size_t kMaxFailed = 64 * 1024;  // bytes
constexpr std::size_t kMaxName = 400;
// Of a text setting, and a quarter of it in the list of changes; other settings are short.
constexpr std::size_t kMaxSetting = 6000;
constexpr std::size_t kMaxShortSetting = 100;

Json names_json(const std::vector<std::string>& names) {
    return bounded_list(names, kMaxName, 32 * 1024);
}

Json warnings_json(const std::vector<std::string>& warnings) {
    return bounded_list(warnings);
}

// For a list of errors: short ones.
Json reason_json(const Error& error) {
    return {{"code", error_code_name(error.code())},
            {"message", bounded_text(error.message(), kMaxErrorText)},
            {"detail", bounded_text(error.detail(), kMaxErrorText)},
            {"hint", ""}};
}

// Milliseconds are all that is known of a duration; more digits would only look exact.
double rounded(double seconds) {
    return static_cast<double>(static_cast<std::int64_t>(seconds * 1000.0)) / 1000.0;
}

Json totals_json(const std::string& run, const RunTotals& totals) {
    return {{"run", run},
            {"artifacts", totals.artifacts},
            {"bytes", totals.bytes},
            {"sql_bytes", totals.sql_bytes},
            {"rows", totals.rows},
            {"seconds", rounded(totals.seconds)}};
}

// A setting as it can be read back from its record: that is what the next one is compared with.
std::string recorded(const std::string& name, const std::string& value) {
    const SettingDefinition* definition = find_setting(name);
    const bool is_text = definition == nullptr || definition->type == SettingType::string;
    return Json::parse(body_text(bounded_text(value, is_text ? kMaxSetting : kMaxShortSetting)))
        .get<std::string>();
}

std::string title(const FailedDump& failed) {
    return failed.database ? fmt::format("database \"{}\"", *failed.database)
                           : std::string("the globals");
}

}  // namespace

std::string run_requested_body(const std::string& run, const std::string& trigger,
                               const std::string& actor, const std::vector<std::string>& databases,
                               std::optional<Time> due) {
    Json json{{"run", run}, {"trigger", trigger}, {"actor", bounded_text(actor, kMaxName)}};
    if (!databases.empty()) {
        json["databases"] = names_json(databases);
    }
    if (due) {
        json["due"] = format_time(*due);
    }
    return body_text(json);
}

std::string run_missed_body(const MissedTimes& missed, const std::string& reason) {
    Json json{{"due", format_time(missed.first)}};
    if (missed.last != missed.first) {
        json["until"] = format_time(missed.last);
    }
    json["reason"] = bounded_text(reason, 1000);
    return body_text(json);
}

std::string run_started_body(const std::string& run, const std::vector<std::string>& databases,
                             bool globals) {
    return body_text({{"run", run},
                      {"pid", ::getpid()},
                      {"host", host_name()},
                      {"boot_id", boot_id()},
                      {"monotonic_ms", monotonic_ms()},
                      {"version", IMMBACKUP_VERSION},
                      {"databases", names_json(databases)},
                      {"globals", globals}});
}

std::string artifact_sealed_body(const Manifest& m, const std::string& stamp, bool upload) {
    Json json{{"run", m.run}, {"artifact", m.artifact}};
    if (!m.globals) {
        json["database"] = m.database.name;
    }
    json.update(Json{{"globals", m.globals},
                     {"tier", m.tier},
                     {"taken", format_time(m.snapshot_before)},
                     {"retain_until", format_time(m.retain_until)},
                     {"size", m.size},
                     {"sql_size", m.sql_size},
                     {"rows", m.rows},
                     {"tables", m.tables.size()},
                     {"sha256", m.sha256},
                     {"seal", m.seal},
                     {"stamp", stamp},
                     {"anomaly", bounded_text(m.anomaly, 1000)},
                     {"upload", upload ? "pending" : ""},
                     {"started", format_time(m.started)},
                     {"finished", format_time(m.finished)},
                     {"warnings", warnings_json(m.warnings)}});
    return body_text(json);
}

std::string artifact_failed_body(const std::string& run, const FailedDump& failed) {
    Json json{{"run", run}};
    if (failed.database) {
        json["database"] = *failed.database;
    }
    json["globals"] = !failed.database.has_value();
    json["error"] = error_body(failed.error);
    return body_text(json);
}

std::string run_finished_body(const std::string& run, const RunTotals& totals,
                              const std::vector<std::string>& warnings) {
    Json json = totals_json(run, totals);
    json["warnings"] = warnings_json(warnings);
    return body_text(json);
}

std::string run_failed_body(const std::string& run, const RunTotals& totals, const Error& error,
                            const std::vector<FailedDump>& failed) {
    Json json = totals_json(run, totals);
    json["error"] = error_body(error);
    json["failed"] = Json::array();
    std::size_t used = 0;
    for (const auto& one : failed) {
        Json entry{{"database",
                    one.database ? Json(bounded_text(*one.database, kMaxName)) : Json(nullptr)},
                   {"error", reason_json(one.error)}};
        used += body_text(entry).size();
        if (used > kMaxFailed) {
            break;  // each has its own artifact_failed record
        }
        json["failed"].push_back(std::move(entry));
    }
    return body_text(json);
}

std::string run_cancelled_body(const std::string& run, const RunTotals& totals, const Error& error,
                               const std::vector<std::string>& remaining) {
    Json json = totals_json(run, totals);
    json["error"] = error_body(error);
    json["remaining"] = names_json(remaining);
    return body_text(json);
}

std::string sweep_body(const SweepReport& report) {
    Json removed = Json::array();
    for (std::size_t i = 0; i < std::min(report.removed.size(), kMaxList); ++i) {
        removed.push_back({{"file", bounded_text(report.removed[i].file, kMaxName)},
                           {"bytes", report.removed[i].bytes}});
    }
    return body_text({{"removed", std::move(removed)},
                      {"completed", names_json(report.completed)},
                      {"foreign", names_json(report.foreign)}});
}

std::optional<std::string> settings_changed_body(const SettingTexts& before,
                                                 const SettingTexts& after, const std::string& at) {
    const auto shortened = [](const std::string& value) {
        return bounded_text(value, kMaxSetting / 4);
    };
    Json changes = Json::object();
    Json settings = Json::object();
    for (const auto& [name, text] : after) {
        const std::string value = recorded(name, text);
        const auto old = before.find(name);
        if (old == before.end() || old->second != value) {
            changes[name] = {
                {"from", old == before.end() ? Json(nullptr) : Json(shortened(old->second))},
                {"to", shortened(value)}};
        }
        settings[name] = value;
    }
    if (changes.empty()) {
        return std::nullopt;
    }
    return body_text(
        {{"at", at}, {"changes", std::move(changes)}, {"settings", std::move(settings)}});
}

Error run_error(const std::vector<FailedDump>& failed, std::size_t wanted) {
    const Error& first = failed.front().error;
    if (failed.size() == 1) {
        const std::string name = title(failed.front());
        const bool named = first.message().find(name) != std::string::npos;
        return {first.code(),
                named ? first.message() : fmt::format("{}: {}", name, first.message()),
                first.detail(), first.hint()};
    }
    std::string names;
    std::string detail;
    for (const auto& one : failed) {
        names += (names.empty() ? "" : ", ") + title(one);
        detail += fmt::format("{}{}: {}{}{}", detail.empty() ? "" : "\n", title(one),
                              one.error.message(), one.error.detail().empty() ? "" : ": ",
                              bounded_text(one.error.detail(), kMaxErrorText));
    }
    return {
        first.code(),
        bounded_text(fmt::format("{} of {} dumps failed: {}", failed.size(), wanted, names), 2000),
        bounded_text(detail, 8000), first.hint()};
}

}  // namespace immbackup
