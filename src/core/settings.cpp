// Checking and resolving of setting values.

#include "core/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "core/dump_options.h"
#include "core/error.h"
#include "core/schedule.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxValueLength = 8192;
constexpr std::size_t kMaxDatabaseName = 63;

bool has_control_character(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

std::string upper(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    return out;
}

std::optional<long> whole_number(std::string_view text) {
    long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
        return std::nullopt;
    }
    return value;
}

// "10min" for a setting in seconds, with PostgreSQL's units from the second up; "2GB" for one in
// MB.
std::optional<long> number_with_unit(std::string_view text, std::string_view unit) {
    const auto digits_end = text.find_first_not_of("-0123456789");
    auto value = whole_number(text.substr(0, digits_end));
    if (!value || digits_end == std::string_view::npos) {
        return value;
    }
    std::string_view suffix = text.substr(digits_end);
    suffix.remove_prefix(std::min(suffix.find_first_not_of(' '), suffix.size()));
    struct Unit {
        std::string_view base;
        std::string_view name;
        long factor;
    };
    constexpr std::array<Unit, 7> kUnits{{{"s", "s", 1},
                                          {"s", "min", 60},
                                          {"s", "h", 3600},
                                          {"s", "d", 86'400},
                                          {"MB", "MB", 1},
                                          {"MB", "GB", 1024},
                                          {"MB", "TB", 1024L * 1024}}};
    for (const auto& [base, name, factor] : kUnits) {
        if (unit == base && suffix == name && std::abs(*value) < 1'000'000'000L) {
            return *value * factor;
        }
    }
    return std::nullopt;
}

// As pg_dump's --compress; a level alone means gzip.
std::optional<Compression> parse_compression(std::string_view value) {
    struct Method {
        std::string_view name;
        DumpFormat format;
        int default_level;
        int max_level;
    };
    constexpr std::array<Method, 2> kMethods{{{"gzip", DumpFormat::gzip, 2, kMaxGzipLevel},
                                              {"zstd", DumpFormat::zstd, 3, kMaxZstdLevel}}};
    const auto colon = value.find(':');
    const bool named = !value.empty() && (value[0] < '0' || value[0] > '9');
    for (const auto& method : kMethods) {
        if (named ? value.substr(0, colon) != method.name : method.format != DumpFormat::gzip) {
            continue;
        }
        if (named && colon == std::string_view::npos) {
            return Compression{method.format, method.default_level};
        }
        std::string_view digits = named ? value.substr(colon + 1) : value;
        constexpr std::string_view kLevel = "level=";
        digits.remove_prefix(named && digits.starts_with(kLevel) ? kLevel.size() : 0);
        const auto level = whole_number(digits);
        if (level && *level >= 1 && *level <= method.max_level) {
            return Compression{method.format, static_cast<int>(*level)};
        }
    }
    return std::nullopt;
}

std::optional<std::string> integer_problem(const SettingDefinition& d, std::string_view value) {
    const auto number = number_with_unit(value, d.unit);
    if (!number) {
        return fmt::format(
            "\"{}\" is not a whole number{}.", value,
            std::string_view(d.unit) == "s"    ? " of seconds, or a number with s, min, h or d"
            : std::string_view(d.unit) == "MB" ? " of megabytes, or a number with MB, GB or TB"
                                               : "");
    }
    if (*number < d.min || *number > d.max) {
        return fmt::format("{} is outside the valid range from {} to {}.", *number, d.min, d.max);
    }
    if (d.min == -1 && *number == 0) {
        return "0 is not allowed: it would keep nothing. -1 means unset.";
    }
    return std::nullopt;
}

std::optional<std::string> choice_problem(const SettingDefinition& d, std::string_view value) {
    const std::string wanted = "," + lower(value) + ",";
    const std::string choices = fmt::format(",{},", d.choices);
    if (value.empty() || value.find(',') != std::string_view::npos ||
        choices.find(wanted) == std::string::npos) {
        return fmt::format("\"{}\" is not one of {}.", value, d.choices);
    }
    return std::nullopt;
}

std::optional<std::string> path_problem(std::string_view value, bool may_be_empty) {
    if (value.empty() && may_be_empty) {
        return std::nullopt;
    }
    if (!value.starts_with('/')) {
        return fmt::format("\"{}\" is not an absolute path.", value);
    }
    return std::nullopt;
}

std::optional<std::string> databases_problem(std::string_view value) {
    const auto names = split_names(value);
    if (!names) {
        return "It is not a list of names separated by commas.";
    }
    auto sorted = *names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) {
        return fmt::format("\"{}\" is named twice.", *twice);
    }
    for (const auto& name : *names) {
        if (name.size() > kMaxDatabaseName) {
            return fmt::format("\"{}\" is longer than the name of a database can be.", name);
        }
    }
    return std::nullopt;
}

