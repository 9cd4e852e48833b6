// Makes settings of PostgreSQL out of the table in core: one set of hooks for each row, made by the
// compiler, since PostgreSQL's hooks are plain functions that are not told which setting they
// serve.
#include "postgres/guc.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "postgres/guard.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxSettings = 64;
constexpr std::size_t kReasonSize = 512;

// What the server knows of one row of the table.
struct Variable {
    char* text = nullptr;  // string
    int number = 0;        // integer, and index into `options` for an enumeration
    bool flag = false;     // boolean
    config_enum_entry* options = nullptr;
    // The source of the value that was accepted last: tells whether a bad one still stands.
    GucSource source = PGC_S_DEFAULT;
    std::string* bad_environment = nullptr;  // refused: "VARIABLE=value"
    std::string* bad_environment_reason = nullptr;
    std::string* refused = nullptr;  // the value of a configuration file or of the command line
    bool refused_in_file = false;
};

std::array<Variable, kMaxSettings> variables;
// While the server starts. Later, the check of a postmaster setting says nothing: a reload checks
// the new value although it cannot take effect.
bool defining = false;

const SettingDefinition& definition_of(std::size_t index) {
    return setting_definitions()[index];
}

std::string full_name(const SettingDefinition& definition) {
    return std::string("immbackup.") + definition.name;
}

