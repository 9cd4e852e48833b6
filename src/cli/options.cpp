#include "cli/options.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "cli/progress_bar.h"
#include "cli/signal_watcher.h"
#include "core/error.h"

namespace immbackup {

namespace {

std::string flag_name(std::string_view setting) {
    std::string out = "--";
    for (const char c : setting) {
        out += c == '_' ? '-' : c;
    }
    return out;
}

// As the server's worker last recorded it; empty where the log does not say.
std::string recorded_setting(const Layout& layout, const char* name) {
    try {
        const Catalog catalog = read_catalog(layout);
        const auto found = catalog.settings.find(name);
        return found == catalog.settings.end() ? std::string() : found->second;
    } catch (const Error&) {
        return {};  // whoever needs the log says so
    }
}

}  // namespace

Context::Context() = default;
Context::~Context() = default;

std::map<std::string, Context::Origin, std::less<>> Context::setting_origins() const {
    std::map<std::string, Origin, std::less<>> out;
    for (const auto& definition : setting_definitions()) {
        Origin& origin = out[definition.name];
        if (const auto flag = flags.find(definition.name); flag != flags.end()) {
            origin = {flag->second, "command line"};
        } else if (const auto found = setting_from_environment(
                       definition, [](const char* name) { return ::getenv(name); })) {
            origin = {found->value, "environment variable " + found->variable};
        } else {
            origin = {definition.default_value, "default"};
        }
    }
    return out;
}

Settings Context::settings() const {
    SettingTexts texts;
    for (const auto& [name, origin] : setting_origins()) {
        texts[name] = origin.text;
    }
    Settings settings = resolve_settings(texts);
    settings.vault_helper = vault_helper();
    return settings;
}

std::string Context::directory() const {
    const auto origins = setting_origins();
    const std::string& text = origins.at("directory").text;
    return resolve_settings({{"directory", text}}).directory;
}

std::string Context::vault_helper() const {
    const auto origins = setting_origins();
    const Origin& origin = origins.at("vault_helper");
    if (origin.from == "default") {
        const Layout layout = find_layout(directory());
        return layout.vault ? recorded_setting(layout, "vault_helper") : std::string();
    }
    return resolve_settings({{"vault_helper", origin.text}}).vault_helper;
}

std::unique_ptr<Store> Context::open_store() const {
    return open_store_for_reading(directory(), vault_helper());
}

std::unique_ptr<Store> Context::open_writable_store() const {
    Settings settings;
    settings.directory = directory();
    settings.vault_helper = vault_helper();
    return immbackup::open_store(settings);
}

AuditLog Context::open_audit(const Store& store) const {
    std::error_code ignored;
    if (!fs::exists(store.layout().audit_log(), ignored)) {
        throw Error(ErrorCode::audit, "there is no audit log in the backup directory");
    }
    return store.open_audit("cli");
}

std::unique_ptr<Progress> Context::make_progress() const {
    return make_progress_bar(!json && !quiet && ::isatty(STDERR_FILENO) == 1);
}

CancelToken& Context::cancel() {
    if (!watcher_) {
        watcher_ = std::make_unique<SignalWatcher>(cancel_);
    }
    return cancel_;
}

void add_setting_options(CLI::App& command, Context& context,
                         std::initializer_list<const char*> names) {
    std::vector<std::string_view> wanted{"directory"};
    wanted.insert(wanted.end(), names.begin(), names.end());
    for (const std::string_view name : wanted) {
        const SettingDefinition* definition = find_setting(name);
        if (definition == nullptr) {
            throw Error(ErrorCode::internal, fmt::format("there is no setting \"{}\"", name));
        }
        if (command.get_option_no_throw(flag_name(name)) != nullptr) {
            continue;  // added by an earlier call for the same command
        }
        command
            .add_option_function<std::string>(
                flag_name(name),
                [&context, key = std::string(name)](const std::string& value) {
                    context.flags[key] = value;
                },
                fmt::format("{} [{}]", definition->summary, definition->environment))
            ->type_name(definition->type == SettingType::integer ? "NUMBER" : "TEXT");
    }
}

void add_connection_options(CLI::App& command, Context& context) {
    add_setting_options(command, context, {"host", "port", "username", "password_file"});
    command
        .add_option("--bindir", context.bindir, "Where pg_dump and psql are (default: looked for)")
        ->type_name("DIR");
}

void add_json_option(CLI::App& command, Context& context) {
    command.add_flag("--json", context.json, "Print JSON");
}

void add_quiet_option(CLI::App& command, Context& context) {
    command.add_flag("--quiet", context.quiet, "Show no progress");
}

void add_examples(CLI::App& command, const std::vector<std::string>& examples) {
    std::string text = "Examples:";
    for (const auto& example : examples) {
        text += "\n  " + example;
    }
    command.footer(text);
}

void print_json(const Json& json) {
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void print_warning(std::string_view text) {
    fmt::print(stderr, "immbackup: warning: {}\n", text);
}

void print_error(const Error& error) {
    fmt::print(stderr, "immbackup: error: {}\n", error.message());
    if (!error.detail().empty()) {
        fmt::print(stderr, "DETAIL: {}\n", error.detail());
    }
    if (!error.hint().empty()) {
        fmt::print(stderr, "HINT: {}\n", error.hint());
    }
}

Json error_json(const Error& error) {
    return {{"code", error_code_name(error.code())},
            {"message", error.message()},
            {"detail", error.detail()},
            {"hint", error.hint()}};
}

std::string size_text(std::uint64_t bytes) {
    constexpr double kStep = 1000.0;
    constexpr std::array<const char*, 6> kUnits{"B", "kB", "MB", "GB", "TB", "PB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    // What would be printed as "1000.0" is the next unit's.
    while (value >= (unit == 0 ? kStep : kStep - 0.05) && unit + 1 < kUnits.size()) {
        value /= kStep;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string duration_text(double seconds) {
    const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
    if (seconds < 9.95) {
        return fmt::format("{:.1f} s", seconds);
    }
    if (whole < 60) {
        return fmt::format("{} s", whole);
    }
    if (whole < 3600) {
        return fmt::format("{} min {:02} s", whole / 60, whole % 60);
    }
    return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string os_user() {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
        found != nullptr) {
        return found->pw_name;
    }
    return fmt::format("uid {}", ::geteuid());
}

std::string printable(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {
            out += fmt::format("\\x{:02x}\\x{:02x}", byte, next);  // U+0080 to U+009F
            ++i;
        } else if (byte < ' ' || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace immbackup