std::optional<std::string> port_problem(std::string_view value) {
    const auto port = whole_number(value);
    if (!value.empty() && (!port || *port < 1 || *port > 65535)) {
        return fmt::format("\"{}\" is not a port: 1 to 65535 are.", value);
    }
    return std::nullopt;
}

std::optional<std::string> dump_options_text_problem(std::string_view value) {
    const auto arguments = split_arguments(value);
    if (!arguments) {
        return "A quote is not closed, or a backslash stands at the end.";
    }
    return dump_options_problem(*arguments);
}

std::optional<std::string> program_problem(std::string_view value) {
    const auto arguments = split_arguments(value);
    if (!arguments) {
        return "A quote is not closed.";
    }
    if (!arguments->empty() && !arguments->front().starts_with('/')) {
        return fmt::format("\"{}\" is not an absolute path.", arguments->front());
    }
    return std::nullopt;
}

// As AWS allows them, and as a path has them: names without "." and "..", no empty ones.
std::optional<std::string> prefix_problem(std::string_view value) {
    const std::string inner = "/" + std::string(value) + "/";
    if (value.starts_with('/') || value.ends_with('/') ||
        (!value.empty() && inner.find("//") != std::string::npos) ||
        inner.find("/./") != std::string::npos || inner.find("/../") != std::string::npos) {
        return fmt::format("\"{}\" is not a prefix: names with \"/\" between them are.", value);
    }
    return value.size() > 512 ? std::optional<std::string>("It is longer than 512 bytes.")
                              : std::nullopt;
}

std::optional<std::string> s3_problem(std::string_view name, std::string_view value) {
    if (name == "s3_bucket") {
        constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789.-";
        if (!value.empty() && (value.size() < 3 || value.size() > 63 ||
                               value.find_first_not_of(kAllowed) != std::string_view::npos)) {
            return fmt::format(
                "\"{}\" is not the name of a bucket: 3 to 63 of a-z, 0-9, \".\" and \"-\" are.",
                value);
        }
    } else if (name == "s3_prefix") {
        return prefix_problem(value);
    } else if (name == "s3_endpoint_url") {
        if (!value.empty() && !value.starts_with("https://") && !value.starts_with("http://")) {
            return fmt::format("\"{}\" is not a URL: http:// and https:// are.", value);
        }
        if (value.find('@') != std::string_view::npos) {
            return "A URL with a user or a password in it is never used.";
        }
    } else if (name == "s3_ca_file") {
        return path_problem(value, true);
    }
    return std::nullopt;
}

