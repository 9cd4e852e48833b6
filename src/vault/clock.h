// Whether the clock may decide what is removed: the rules of docs/retention.md, as in
// src/core/clock_state.h, in the helper's own words. Within one boot the monotonic clock tells a
// jump; across boots nothing does, so that after one some steady time must pass.
#pragma once

#include <string>
#include <string_view>

#include "vault/text.h"

namespace immbackup::vault {

struct ClockSample {
    std::string boot_id;
    Millis monotonic = 0;  // since boot, with the time the machine was suspended
    Millis wall = 0;
};

// The clocks of this moment.
ClockSample sample_clocks();

struct ClockState {
    std::string boot_id;
    Millis monotonic = 0;  // of the last sample, as is
    Millis wall = 0;       // this; 0: none yet
    Millis jumped = 0;     // unexplained jumps in this boot, added up
    Millis drift = 0;      // what is too little for a jump yet: leaks away as a clock may be slewed
    Millis newest = 0;     // the latest time seen since the clock was last accepted
    bool waiting = false;  // rebooted since it was last accepted
    Millis steady = 0;     // gone steadily since, or since boots before

    void observe(const ClockSample& sample);
    void accept(const ClockSample& sample);
    // Why nothing may be removed or lengthened now, after observe(); empty: the clock is trusted.
    std::string blocked() const;
    bool only_waits() const;
    // The earliest and the latest that it may really be: the wall clock with and without the jumps
    // of this boot.
    Millis earliest() const { return jumped > 0 ? wall - jumped : wall; }
    Millis latest() const { return jumped < 0 ? wall - jumped : wall; }
};

std::string format_clock(const ClockState& state);
// False where the text is not what format_clock() writes.
bool parse_clock(std::string_view text, ClockState& state);

}  // namespace immbackup::vault
