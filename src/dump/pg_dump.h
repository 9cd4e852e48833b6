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

// Why an option of the setting pg_dump_options cannot be allowed: it would change the format, the
// output, the connection, or what of the dump is complete. Nothing where all are fine.
// (setting_problem for pg_dump_options is this function's only other caller; it lives in core.)
std::vector<std::string> pg_dump_arguments(const Settings& settings);
std::vector<std::string> pg_dumpall_globals_arguments(const Settings& settings,
                                                      bool role_passwords);
// Spawn options without pipes decided: program, arguments, connection environment, database by
// PGDATABASE-safe connection string so that hostile names are never read as options or conninfo.
SpawnOptions pg_dump_command(const DumpProgram& program, const ConnectionTarget& target,
                             const std::vector<std::string>& arguments, const std::string& database,
                             int nice);

}  // namespace immbackup
