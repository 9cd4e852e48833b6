// The commands of the `immbackup` program, one file each (command_<name>.cpp). A register function
// adds its subcommand to the program and sets `context.action` in the subcommand's callback.
//
// Bodies of audit records are made with body_text() of backup/bodies.h: ASCII, bounded.
#pragma once

#include "cli/options.h"

namespace immbackup {

void register_backup(CLI::App& app, Context& context);
void register_list(CLI::App& app, Context& context);
void register_fetch(CLI::App& app, Context& context);
void register_show(CLI::App& app, Context& context);
void register_verify(CLI::App& app, Context& context);
void register_restore(CLI::App& app, Context& context);
void register_check(CLI::App& app, Context& context);
void register_audit(CLI::App& app, Context& context);
void register_settings(CLI::App& app, Context& context);
void register_schedule(CLI::App& app, Context& context);
void register_prune(CLI::App& app, Context& context);
void register_acts(CLI::App& app, Context& context);  // hold, release, accept, retire, acknowledge
void register_import(CLI::App& app, Context& context);
void register_upload(CLI::App& app, Context& context);
void register_retention(CLI::App& app, Context& context);  // coverage, preview
void register_version(CLI::App& app, Context& context);
void register_job(CLI::App& app, Context& context);  // hidden: what the scheduler starts

}  // namespace immbackup
