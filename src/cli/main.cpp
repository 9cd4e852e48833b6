// The `immbackup` program: parses the command line, runs one command, turns an error into an exit
// code.

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "cli/commands.h"

namespace {

constexpr const char* kFooter =
    "Settings come from flags, then from the environment (BACKUP_DIR, DB_HOST, ...), then from "
    "defaults;\n"
    "`immbackup settings` shows them.\n\n"
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 10 invalid setting or unusable directory; 11 "
    "directory\n"
    "in use by another job; 12 cannot connect; 13 pg_dump failed; 14 dump incomplete; 15 I/O "
    "error; 16 no\n"
    "space; 17 corrupt; 18 not found; 19 audit log unusable or broken; 20 cancelled; 21 timed "
    "out;\n"
    "22 versions do not fit; 23 restore failed; 24 exists already; 25 permission denied; 26 "
    "internal "
    "error;\n"
    "27 rejected by the store for good.";

int run(int argc, char** argv) {
    using namespace immbackup;
    CLI::App app{"Scheduled, proven, immutable backups of PostgreSQL: the command line",
                 "immbackup"};
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("immbackup ") + IMMBACKUP_VERSION);
    app.footer(kFooter);
    Context context;
    for (const auto add :
         {register_backup, register_list, register_show, register_verify, register_restore,
          register_check, register_audit, register_settings, register_schedule, register_prune,
          register_acts, register_import, register_upload, register_fetch, register_retention,
          register_version, register_job}) {
        add(app, context);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : static_cast<int>(ErrorCode::usage);
    }
    try {
        return context.action();
    } catch (const Error& error) {
        print_error(error);
        return error.exit_code();
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "immbackup: error: {}\n", error.what());
        return static_cast<int>(immbackup::ErrorCode::internal);
    }
}