std::optional<std::string> string_problem(const SettingDefinition& d, std::string_view value) {
    const std::string_view name = d.name;
    if (value.size() > kMaxValueLength) {
        return "The value is too long.";
    }
    // A database may be called anything; everything else is one printable line.
    if (name != "databases" && has_control_character(value)) {
        return "The value has control characters.";
    }
    if (name == "schedule") {
        return value.empty() ? std::nullopt : schedule_problem(value);
    }
    if (name == "timezone") {
        return timezone_problem(value);
    }
    if (name == "directory" || name == "password_file" || name == "vault_helper") {
        return path_problem(value, name != "directory");
    }
    if (name == "port") {
        return port_problem(value);
    }
    if (name == "databases") {
        return databases_problem(value);
    }
    if (name == "compression" && !parse_compression(value)) {
        return fmt::format(
            "\"{}\" is not a compression: gzip:1 to gzip:9 and zstd:1 to zstd:19 are.", value);
    }
    if (name == "pg_dump_options") {
        return dump_options_text_problem(value);
    }
    if (name == "on_event") {
        return program_problem(value);
    }
    if (name.starts_with("s3_")) {
        return s3_problem(name, value);
    }
    return std::nullopt;
}

bool is_boolean_text(std::string_view value) {
    // As PostgreSQL's parse_bool: unambiguous beginnings count.
    constexpr std::array<std::string_view, 8> kWords{"on",  "off", "true", "false",
                                                     "yes", "no",  "1",    "0"};
    const std::string word = lower(value);
    return !word.empty() && word != "o" &&
           std::any_of(kWords.begin(), kWords.end(),
                       [&](std::string_view known) { return known.starts_with(word); });
}

// The texts with defaults filled in, each checked.
class Values {
  public:
    explicit Values(const SettingTexts& texts) : texts_(texts) {
        for (const auto& d : setting_definitions()) {
            if (const auto problem = setting_problem(d, text(d.name))) {
                throw Error(ErrorCode::config,
                            fmt::format("invalid value for setting \"immbackup.{}\": \"{}\"",
                                        d.name, text(d.name)),
                            *problem);
            }
        }
    }
    std::string text(std::string_view name) const {
        const auto found = texts_.find(name);
        return found != texts_.end() ? found->second : find_setting(name)->default_value;
    }
    bool flag(std::string_view name) const {
        const std::string value = lower(text(name));
        return value == "1" || value == "on" || std::string_view("true").starts_with(value) ||
               std::string_view("yes").starts_with(value);
    }
    int number(std::string_view name) const {
        return static_cast<int>(*number_with_unit(text(name), find_setting(name)->unit));
    }

  private:
    const SettingTexts& texts_;
};

}  // namespace

std::optional<std::string> setting_problem(const SettingDefinition& definition,
                                           std::string_view value) {
    switch (definition.type) {
        case SettingType::integer:
            return integer_problem(definition, value);
        case SettingType::enumeration:
            return choice_problem(definition, value);
        case SettingType::boolean:
            return is_boolean_text(value)
                       ? std::nullopt
                       : std::optional(fmt::format("\"{}\" is not on or off.", value));
        case SettingType::string:
            return string_problem(definition, value);
    }
    return std::nullopt;
}

std::optional<EnvironmentValue> setting_from_environment(const SettingDefinition& definition,
                                                         const EnvironmentLookup& lookup) {
    std::string_view rest = definition.environment;
    while (!rest.empty()) {
        const auto comma = std::min(rest.find(','), rest.size());
        const std::string variable(rest.substr(0, comma));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        const char* value = lookup(variable.c_str());
        if (value == nullptr || *value == '\0') {
            continue;
        }
        // TZ may also hold ":/etc/localtime" or a POSIX rule, which is no error of ours.
        if (variable == "TZ" && timezone_problem(value)) {
            continue;
        }
        return EnvironmentValue{variable, value};
    }
    return std::nullopt;
}

std::optional<EnvironmentProblem> environment_problem(const EnvironmentLookup& lookup) {
    for (const char* variable : {"DB_PASSWORD", "PGPASSWORD"}) {
        const char* password = lookup(variable);
        if (password != nullptr && *password != '\0') {
            return EnvironmentProblem{
                std::string(variable) +
                    " is set: a password in the environment can be read by others and is never "
                    "used",
                "Put the password into a file, set DB_PASSWORD_FILE to its path, and unset " +
                    std::string(variable) + "."};
        }
    }
    return std::nullopt;
}

bool role_matches(std::string_view run_on, bool standby) {
    const std::string wanted = lower(run_on);
    return wanted == "any" || (wanted == "standby") == standby;
}

