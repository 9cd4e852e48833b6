#include "dump/pg_dump.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace immbackup {

namespace {

constexpr int kVersionsPerMajor = 10000;  // as in PG_VERSION_NUM

bool is_program(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

std::vector<std::string> places(const std::string& bindir, const std::string& name) {
    if (!bindir.empty()) {
        return {bindir + '/' + name};
    }
    std::vector<std::string> paths = {std::string(IMMBACKUP_BINDIR) + '/' + name};
    const char* search = std::getenv("PATH");
    std::string_view rest = search != nullptr ? search : "";
    while (!rest.empty()) {
        const std::string_view folder = rest.substr(0, rest.find(':'));
        if (folder.starts_with('/')) {  // a relative one is whatever the current folder holds
            paths.push_back(std::string(folder) + '/' + name);
        }
        rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    }
    return paths;
}

// "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", also "18beta1" and "19devel".
bool parse_version(std::string_view text, DumpProgram& program) {
    constexpr std::string_view kMark = "(PostgreSQL) ";
    const std::size_t at = text.find(kMark);
    if (at == std::string_view::npos) {
        return false;
    }
    text = text.substr(at + kMark.size());
    text = text.substr(0, text.find_last_not_of(" \r\n") + 1);
    program.version = text;
    const char* const end = text.data() + text.size();
    const auto major = std::from_chars(text.data(), end, program.major);
    if (major.ec != std::errc{}) {
        return false;
    }
    if (major.ptr != end && *major.ptr == '.') {
        std::from_chars(major.ptr + 1, end, program.minor);
    }
    return true;
}

}  // namespace

DumpProgram find_program(const std::string& bindir, const std::string& name,
                         const CancelToken& cancel) {
    DumpProgram program;
    const std::vector<std::string> paths = places(bindir, name);
    for (const std::string& path : paths) {
        if (is_program(path)) {
            program.path = path;
            break;
        }
    }
    if (program.path.empty()) {
        throw Error(ErrorCode::not_found, fmt::format("could not find program \"{}\"", name),
                    fmt::format("It is not at \"{}\"{}.", paths.front(),
                                paths.size() > 1 ? " nor on PATH" : ""),
                    "Install the PostgreSQL client programs of the server's version.");
    }
    SpawnOptions options;
    options.program = program.path;
    options.arguments = {"--version"};
    options.environment_set = {{"LC_ALL", "C"}};
    const Output output = run_program(options, cancel);
    if (!output.status.success() || !parse_version(output.out, program)) {
        throw Error(ErrorCode::version,
                    fmt::format("could not learn the version of \"{}\"", program.path),
                    fmt::format("\"--version\" ended with {} and printed \"{}{}\".",
                                output.status.text(), output.out, output.err),
                    "Install the PostgreSQL client programs of the server's version.");
    }
    return program;
}

void check_program_version(const DumpProgram& program, int server_version_num) {
    const int server_major = server_version_num / kVersionsPerMajor;
    if (program.major < server_major) {
        throw Error(ErrorCode::version,
                    fmt::format("\"{}\" is version {}, too old for a server of version {}",
                                program.path, program.major, server_major),
                    fmt::format("It is {}; the program must not be older than the server.",
                                program.version),
                    fmt::format("Install the client programs of PostgreSQL {} (on Debian: "
                                "postgresql-client-{}).",
                                server_major, server_major));
    }
}

std::vector<std::string> pg_dump_arguments(const Settings& settings) {
    std::vector<std::string> arguments = {"--format=plain", "--no-password"};
    if (settings.lock_wait_timeout > 0) {
        constexpr std::int64_t kMsPerSecond = 1000;
        arguments.push_back(
            fmt::format("--lock-wait-timeout={}", settings.lock_wait_timeout * kMsPerSecond));
    }
    arguments.insert(arguments.end(), settings.pg_dump_options.begin(),
                     settings.pg_dump_options.end());
    return arguments;
}

std::vector<std::string> pg_dumpall_globals_arguments(const Settings& settings,
                                                      bool role_passwords) {
    std::vector<std::string> arguments = {"--globals-only", "--no-password"};
    if (settings.lock_wait_timeout > 0) {
        constexpr std::int64_t kMsPerSecond = 1000;
        arguments.push_back(
            fmt::format("--lock-wait-timeout={}", settings.lock_wait_timeout * kMsPerSecond));
    }
    if (!role_passwords) {
        arguments.emplace_back("--no-role-passwords");  // then reads pg_roles, which everybody may
    }
    return arguments;
}

SpawnOptions pg_dump_command(const DumpProgram& program, const ConnectionTarget& target,
                             const std::vector<std::string>& arguments,
                             const std::string& database) {
    const std::string name = std::filesystem::path(program.path).filename();
    SpawnOptions options;
    options.program = program.path;
    options.arguments = arguments;
    if (!database.empty()) {
        // pg_dumpall ignores the database in its --dbname.
        const char* option = name == "pg_dumpall" ? "--database=" : "--dbname=";
        options.arguments.push_back(option + connection_string(database));
    }
    options.environment_set = target.environment("immbackup " + name);
    options.environment_unset = foreign_connection_variables();
    return options;
}

std::string psql_required(bool restricted, int server_version_num) {
    if (restricted) {
        return "psql 18, 17.6, 16.10, 15.14, 14.19, 13.22 or a later release of these (the dump "
               "begins with \\restrict)";
    }
    return fmt::format("psql {} or later", server_version_num / kVersionsPerMajor);
}

}  // namespace immbackup
