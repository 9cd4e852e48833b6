#include "core/job_protocol.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/names.h"

namespace immbackup {

namespace {

constexpr std::array<std::pair<JobEventKind, std::string_view>, 9> kKinds{{
    {JobEventKind::run, "run"},
    {JobEventKind::phase, "phase"},
    {JobEventKind::dump, "dump"},
    {JobEventKind::progress, "progress"},
    {JobEventKind::warning, "warning"},
    {JobEventKind::alarm, "alarm"},
    {JobEventKind::schedule, "schedule"},
    {JobEventKind::uploads, "uploads"},
    {JobEventKind::result, "result"},
}};

// A text as a field of at most `limit` encoded bytes, never cut inside a character of UTF-8: the
// server puts these texts into messages and views.
std::string field(std::string_view text, std::size_t limit) {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
    std::string out;
    while (!text.empty()) {
        std::size_t length = 1;
        while (length < 4 && length < text.size() && continues(text[length])) {
            ++length;
        }
        const std::string piece = percent_encode(text.substr(0, length));
        if (out.size() + piece.size() > limit) {
            break;
        }
        out += piece;
        text.remove_prefix(length);
    }
    return out;
}

// The tab separated fields after the kind. Reading past the end, or a field that is not what is
// asked for, makes the whole line no event.
class Fields {
  public:
    explicit Fields(std::string_view rest) : rest_(rest) {}

    std::string text() {
        auto decoded = percent_decode(next());
        good_ = good_ && decoded.has_value();
        return decoded.value_or(std::string());
    }
    // Empty: none.
    std::optional<Time> time() {
        const std::string decoded = text();
        const auto time = parse_time(decoded);
        good_ = good_ && (time || decoded.empty());
        return time;
    }
    template <typename T>
    T number() {
        const std::string_view word = next();
        T value = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        good_ = good_ && error == std::errc{} && end == word.data() + word.size() && !word.empty();
        return value;
    }
    bool complete() const { return good_ && at_end_; }

