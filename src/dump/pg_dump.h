// Finding, checking and calling pg_dump and pg_dumpall.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/settings.h"
#include "dump/connection.h"
#include "io/process.h"

namespace immbackup {

struct DumpProgram {
    std::string path;
    std::string version;  // "15.18 (Debian 15.18-0+deb12u1)"
    int major = 0;
    int minor = 0;
};

// `name` is pg_dump, pg_dumpall or psql; looked for in `bindir`, or, where that is empty (command
// line), beside the pg_config that immbackup was built with, then on PATH. Error(not_found) with a
// hint.
DumpProgram find_program(const std::string& bindir, const std::string& name,
                         const CancelToken& cancel);
// Error(version) with a hint where the program's major version is older than the server's.
void check_program_version(const DumpProgram& program, int server_version_num);

// Without connection arguments; the setting pg_dump_options was checked by the settings' parser.
std::vector<std::string> pg_dump_arguments(const Settings& settings);
std::vector<std::string> pg_dumpall_globals_arguments(const Settings& settings,
                                                      bool role_passwords);
// How to spawn pg_dump, pg_dumpall or psql: connection by environment, database (empty: none named)
// by connection_string(), so that no name is read as an option or as a connection string.
SpawnOptions pg_dump_command(const DumpProgram& program, const ConnectionTarget& target,
                             const std::vector<std::string>& arguments,
                             const std::string& database);

// Which psql can restore a dump, for the manifest. `restricted` as in ScanResult.
std::string psql_required(bool restricted, int server_version_num);

}  // namespace immbackup
