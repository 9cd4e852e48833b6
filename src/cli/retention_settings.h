// The settings that decide over retention, for commands that look at a directory a server uses.
#pragma once

#include "cli/options.h"
#include "core/catalog.h"

namespace immbackup {

// Flags before environment before what the server's worker last recorded before defaults: a command
// without any flag sees the directory as the server does. Error(config).
Settings retention_settings(const Context& context, const Catalog& catalog);
// The same with what the server's worker asks of the vault; an operator may not read the log, and
// then gets defaults.
Settings vault_settings(const Context& context, const Store& store);
void add_retention_options(CLI::App& command, Context& context);

}  // namespace immbackup
