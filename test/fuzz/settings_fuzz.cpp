// What people write into settings. Options for pg_dump are held against getopt_long() itself, with
// pg_dump's own table: what is let through must mean to pg_dump what it was taken for.
#include <getopt.h>

#include <string>
#include <vector>

#include "core/dump_options.h"
#include "core/error.h"
#include "core/retention.h"
#include "core/schedule.h"
#include "core/settings.h"
#include "fuzz.h"

namespace {

using namespace immbackup;
using fuzz::require;

// pg_dump 18's, with what older ones had; 'X' marks what no setting may choose.
constexpr const char* kShort = "abBcCd:e:E:f:F:h:j:n:N:Op:RsS:t:T:U:vVwWxXZ:?";
constexpr const char* kRefusedShort = "cCdfFhjpRUvVwWXZ?";
constexpr option kLong[] = {{"data-only", no_argument, nullptr, 'a'},
                            {"blobs", no_argument, nullptr, 'b'},
                            {"large-objects", no_argument, nullptr, 'b'},
                            {"no-blobs", no_argument, nullptr, 'B'},
                            {"no-large-objects", no_argument, nullptr, 'B'},
                            {"clean", no_argument, nullptr, 'X'},
                            {"create", no_argument, nullptr, 'X'},
                            {"dbname", required_argument, nullptr, 'X'},
                            {"extension", required_argument, nullptr, 'e'},
                            {"file", required_argument, nullptr, 'X'},
                            {"format", required_argument, nullptr, 'X'},
                            {"host", required_argument, nullptr, 'X'},
                            {"jobs", required_argument, nullptr, 'X'},
                            {"schema", required_argument, nullptr, 'n'},
                            {"exclude-schema", required_argument, nullptr, 'N'},
                            {"no-owner", no_argument, nullptr, 'O'},
                            {"no-reconnect", no_argument, nullptr, 'X'},
                            {"port", required_argument, nullptr, 'X'},
                            {"schema-only", no_argument, nullptr, 's'},
                            {"superuser", required_argument, nullptr, 'S'},
                            {"table", required_argument, nullptr, 't'},
                            {"exclude-table", required_argument, nullptr, 'T'},
                            {"no-password", no_argument, nullptr, 'X'},
                            {"password", no_argument, nullptr, 'X'},
                            {"username", required_argument, nullptr, 'X'},
                            {"verbose", no_argument, nullptr, 'X'},
                            {"no-privileges", no_argument, nullptr, 'x'},
                            {"no-acl", no_argument, nullptr, 'x'},
                            {"compress", required_argument, nullptr, 'X'},
                            {"encoding", required_argument, nullptr, 'E'},
                            {"help", no_argument, nullptr, 'X'},
                            {"version", no_argument, nullptr, 'X'},
                            {"attribute-inserts", no_argument, nullptr, 'i'},
                            {"binary-upgrade", no_argument, nullptr, 'X'},
                            {"column-inserts", no_argument, nullptr, 'i'},
                            {"disable-dollar-quoting", no_argument, nullptr, 'i'},
                            {"disable-triggers", no_argument, nullptr, 'i'},
                            {"enable-row-security", no_argument, nullptr, 'i'},
                            {"exclude-extension", required_argument, nullptr, 'i'},
                            {"exclude-table-data", required_argument, nullptr, 'i'},
                            {"exclude-table-data-and-children", required_argument, nullptr, 'i'},
                            {"exclude-table-and-children", required_argument, nullptr, 'i'},
                            {"extra-float-digits", required_argument, nullptr, 'i'},
                            {"filter", required_argument, nullptr, 'i'},
                            {"if-exists", no_argument, nullptr, 'X'},
                            {"include-foreign-data", required_argument, nullptr, 'i'},
                            {"inserts", no_argument, nullptr, 'i'},
                            {"load-via-partition-root", no_argument, nullptr, 'i'},
                            {"lock-wait-timeout", required_argument, nullptr, 'X'},
                            {"no-comments", no_argument, nullptr, 'i'},
                            {"no-data", no_argument, nullptr, 'i'},
                            {"no-policies", no_argument, nullptr, 'i'},
                            {"no-publications", no_argument, nullptr, 'i'},
                            {"no-schema", no_argument, nullptr, 'i'},
                            {"no-security-labels", no_argument, nullptr, 'i'},
                            {"no-statistics", no_argument, nullptr, 'i'},
                            {"no-subscriptions", no_argument, nullptr, 'i'},
                            {"no-sync", no_argument, nullptr, 'i'},
                            {"no-synchronized-snapshots", no_argument, nullptr, 'X'},
                            {"no-table-access-method", no_argument, nullptr, 'i'},
                            {"no-tablespaces", no_argument, nullptr, 'i'},
                            {"no-toast-compression", no_argument, nullptr, 'i'},
                            {"no-unlogged-table-data", no_argument, nullptr, 'i'},
                            {"on-conflict-do-nothing", no_argument, nullptr, 'i'},
                            {"quote-all-identifiers", no_argument, nullptr, 'i'},
                            {"restrict-key", required_argument, nullptr, 'X'},
                            {"role", required_argument, nullptr, 'i'},
                            {"rows-per-insert", required_argument, nullptr, 'i'},
                            {"section", required_argument, nullptr, 'X'},
                            {"sequence-data", no_argument, nullptr, 'i'},
                            {"serializable-deferrable", no_argument, nullptr, 'i'},
                            {"snapshot", required_argument, nullptr, 'X'},
                            {"statistics", no_argument, nullptr, 'i'},
                            {"statistics-only", no_argument, nullptr, 'X'},
                            {"strict-names", no_argument, nullptr, 'i'},
                            {"sync-method", required_argument, nullptr, 'X'},
                            {"table-and-children", required_argument, nullptr, 'i'},
                            {"use-set-session-authorization", no_argument, nullptr, 'i'},
                            {nullptr, 0, nullptr, 0}};

void check_dump_options(std::vector<std::string> arguments) {
    const auto problem = dump_options_problem(arguments);
    if (problem) {
        require(!problem->empty());
        return;
    }
    std::vector<char*> argv{const_cast<char*>("pg_dump")};
    for (auto& argument : arguments) {
        if (argument.find('\0') != std::string::npos) {
            return;  // no argument of a program holds one; settings cannot either
        }
        argv.push_back(argument.data());
    }
    const int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    optind = 0;
    opterr = 0;
    for (int c = 0; (c = getopt_long(argc, argv.data(), kShort, kLong, nullptr)) != -1;) {
        require(std::string_view(kRefusedShort).find(static_cast<char>(c)) ==
                std::string_view::npos);
    }
    require(optind == argc);
}

void check_schedule(std::string_view text) {
    const auto problem = schedule_problem(text);
    if (problem || text.size() > 100) {
        return;
    }
    const Time start = *parse_time("2026-03-28T23:30:00Z");
    for (const char* zone : {"UTC", "Europe/Vienna"}) {
        const Schedule schedule = Schedule::parse(text, zone);
        const auto due = schedule.next_after(start);
        if (due) {
            require(*due > start && due->time_since_epoch() % std::chrono::minutes(1) ==
                                        std::chrono::milliseconds(0));
            require(schedule.next_after(*due - std::chrono::milliseconds(1)) == due);
            const auto second = schedule.next_after(*due);
            require(!second || *second > *due);
        }
    }
}

// Each setting by itself, then all of them: resolving refuses what a check refuses, and no more.
void check_settings(std::string_view text) {
    for (const auto& definition : setting_definitions()) {
        const auto problem = setting_problem(definition, text);
        bool refused = false;
        try {
            const Settings settings = resolve_settings({{definition.name, std::string(text)}});
            require(effective_days(settings).hourly > 0);
        } catch (const Error& error) {
            require(error.code() == ErrorCode::config);
            refused = true;
        }
        require(refused == problem.has_value());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    if (auto arguments = split_arguments(input)) {
        check_dump_options(std::move(*arguments));
    }
    if (const auto names = split_names(input)) {
        for (const auto& name : *names) {
            require(!name.empty());
        }
    }
    check_schedule(input);
    check_settings(input);
    return 0;
}