// PostgreSQL keeps the pointers for as long as the server runs.
char* keep(std::string_view text) {
    char* kept = static_cast<char*>(std::malloc(text.size() + 1));
    if (kept == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(kept, text.data(), text.size());
    kept[text.size()] = '\0';
    return kept;
}

// The check behind all hooks. Runs no code that could longjmp while C++ objects are alive.
bool acceptable(std::size_t index, std::string_view value, char (&reason)[kReasonSize]) noexcept {
    try {
        const auto problem = setting_problem(definition_of(index), value);
        if (!problem) {
            return true;
        }
        const std::size_t length = std::min(problem->size(), kReasonSize - 1);
        std::memcpy(reason, problem->data(), length);
        reason[length] = '\0';
    } catch (const std::exception&) {
        std::strcpy(reason, "The value could not be checked.");
    }
    return false;
}

bool check(std::size_t index, std::string_view value, GucSource source) {
    char reason[kReasonSize];
    if (!acceptable(index, value, reason)) {
        GUC_check_errdetail("%s", reason);
        return false;
    }
    if (defining || definition_of(index).context != SettingContext::postmaster) {
        variables[index].source = source;
    }
    return true;
}

template <std::size_t I>
bool check_string(char** value, void** /*extra*/, GucSource source) {
    return *value == nullptr || check(I, *value, source);
}

template <std::size_t I>
bool check_integer(int* value, void** /*extra*/, GucSource source) {
    char text[16];
    pg_ltoa(*value, text);
    return check(I, text, source);
}

template <std::size_t I>
bool check_boolean(bool* value, void** /*extra*/, GucSource source) {
    return check(I, *value ? "on" : "off", source);
}

template <std::size_t I>
bool check_enumeration(int* value, void** /*extra*/, GucSource source) {
    return check(I, variables[I].options[*value].name, source);
}

struct Hooks {
    GucStringCheckHook string;
    GucIntCheckHook integer;
    GucBoolCheckHook boolean;
    GucEnumCheckHook enumeration;
};

template <std::size_t... I>
constexpr std::array<Hooks, sizeof...(I)> make_hooks(std::index_sequence<I...>) {
    return {Hooks{check_string<I>, check_integer<I>, check_boolean<I>, check_enumeration<I>}...};
}

constexpr auto kHooks = make_hooks(std::make_index_sequence<kMaxSettings>{});

int unit_flag(std::string_view unit) {
    if (unit == "s") {
        return GUC_UNIT_S;
    }
    return unit == "ms" ? GUC_UNIT_MS : unit == "MB" ? GUC_UNIT_MB : 0;
}

config_enum_entry* make_options(std::string_view choices) {
    std::vector<config_enum_entry> entries;
    while (!choices.empty()) {
        const std::size_t comma = std::min(choices.find(','), choices.size());
        std::string_view choice = choices.substr(0, comma);
        while (choice.starts_with(' ')) {
            choice.remove_prefix(1);
        }
        entries.push_back({keep(choice), static_cast<int>(entries.size()), false});
        choices.remove_prefix(std::min(comma + 1, choices.size()));
    }
    entries.push_back({nullptr, 0, false});
    auto kept = std::make_unique<config_enum_entry[]>(entries.size());
    std::copy(entries.begin(), entries.end(), kept.get());
    return kept.release();
}

int option_index(const config_enum_entry* options, std::string_view name) {
    for (const config_enum_entry* option = options; option->name != nullptr; ++option) {
        if (name == option->name) {
            return option->val;
        }
    }
    return 0;
}

// Hands one row to PostgreSQL. A value that a configuration file already gave takes effect here,
// or is refused with a warning.
void define(std::size_t index, const std::string& boot) {
    const SettingDefinition& definition = definition_of(index);
    Variable& variable = variables[index];
    const char* name = keep(full_name(definition));
    const GucContext context =
        definition.context == SettingContext::postmaster ? PGC_POSTMASTER : PGC_SIGHUP;
    const int flags =
        unit_flag(definition.unit) | (definition.superuser_only ? GUC_SUPERUSER_ONLY : 0);
    const Hooks& hooks = kHooks[index];
    const char* boot_text = keep(boot);
    call_postgres([&] {
        switch (definition.type) {
            case SettingType::string:
                DefineCustomStringVariable(name, definition.summary, nullptr, &variable.text,
                                           boot_text, context, flags, hooks.string, nullptr,
                                           nullptr);
                break;
            case SettingType::integer: {
                int number = 0;
                (void)parse_int(boot_text, &number, flags, nullptr);
                DefineCustomIntVariable(name, definition.summary, nullptr, &variable.number, number,
                                        definition.min, definition.max, context, flags,
                                        hooks.integer, nullptr, nullptr);
                break;
            }
            case SettingType::boolean: {
                bool flag = false;
                (void)parse_bool(boot_text, &flag);
                DefineCustomBoolVariable(name, definition.summary, nullptr, &variable.flag, flag,
                                         context, flags, hooks.boolean, nullptr, nullptr);
                break;
            }
            case SettingType::enumeration:
                DefineCustomEnumVariable(name, definition.summary, nullptr, &variable.number,
                                         option_index(variable.options, boot_text),
                                         variable.options, context, flags, hooks.enumeration,
                                         nullptr, nullptr);
                break;
        }
    });
}

// The value the configuration files give a setting now: the last one counts.
std::optional<std::string> value_in_files(const std::string& name) {
    ConfigVariable* head = nullptr;
    ConfigVariable* tail = nullptr;
    call_postgres([&] {
        (void)ParseConfigFile(ConfigFileName, false, nullptr, 0, 0, LOG, &head, &tail);
        (void)ParseConfigFile(PG_AUTOCONF_FILENAME, false, nullptr, 0, 0, LOG, &head, &tail);
    });
    std::optional<std::string> value;
    for (const ConfigVariable* item = head; item != nullptr; item = item->next) {
        if (item->name != nullptr && item->value != nullptr && !item->ignore &&
            pg_strcasecmp(item->name, name.c_str()) == 0) {
            value = item->value;
        }
    }
    call_postgres([&] { FreeConfigVariables(head); });
    return value;
}

void define_with_sources(std::size_t index) {
    const SettingDefinition& definition = definition_of(index);
    Variable& variable = variables[index];
    const std::string name = full_name(definition);
    if (definition.type == SettingType::enumeration) {
        variable.options = make_options(definition.choices);
    }

    std::string boot = definition.default_value;
    const auto environment =
        setting_from_environment(definition, [](const char* key) { return std::getenv(key); });
    bool from_environment = false;
    if (environment) {
        if (auto problem = setting_problem(definition, environment->value)) {
            variable.bad_environment =
                new std::string(environment->variable + "\": \"" + environment->value);
            variable.bad_environment_reason = new std::string(std::move(*problem));
        } else {
            boot = environment->value;
            from_environment = true;
        }
    }

    // What the files or the command line gave is known as a placeholder so far.
    const char* placeholder = nullptr;
    call_postgres([&] { placeholder = GetConfigOption(name.c_str(), true, false); });
    const std::optional<std::string> given =
        placeholder == nullptr ? std::nullopt : std::optional<std::string>(placeholder);

    define(index, boot);
    if (given && variable.source <= PGC_S_ENV_VAR) {
        variable.refused = new std::string(*given);
        variable.refused_in_file = value_in_files(name).has_value();
    }
    if (from_environment) {
        // Does not override a file's value, but passes the check hook all the same.
        const GucSource source = variable.source;
        call_postgres(
            [&] { SetConfigOption(name.c_str(), boot.c_str(), PGC_POSTMASTER, PGC_S_ENV_VAR); });
        variable.source = std::max(source, variable.source);
    }
}

const char* restart_or_reload(const SettingDefinition& definition) {
    return definition.context == SettingContext::postmaster ? "restart the server"
                                                            : "reload the configuration";
}

std::optional<ConfigurationProblem> problem_of(std::size_t index) {
    const SettingDefinition& definition = definition_of(index);
    Variable& variable = variables[index];
    const std::string name = full_name(definition);
    // Some later, valid value of at least the same weight took its place.
    if (variable.source > PGC_S_ENV_VAR) {
        return std::nullopt;
    }
    ConfigurationProblem problem;
    problem.directory = std::string_view(definition.name) == "directory";
    std::optional<std::string> refused;
    if (variable.refused != nullptr) {
        refused = *variable.refused;
        // A reload may have taken it back, or brought another one.
        if (variable.refused_in_file && definition.context != SettingContext::postmaster) {
            refused = value_in_files(name);
        }
    }
    if (refused) {
        problem.message = "invalid value for setting \"" + name + "\": \"" + *refused + "\"";
        problem.detail = setting_problem(definition, *refused)
                             .value_or("PostgreSQL refused it when the server started.");
        problem.hint = "Correct it in postgresql.conf or with ALTER SYSTEM, then " +
                       std::string(restart_or_reload(definition)) + ".";
        return problem;
    }
    if (variable.bad_environment != nullptr) {
        problem.message =
            "invalid value in environment variable \"" + *variable.bad_environment + "\"";
        problem.detail = *variable.bad_environment_reason;
        problem.hint = "Correct the variable and restart the server, or set \"" + name +
                       "\" in postgresql.conf and " + restart_or_reload(definition) + ".";
        return problem;
    }
    return std::nullopt;
}

std::string text_of(std::size_t index) {
    const Variable& variable = variables[index];
    switch (definition_of(index).type) {
        case SettingType::string:
            return variable.text == nullptr ? "" : variable.text;
        case SettingType::integer:
            return std::to_string(variable.number);
        case SettingType::boolean:
            return variable.flag ? "on" : "off";
        case SettingType::enumeration:
            return variable.options[variable.number].name;
    }
    return {};
}

std::string first_socket_directory() {
    const char* first = nullptr;
    call_postgres([&] {
        char* copy = pstrdup(Unix_socket_directories == nullptr ? "" : Unix_socket_directories);
        List* list = NIL;
        if (SplitDirectoriesString(copy, ',', &list) && list != NIL) {
            first = static_cast<const char*>(linitial(list));
        }
    });
    return first == nullptr || *first == '\0' ? "localhost" : first;
}

}  // namespace

