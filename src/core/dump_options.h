// Which options of pg_dump the setting pg_dump_options may hold. An allow-list: an option that
// pg_dump learns later is refused until somebody has looked at it.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace immbackup {

// Why these arguments are refused, a sentence; nothing where all are allowed.
std::optional<std::string> dump_options_problem(std::span<const std::string> arguments);

}  // namespace immbackup
