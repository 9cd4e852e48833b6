#include "core/dump_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace immbackup {

namespace {

enum class Argument { none, required };

struct Option {
    std::string_view name;  // long name, or one letter
    Argument argument;
};

// pg_dump 14 to 18, without everything that decides about format (-F, -j, -Z), output (-f, -v),
// connection (-h, -p, -U, -W, -w, -d), snapshot, what makes a dump not load into an empty database
// (-c, -C, --if-exists), or what immbackup sets itself (--lock-wait-timeout).
constexpr std::array kAllowedOptions{
    Option{"a", Argument::none},
    Option{"data-only", Argument::none},
    Option{"b", Argument::none},
    Option{"blobs", Argument::none},
    Option{"large-objects", Argument::none},
    Option{"B", Argument::none},
    Option{"no-blobs", Argument::none},
    Option{"no-large-objects", Argument::none},
    Option{"e", Argument::required},
    Option{"extension", Argument::required},
    Option{"exclude-extension", Argument::required},
    Option{"E", Argument::required},
    Option{"encoding", Argument::required},
    Option{"n", Argument::required},
    Option{"schema", Argument::required},
    Option{"N", Argument::required},
    Option{"exclude-schema", Argument::required},
    Option{"O", Argument::none},
    Option{"no-owner", Argument::none},
    Option{"s", Argument::none},
    Option{"schema-only", Argument::none},
    Option{"S", Argument::required},
    Option{"superuser", Argument::required},
    Option{"t", Argument::required},
    Option{"table", Argument::required},
    Option{"table-and-children", Argument::required},
    Option{"T", Argument::required},
    Option{"exclude-table", Argument::required},
    Option{"exclude-table-and-children", Argument::required},
    Option{"x", Argument::none},
    Option{"no-privileges", Argument::none},
    Option{"no-acl", Argument::none},
    Option{"attribute-inserts", Argument::none},
    Option{"column-inserts", Argument::none},
    Option{"disable-dollar-quoting", Argument::none},
    Option{"disable-triggers", Argument::none},
    Option{"enable-row-security", Argument::none},
    Option{"exclude-table-data", Argument::required},
    Option{"exclude-table-data-and-children", Argument::required},
    Option{"extra-float-digits", Argument::required},
    Option{"filter", Argument::required},
    Option{"include-foreign-data", Argument::required},
    Option{"inserts", Argument::none},
    Option{"load-via-partition-root", Argument::none},
    Option{"no-comments", Argument::none},
    Option{"no-data", Argument::none},
    Option{"no-policies", Argument::none},
    Option{"no-publications", Argument::none},
    Option{"no-schema", Argument::none},
    Option{"no-security-labels", Argument::none},
    Option{"no-subscriptions", Argument::none},
    Option{"no-sync", Argument::none},
    Option{"no-table-access-method", Argument::none},
    Option{"no-tablespaces", Argument::none},
    Option{"no-toast-compression", Argument::none},
    Option{"no-unlogged-table-data", Argument::none},
    Option{"on-conflict-do-nothing", Argument::none},
    Option{"quote-all-identifiers", Argument::none},
    Option{"role", Argument::required},
    Option{"rows-per-insert", Argument::required},
    Option{"sequence-data", Argument::none},
    Option{"serializable-deferrable", Argument::none},
    Option{"statistics", Argument::none},
    Option{"no-statistics", Argument::none},
    Option{"strict-names", Argument::none},
    Option{"use-set-session-authorization", Argument::none},
};

const Option* find(std::string_view name) {
    const auto found = std::find_if(kAllowedOptions.begin(), kAllowedOptions.end(),
                                    [&](const Option& o) { return o.name == name; });
    return found == kAllowedOptions.end() ? nullptr : &*found;
}

std::string refused(std::string_view what) {
    return fmt::format(
        "The option {} is not allowed: only options that choose what is dumped are, by their full "
        "names.",
        what);
}

}  // namespace

std::optional<std::string> dump_options_problem(std::span<const std::string> arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view word = arguments[i];
        const bool is_long = word.starts_with("--") && word.size() > 2;
        const bool is_short = !is_long && word.starts_with("-") && word.size() > 1 && word != "--";
        if (!is_long && !is_short) {
            return fmt::format("The argument \"{}\" is not an option.", word);
        }
        const auto equals = is_long ? word.find('=') : std::string_view::npos;
        const std::string_view name =
            is_long ? word.substr(2, equals == std::string_view::npos ? equals : equals - 2)
                    : word.substr(1, 1);
        // Abbreviations that getopt_long would complete find nothing here, and are refused.
        const Option* option = name.size() == 1 && is_long ? nullptr : find(name);
        if (option == nullptr) {
            return refused(is_long ? word.substr(0, equals) : word.substr(0, 2));
        }
        const bool attached = is_long ? equals != std::string_view::npos : word.size() > 2;
        if (option->argument == Argument::none && attached) {
            return is_long ? fmt::format("The option --{} takes no value.", name)
                           : fmt::format("Write the options in \"{}\" one by one.", word);
        }
        if (option->argument == Argument::required && !attached && ++i == arguments.size()) {
            return fmt::format("The option {} needs a value.", word);
        }
    }
    return std::nullopt;
}

}  // namespace immbackup