  private:
    std::string_view next() {
        if (at_end_) {
            good_ = false;
            return {};
        }
        const auto tab = rest_.find('\t');
        const std::string_view word = rest_.substr(0, tab);
        at_end_ = tab == std::string_view::npos;
        rest_ = at_end_ ? std::string_view{} : rest_.substr(tab + 1);
        return word;
    }
    std::string_view rest_;
    bool good_ = true;
    bool at_end_ = false;
};

template <typename T>
void read(const Json& json, const char* name, T& out) {
    const auto found = json.find(name);
    if (found == json.end()) {
        return;
    }
    bool good = true;
    try {
        if constexpr (std::is_same_v<T, int>) {
            // nlohmann would take 1.5 and true for 1, and wrap what is too large.
            const auto number = found->is_number_integer() ? found->get<std::int64_t>() : -1;
            good = number >= 0 && number <= std::numeric_limits<int>::max();
            out = good ? static_cast<int>(number) : 0;
        } else {
            out = found->get<T>();
        }
    } catch (const Json::exception&) {
        good = false;
    }
    if (!good) {
        throw Error(ErrorCode::usage, fmt::format("the job request has a bad member \"{}\"", name));
    }
}

Json missed_to_json(const std::vector<MissedTimes>& missed) {
    Json out = Json::array();
    for (const auto& entry : missed) {
        out.push_back({format_time(entry.first), format_time(entry.last)});
    }
    return out;
}

Time time_from(const Json& json, const char* name) {
    const auto time = json.is_string() ? parse_time(json.get<std::string>()) : std::nullopt;
    if (!time) {
        throw Error(ErrorCode::usage,
                    fmt::format("the job request has a bad time in \"{}\"", name));
    }
    return *time;
}

std::vector<MissedTimes> missed_from_json(const Json& json) {
    if (!json.is_array()) {
        throw Error(ErrorCode::usage, "the job request has a bad member \"missed\"");
    }
    std::vector<MissedTimes> out;
    for (const Json& entry : json) {
        if (!entry.is_array() || entry.size() != 2) {
            throw Error(ErrorCode::usage, "the job request has a bad entry in \"missed\"");
        }
        out.push_back({time_from(entry[0], "missed"), time_from(entry[1], "missed")});
    }
    return out;
}

}  // namespace

std::string job_request_to_json(const JobRequest& request) {
    Json records = Json::array();
    for (const auto& record : request.records) {
        records.push_back({{"event", record.event}, {"body", record.body}});
    }
    Json json{{"protocol", request.protocol},
              {"version", request.version},
              {"job", request.job},
              {"settings", request.settings},
              {"bindir", request.bindir},
              {"server_version_num", request.server_version_num},
              {"trigger", request.trigger},
              {"actor", request.actor},
              {"databases", request.databases},
              {"records", std::move(records)},
              {"settings_diff", request.settings_diff},
              {"settings_at", request.settings_at},
              {"recover", request.recover},
              {"recover_reason", request.recover_reason},
              {"act", request.act},
              {"subject", request.subject},
              {"reason", request.reason},
              {"data_directory", request.data_directory},
              {"missed", missed_to_json(request.missed)},
              {"record_promise", request.record_promise},
              {"active", request.active},
              {"find_missed", request.find_missed},
              {"missed_reason", request.missed_reason},
              {"notification", request.notification}};
    if (request.due) {
        json["due"] = format_time(*request.due);
    }
    return json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

JobRequest job_request_from_json(std::string_view text) {
    const Json json = text.size() <= kMaxRequest ? Json::parse(text, nullptr, false) : Json();
    if (!json.is_object()) {
        throw Error(ErrorCode::usage, "the job request is not a JSON object of bounded size");
    }
    JobRequest out;
    out.protocol = 0;
    read(json, "protocol", out.protocol);
    if (out.protocol != kJobProtocol) {
        throw Error(
            ErrorCode::version,
            fmt::format("the server's immbackup library speaks job protocol {}, this program {}",
                        out.protocol, kJobProtocol),
            "Library and program are of different versions.",
            "Restart PostgreSQL so that it loads the installed library.");
    }
    read(json, "version", out.version);
    read(json, "job", out.job);
    read(json, "settings", out.settings);
    read(json, "bindir", out.bindir);
    read(json, "server_version_num", out.server_version_num);
    read(json, "trigger", out.trigger);
    read(json, "actor", out.actor);
    read(json, "databases", out.databases);
    read(json, "act", out.act);
    read(json, "subject", out.subject);
    read(json, "reason", out.reason);
    read(json, "data_directory", out.data_directory);
    read(json, "settings_diff", out.settings_diff);
    read(json, "settings_at", out.settings_at);
    read(json, "recover", out.recover);
    read(json, "recover_reason", out.recover_reason);
    if (const auto due = json.find("due"); due != json.end()) {
        out.due = time_from(*due, "due");
    }
    if (const auto missed = json.find("missed"); missed != json.end()) {
        out.missed = missed_from_json(*missed);
    }
    read(json, "record_promise", out.record_promise);
    read(json, "active", out.active);
    read(json, "find_missed", out.find_missed);
    read(json, "missed_reason", out.missed_reason);
    read(json, "notification", out.notification);
    Json records = Json::array();
    read(json, "records", records);
    if (!records.is_array()) {
        throw Error(ErrorCode::usage, "the job request has a bad member \"records\"");
    }
    for (const Json& entry : records) {
        if (!entry.is_object()) {
            throw Error(ErrorCode::usage, "the job request has a record that is not an object");
        }
        RecordRequest& record = out.records.emplace_back();
        read(entry, "event", record.event);
        read(entry, "body", record.body);
    }
    return out;
}

std::string format_job_event(const JobEvent& event) {
    switch (event.kind) {
        case JobEventKind::run:
            return fmt::format("run\t{}\n", field(event.run, 64));
        case JobEventKind::phase:
            return fmt::format("phase\t{}\t{}\n", field(event.phase, 64),
                               field(event.database, 256));
        case JobEventKind::dump:
            return fmt::format("dump\t{}\n", event.process_group);
        case JobEventKind::progress:
            return fmt::format("progress\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", field(event.database, 256),
                               field(event.table, 1024), event.bytes_in, event.bytes_out,
                               event.bytes_total, event.databases_done, event.databases_total);
        case JobEventKind::warning:
            return fmt::format("warning\t{}\n", field(event.text, 6000));
        case JobEventKind::alarm:
            return fmt::format("alarm\t{}\t{}\n", field(event.alarm, 64), field(event.text, 6000));
        case JobEventKind::schedule:
            return fmt::format("schedule\t{}\t{}\t{}\t{}\n",
                               event.since ? field(format_time(*event.since), 64) : "",
                               event.baseline ? field(format_time(*event.baseline), 64) : "",
                               event.covered ? field(format_time(*event.covered), 64) : "",
                               event.failures);
        case JobEventKind::uploads:
            return fmt::format("uploads\t{}\t{}\n", event.pending,
                               event.next ? field(format_time(*event.next), 64) : "");
        case JobEventKind::result:
            return fmt::format("result\t{}\t{}\t{}\t{}\n", event.exit_code,
                               field(event.message, 2000), field(event.detail, 4000),
                               field(event.hint, 1500));
    }
    throw Error(ErrorCode::internal, "a job event has no kind");
}

std::optional<JobEvent> parse_job_event(std::string_view line) {
    if (line.size() > kMaxEventLine) {
        return std::nullopt;
    }
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view word = line.substr(0, tab);
    Fields fields(line.substr(tab + 1));
    JobEvent event;
    bool known = false;
    for (const auto& [kind, name] : kKinds) {
        if (name == word) {
            event.kind = kind;
            known = true;
        }
    }
    if (!known) {
        return std::nullopt;
    }
    switch (event.kind) {
        case JobEventKind::run:
            event.run = fields.text();
            break;
        case JobEventKind::phase:
            event.phase = fields.text();
            event.database = fields.text();
            break;
        case JobEventKind::dump:
            event.process_group = fields.number<int>();
            break;
        case JobEventKind::progress:
            event.database = fields.text();
            event.table = fields.text();
            event.bytes_in = fields.number<std::uint64_t>();
            event.bytes_out = fields.number<std::uint64_t>();
            event.bytes_total = fields.number<std::uint64_t>();
            event.databases_done = fields.number<std::uint32_t>();
            event.databases_total = fields.number<std::uint32_t>();
            break;
        case JobEventKind::warning:
            event.text = fields.text();
            break;
        case JobEventKind::alarm:
            event.alarm = fields.text();
            event.text = fields.text();
            break;
        case JobEventKind::schedule:
            event.since = fields.time();
            event.baseline = fields.time();
            event.covered = fields.time();
            event.failures = fields.number<std::uint32_t>();
            break;
        case JobEventKind::uploads:
            event.pending = fields.number<std::uint32_t>();
            event.next = fields.time();
            break;
        case JobEventKind::result:
            event.exit_code = fields.number<int>();
            event.message = fields.text();
            event.detail = fields.text();
            event.hint = fields.text();
            break;
    }
    // Group 1 would make kill() signal every process there is.
    if (!fields.complete() || event.process_group < 0 || event.process_group == 1) {
        return std::nullopt;
    }
    return event;
}

}  // namespace immbackup
