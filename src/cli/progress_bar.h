// Progress for a person: one line on a terminal's stderr, with rate and time left; nothing in a
// pipe. Warnings are printed in either case.
#pragma once

#include <memory>
#include <string>

#include "io/progress.h"

namespace immbackup {

std::unique_ptr<Progress> make_progress_bar(bool terminal);

// The line of the bar, without control characters, at most `width` bytes. Pure.
std::string progress_line(const ProgressState& state, double seconds, std::size_t width);

}  // namespace immbackup
