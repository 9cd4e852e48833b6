#include "backup/records.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/clock.h"

namespace immbackup {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxText = 8000;
constexpr std::size_t kMaxList = 200;
constexpr std::size_t kMaxWarnings = 50;
constexpr std::size_t kMaxWarning = 1000;

std::string cut(std::string_view text, std::size_t limit) {
    return text.size() <= limit ? std::string(text) : std::string(text.substr(0, limit)) + " …";
}

std::string body_text(const Json& json) {
    return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

Json error_json(const Error& error, std::size_t limit = kMaxText) {
    return {{"code", error_code_name(error.code())},
            {"message", cut(error.message(), limit)},
            {"detail", cut(error.detail(), limit)},
            {"hint", cut(error.hint(), limit)}};
}

// A list that says so where it was cut.
Json texts_json(const std::vector<std::string>& texts, std::size_t max_count,
                std::size_t max_length) {
    Json out = Json::array();
    for (std::size_t i = 0; i < std::min(texts.size(), max_count); ++i) {
        out.push_back(cut(texts[i], max_length));
    }
    if (texts.size() > max_count) {
        out.push_back(fmt::format("… and {} more", texts.size() - max_count));
    }
    return out;
}

Json names_json(const std::vector<std::string>& names) {
    return texts_json(names, kMaxList, 256);
}

Json warnings_json(const std::vector<std::string>& warnings) {
    return texts_json(warnings, kMaxWarnings, kMaxWarning);
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

std::string title(const FailedDump& failed) {
    return failed.database ? fmt::format("database \"{}\"", *failed.database)
                           : std::string("the globals");
}

}  // namespace

std::string run_requested_body(const std::string& run, const std::string& trigger,
                               const std::string& actor,
                               const std::vector<std::string>& databases) {
    Json json{{"run", run}, {"trigger", trigger}, {"actor", actor}};
    if (!databases.empty()) {
        json["databases"] = names_json(databases);
    }
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

std::string artifact_sealed_body(const Manifest& m) {
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
    json["error"] = error_json(failed.error);
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
    constexpr std::size_t kMaxReason = 500;
    Json json = totals_json(run, totals);
    json["error"] = error_json(error);
    json["failed"] = Json::array();
    for (std::size_t i = 0; i < std::min(failed.size(), kMaxList); ++i) {
        json["failed"].push_back(
            {{"database", failed[i].database ? Json(*failed[i].database) : Json(nullptr)},
             {"error", error_json(failed[i].error, kMaxReason)}});
    }
    return body_text(json);
}

std::string run_cancelled_body(const std::string& run, const RunTotals& totals, const Error& error,
                               const std::vector<std::string>& remaining) {
    Json json = totals_json(run, totals);
    json["error"] = error_json(error);
    json["remaining"] = names_json(remaining);
    return body_text(json);
}

std::string sweep_body(const SweepReport& report) {
    Json removed = Json::array();
    for (std::size_t i = 0; i < std::min(report.removed.size(), kMaxList); ++i) {
        removed.push_back({{"file", report.removed[i].file}, {"bytes", report.removed[i].bytes}});
    }
    return body_text({{"removed", std::move(removed)},
                      {"completed", names_json(report.completed)},
                      {"foreign", names_json(report.foreign)}});
}

std::optional<std::string> settings_changed_body(const SettingTexts& before,
                                                 const SettingTexts& after, const std::string& at) {
    Json changes = Json::object();
    for (const auto& [name, value] : after) {
        const auto old = before.find(name);
        if (old == before.end() || old->second != value) {
            changes[name] = {{"from", old == before.end() ? Json(nullptr) : Json(old->second)},
                             {"to", value}};
        }
    }
    if (changes.empty()) {
        return std::nullopt;
    }
    return body_text({{"at", at}, {"changes", std::move(changes)}, {"settings", after}});
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
        detail +=
            fmt::format("{}{}: {}{}{}", detail.empty() ? "" : "\n", title(one), one.error.message(),
                        one.error.detail().empty() ? "" : ": ", cut(one.error.detail(), 500));
    }
    return {first.code(),
            cut(fmt::format("{} of {} dumps failed: {}", failed.size(), wanted, names), 2000),
            cut(detail, kMaxText), first.hint()};
}

}  // namespace immbackup