void define_settings() {
    const std::size_t count = setting_definitions().size();
    if (count > kMaxSettings) {
        throw Error(ErrorCode::internal, "there are more settings than the module has hooks for");
    }
    defining = true;
    for (std::size_t index = 0; index < count; ++index) {
        define_with_sources(index);
    }
    defining = false;
    call_postgres([] { compat_reserve_prefix("immbackup"); });
}

std::optional<ConfigurationProblem> configuration_problem() {
    if (auto problem = environment_problem([](const char* key) { return std::getenv(key); })) {
        return ConfigurationProblem{problem->message, {}, problem->hint, false};
    }
    for (std::size_t index = 0; index < setting_definitions().size(); ++index) {
        if (auto problem = problem_of(index)) {
            return problem;
        }
    }
    return std::nullopt;
}

SettingTexts configured_settings() {
    SettingTexts texts;
    for (std::size_t index = 0; index < setting_definitions().size(); ++index) {
        texts[definition_of(index).name] = text_of(index);
    }
    return texts;
}

SettingTexts settings_in_effect() {
    SettingTexts texts = configured_settings();
    if (texts["host"].empty()) {
        texts["host"] = first_socket_directory();
        if (texts["port"].empty()) {
            texts["port"] = std::to_string(PostPortNumber);
        }
    }
    return texts;
}

const char* configured_directory() {
    for (std::size_t index = 0; index < setting_definitions().size(); ++index) {
        if (std::strcmp(definition_of(index).name, "directory") == 0) {
            return variables[index].text;
        }
    }
    return "";
}

}  // namespace immbackup