namespace {

S3Settings resolve_s3(const Values& values) {
    S3Settings out;
    out.bucket = values.text("s3_bucket");
    out.prefix = values.text("s3_prefix");
    out.object_lock_mode = upper(values.text("s3_object_lock_mode"));
    out.object_lock_days = values.number("s3_object_lock_days");
    out.anchor_days = values.number("s3_anchor_days");
    out.region = values.text("s3_region");
    out.endpoint_url = values.text("s3_endpoint_url");
    out.addressing = lower(values.text("s3_addressing"));
    out.ca_file = values.text("s3_ca_file");
    out.storage_class = values.text("s3_storage_class");
    out.kms_key_id = values.text("s3_kms_key_id");
    out.required = values.flag("s3_required");
    out.extend_locks = values.flag("s3_extend_locks");
    out.prune = values.flag("s3_prune");
    out.concurrency = values.number("s3_concurrency");
    out.max_parts = values.number("s3_max_parts");
    out.bandwidth_limit = values.number("s3_bandwidth_limit");
    out.connect_timeout = values.number("s3_connect_timeout");
    out.stall_timeout = values.number("s3_stall_timeout");
    out.retry_timeout = values.number("s3_retry_timeout");
    out.upload_timeout = values.number("s3_upload_timeout");
    return out;
}

constexpr std::uint64_t kMegabyte = std::uint64_t{1024} * 1024;

}  // namespace

std::string Compression::text() const {
    return fmt::format("{}:{}", format == DumpFormat::zstd ? "zstd" : "gzip", level);
}

Settings resolve_settings(const SettingTexts& texts) {
    const Values values(texts);
    Settings out;
    out.schedule = values.text("schedule");
    out.timezone = values.text("timezone");
    if (out.timezone.empty()) {
        out.timezone = "UTC";
    }
    out.catch_up = values.flag("catch_up");
    out.run_on = lower(values.text("run_on"));
    out.on_event = *split_arguments(values.text("on_event"));
    out.directory = values.text("directory");
    out.vault_helper = values.text("vault_helper");
    out.require_seal = *seal_level_from_name(lower(values.text("require_seal")));
    out.host = values.text("host");
    out.port = values.text("port");
    out.username = values.text("username");
    out.databases = *split_names(values.text("databases"));
    out.password_file = values.text("password_file");
    out.compression = *parse_compression(values.text("compression"));
    const std::string globals = lower(values.text("dump_globals"));
    out.dump_globals = globals == "on"    ? GlobalsMode::on
                       : globals == "off" ? GlobalsMode::off
                                          : GlobalsMode::automatic;
    out.pg_dump_options = *split_arguments(values.text("pg_dump_options"));
    out.run_timeout = values.number("run_timeout");
    out.stall_timeout = values.number("stall_timeout");
    out.connect_wait = values.number("connect_wait");
    out.lock_wait_timeout = values.number("lock_wait_timeout");
    out.nice = values.number("nice");
    const std::string io_priority = lower(values.text("io_priority"));
    out.io_priority = io_priority == "idle"  ? IoPriority::idle
                      : io_priority == "low" ? IoPriority::low
                                             : IoPriority::normal;
    out.rate_limit = static_cast<std::uint64_t>(values.number("rate_limit")) * kMegabyte;
    out.compression_threads = values.number("compression_threads");
    out.retention_days = values.number("retention_days");
    out.retention_hourly_days = values.number("retention_hourly_days");
    out.retention_daily_days = values.number("retention_daily_days");
    out.retention_weekly_days = values.number("retention_weekly_days");
    out.min_keep = values.number("min_keep");
    out.pending_max_days = values.number("pending_max_days");
    out.anomaly_percent = values.number("anomaly_percent");
    out.min_free = static_cast<std::uint64_t>(values.number("min_free")) * kMegabyte;
    out.s3 = resolve_s3(values);
    return out;
}

}  // namespace immbackup
