// What was seen of the clocks, kept in records/clock from one request to the next.
#pragma once

#include "vault/clock.h"
#include "vault/tree.h"

namespace immbackup::vault {

// Observes the clocks under the log's lock, keeps what was seen, and returns it. `accept`: an
// operator says that the clock is right.
ClockState observe_clock(const Tree& tree, bool accept = false);
// What observe_clock() would return, without keeping it.
ClockState peek_clock(const Tree& tree);

}  // namespace immbackup::vault
