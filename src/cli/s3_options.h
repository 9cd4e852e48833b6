// The settings of the bucket, for commands.
#pragma once

#include "cli/options.h"

namespace immbackup {

void add_s3_options(CLI::App& command, Context& context);

}  // namespace immbackup
