// How each event changes the catalog. Bodies come from a file that anybody may have changed: every
// member is looked at with a type and a default, and nothing here throws for what it finds.

#include "core/catalog.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/events.h"
#include "core/names.h"
#include "core/time.h"

namespace immbackup {

namespace {

using Json = nlohmann::json;

std::string text(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool flag(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_boolean() && found->get<bool>();
}

std::optional<ErrorText> error_of(const Json& json) {
    const auto found = json.find("error");
    if (found == json.end() || !found->is_object()) {
        return std::nullopt;
    }
    return ErrorText{text(*found, "code"), text(*found, "message"), text(*found, "detail"),
                     text(*found, "hint")};
}

RunEntry* run_of(Catalog& catalog, const Json& body) {
    const std::string id = text(body, "run");
    if (!parse_run_id(id)) {
        return nullptr;
    }
    RunEntry& run = catalog.runs[id];
    run.run = id;
    catalog.last_run = std::max(catalog.last_run, id);
    return &run;
}

// Of what anybody may have changed only a real time counts.
void raise_time(std::string& newest, const std::string& time) {
    if (parse_time(time)) {
        newest = std::max(newest, time);
    }
}

void fold_missed(Catalog& catalog, const Json& body) {
    raise_time(catalog.served, text(body, "due"));
    raise_time(catalog.served, text(body, "until"));
}

void fold_schedule(Catalog& catalog, const AuditRecord& record, const Json& body) {
    catalog.promise = {text(body, "schedule"), text(body, "timezone"), flag(body, "active"),
                       record.time};
}

void fold_run_requested(Catalog& catalog, const AuditRecord& record, const Json& body) {
    if (RunEntry* run = run_of(catalog, body)) {
        run->requested = record.time;
        run->state = "requested";
        run->trigger = text(body, "trigger");
        run->actor = text(body, "actor");
        run->due = text(body, "due");
        run->partial = body.contains("databases");
        raise_time(catalog.served, run->due);
    }
}

void fold_run_started(Catalog& catalog, const AuditRecord& record, const Json& body) {
    if (RunEntry* run = run_of(catalog, body)) {
        run->started = record.time;
        run->state = "running";
    }
}

void fold_run_end(Catalog& catalog, const AuditRecord& record, const Json& body,
                  const char* state) {
    RunEntry* run = run_of(catalog, body);
    if (run == nullptr) {
        return;
    }
    run->finished = record.time;
    run->state = state;
    run->error = error_of(body);
    if (run->state == "good") {
        catalog.last_success = record.time;
        catalog.last_success_run = run->run;
        if (!run->partial) {
            catalog.last_full_run = run->run;
            catalog.covered = run->requested;
            catalog.failures = 0;
        }
    } else {
        catalog.failures += run->state == "failed" && !run->partial ? 1 : 0;
        catalog.last_error = run->error;
        catalog.last_error_run = run->run;
    }
}

void fold_artifact_sealed(Catalog& catalog, const AuditRecord& record, const Json& body) {
    const std::string stem = text(body, "artifact");
    if (!parse_stem(stem) || !is_sha256_hex(text(body, "sha256"))) {
        ++catalog.bad_lines;
        return;
    }
    const bool known = catalog.artifacts.contains(stem);
    ArtifactEntry& entry = catalog.artifacts[stem];
    entry.artifact = stem;
    entry.run = text(body, "run");
    entry.database = text(body, "database");
    entry.globals = flag(body, "globals");
    entry.tier = text(body, "tier");
    entry.taken = text(body, "taken");
    entry.retain_until = text(body, "retain_until");
    entry.size = number(body, "size");
    entry.sql_size = number(body, "sql_size");
    entry.rows = number(body, "rows");
    entry.sha256 = text(body, "sha256");
    entry.seal = text(body, "seal");
    entry.state = "good";
    entry.seq = record.seq;
    RunEntry* run = run_of(catalog, body);
    if (run != nullptr && run->state.empty()) {
        run->state = "running";  // its beginning is in a line that could not be read
    }
    if (run != nullptr && !known) {
        ++run->artifacts;
        run->bytes += entry.size;
    }
}

void fold_artifact_verified(Catalog& catalog, const AuditRecord& record, const Json& body) {
    const auto found = catalog.artifacts.find(text(body, "artifact"));
    const std::string result = text(body, "result");
    if (found == catalog.artifacts.end()) {
        return;
    }
    if (result == "good") {
        found->second.state = result;
        found->second.verified = record.time;
    } else if (result == "missing" || result == "corrupt") {
        found->second.state = result;
        found->second.verified.clear();
    }
}

void fold_settings(Catalog& catalog, const Json& body) {
    const auto found = body.find("settings");
    if (found == body.end() || !found->is_object()) {
        return;
    }
    catalog.settings.clear();
    for (const auto& [name, value] : found->items()) {
        if (value.is_string()) {
            catalog.settings[name] = value.get<std::string>();
        }
    }
}

Json error_json(const std::optional<ErrorText>& error) {
    if (!error) {
        return nullptr;
    }
    return {{"code", error->code},
            {"message", error->message},
            {"detail", error->detail},
            {"hint", error->hint}};
}

Json run_json(const RunEntry& run) {
    return {{"run", run.run},         {"requested", run.requested},
            {"started", run.started}, {"finished", run.finished},
            {"state", run.state},     {"trigger", run.trigger},
            {"actor", run.actor},     {"due", run.due},
            {"partial", run.partial}, {"artifacts", run.artifacts},
            {"bytes", run.bytes},     {"error", error_json(run.error)}};
}

Json artifact_json(const ArtifactEntry& entry) {
    return {{"artifact", entry.artifact},
            {"run", entry.run},
            {"database", entry.database},
            {"globals", entry.globals},
            {"tier", entry.tier},
            {"taken", entry.taken},
            {"retain_until", entry.retain_until},
            {"size", entry.size},
            {"sql_size", entry.sql_size},
            {"rows", entry.rows},
            {"sha256", entry.sha256},
            {"seal", entry.seal},
            {"state", entry.state},
            {"verified", entry.verified},
            {"seq", entry.seq}};
}

RunEntry run_from(const Json& json) {
    RunEntry run;
    run.run = text(json, "run");
    run.requested = text(json, "requested");
    run.started = text(json, "started");
    run.finished = text(json, "finished");
    run.state = text(json, "state");
    run.trigger = text(json, "trigger");
    run.actor = text(json, "actor");
    run.due = text(json, "due");
    run.partial = flag(json, "partial");
    run.artifacts = number(json, "artifacts");
    run.bytes = number(json, "bytes");
    run.error = error_of(json);
    return run;
}

ArtifactEntry artifact_from(const Json& json) {
    ArtifactEntry entry;
    entry.artifact = text(json, "artifact");
    entry.run = text(json, "run");
    entry.database = text(json, "database");
    entry.globals = flag(json, "globals");
    entry.tier = text(json, "tier");
    entry.taken = text(json, "taken");
    entry.retain_until = text(json, "retain_until");
    entry.size = number(json, "size");
    entry.sql_size = number(json, "sql_size");
    entry.rows = number(json, "rows");
    entry.sha256 = text(json, "sha256");
    entry.seal = text(json, "seal");
    entry.state = text(json, "state");
    entry.verified = text(json, "verified");
    entry.seq = number(json, "seq");
    return entry;
}

// Parses JSON of bounded depth; discarded where it is not that. What is nested too deeply ends the
// parse at once, before it costs memory.
Json parse_bounded(std::string_view content) {
    constexpr int kMaxDepth = 16;
    struct TooDeep {};
    try {
        return Json::parse(
            content,
            [](int depth, Json::parse_event_t, Json&) {
                if (depth > kMaxDepth) {
                    throw TooDeep{};
                }
                return true;
            },
            false);
    } catch (const TooDeep&) {
        return Json::value_t::discarded;
    }
}

constexpr std::string_view kCheckpointMagic = "immbackup-catalog 1 ";

}  // namespace

void Catalog::apply(const AuditRecord& record) {
    head_seq = record.seq;
    head_hash = record.hash;
    const Json body = parse_bounded(record.body);
    if (!body.is_object()) {
        ++bad_lines;
        return;
    }
    const std::string& event = record.event;
    if (event == event::kInstanceCreated) {
        instance = text(body, "instance");
    } else if (event == event::kScheduleChanged) {
        fold_schedule(*this, record, body);
    } else if (event == event::kRunMissed) {
        fold_missed(*this, body);
    } else if (event == event::kRunRequested) {
        fold_run_requested(*this, record, body);
    } else if (event == event::kRunStarted) {
        fold_run_started(*this, record, body);
    } else if (event == event::kRunFinished) {
        fold_run_end(*this, record, body, "good");
    } else if (event == event::kRunFailed) {
        fold_run_end(*this, record, body, "failed");
    } else if (event == event::kRunCancelled) {
        fold_run_end(*this, record, body, "cancelled");
    } else if (event == event::kArtifactSealed) {
        fold_artifact_sealed(*this, record, body);
    } else if (event == event::kArtifactVerified) {
        fold_artifact_verified(*this, record, body);
    } else if (event == event::kSettingsChanged) {
        fold_settings(*this, body);
    }
}

void Catalog::apply_line(std::string_view line, std::uint64_t bytes) {
    offset += bytes;
    std::string why;
    if (const auto record = parse_audit_line(line, why)) {
        apply(*record);
    } else {
        ++bad_lines;
    }
}

std::string catalog_to_checkpoint(const Catalog& catalog) {
    Json runs = Json::array();
    for (const auto& [id, run] : catalog.runs) {
        runs.push_back(run_json(run));
    }
    Json artifacts = Json::array();
    for (const auto& [stem, entry] : catalog.artifacts) {
        artifacts.push_back(artifact_json(entry));
    }
    const Json json{{"instance", catalog.instance},
                    {"bad_lines", catalog.bad_lines},
                    {"last_run", catalog.last_run},
                    {"last_success", catalog.last_success},
                    {"last_success_run", catalog.last_success_run},
                    {"error", error_json(catalog.last_error)},
                    {"last_error_run", catalog.last_error_run},
                    {"settings", catalog.settings},
                    {"schedule", catalog.promise.schedule},
                    {"timezone", catalog.promise.timezone},
                    {"active", catalog.promise.active},
                    {"since", catalog.promise.since},
                    {"served", catalog.served},
                    {"last_full_run", catalog.last_full_run},
                    {"covered", catalog.covered},
                    {"failures", catalog.failures},
                    {"runs", std::move(runs)},
                    {"artifacts", std::move(artifacts)}};
    const std::string rest = json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    return std::string(kCheckpointMagic) + std::to_string(catalog.offset) + " " +
           std::to_string(catalog.head_seq) + " " + catalog.head_hash + " " + sha256_hex(rest) +
           "\n" + rest;
}

namespace {

// Takes the next space-separated word off the first line.
std::string_view next_word(std::string_view& line) {
    const auto end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
}

std::optional<std::uint64_t> parse_count(std::string_view word) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::optional<Catalog> catalog_from_checkpoint(std::string_view content) {
    const auto end = content.find('\n');
    if (content.size() > kMaxCheckpoint || !content.starts_with(kCheckpointMagic) ||
        end == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view head = content.substr(kCheckpointMagic.size(), end - kCheckpointMagic.size());
    const std::string_view rest = content.substr(end + 1);
    Catalog catalog;
    const auto offset = parse_count(next_word(head));
    const auto seq = parse_count(next_word(head));
    catalog.head_hash = std::string(next_word(head));
    if (!offset || !seq || !is_sha256_hex(catalog.head_hash) || head != sha256_hex(rest)) {
        return std::nullopt;
    }
    catalog.offset = *offset;
    catalog.head_seq = *seq;
    const Json json = parse_bounded(rest);
    if (!json.is_object() || !json.contains("runs") || !json["runs"].is_array() ||
        !json.contains("artifacts") || !json["artifacts"].is_array()) {
        return std::nullopt;
    }
    catalog.instance = text(json, "instance");
    catalog.bad_lines = number(json, "bad_lines");
    catalog.last_run = text(json, "last_run");
    catalog.last_success = text(json, "last_success");
    catalog.last_success_run = text(json, "last_success_run");
    catalog.last_error = error_of(json);
    catalog.last_error_run = text(json, "last_error_run");
    fold_settings(catalog, json);
    catalog.promise = {text(json, "schedule"), text(json, "timezone"), flag(json, "active"),
                       text(json, "since")};
    catalog.served = text(json, "served");
    catalog.last_full_run = text(json, "last_full_run");
    catalog.covered = text(json, "covered");
    catalog.failures = number(json, "failures");
    for (const Json& entry : json["runs"]) {
        RunEntry run = entry.is_object() ? run_from(entry) : RunEntry{};
        if (!parse_run_id(run.run)) {
            return std::nullopt;
        }
        catalog.runs[run.run] = std::move(run);
    }
    for (const Json& entry : json["artifacts"]) {
        ArtifactEntry artifact = entry.is_object() ? artifact_from(entry) : ArtifactEntry{};
        if (!parse_stem(artifact.artifact)) {
            return std::nullopt;
        }
        catalog.artifacts[artifact.artifact] = std::move(artifact);
    }
    return catalog;
}

}  // namespace immbackup
