// What the audit log says of the clock, and whether that is enough to let time decide what may be
// removed. A wrong clock makes backups look old; a clock that is set forward on purpose is an
// attack on them. Within one boot the monotonic clock tells a jump; across boots nothing does, so
// that after one some time must pass, and backups must have been taken, before anything is removed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "core/time.h"

namespace immbackup {

// The clocks of one moment.
struct ClockSample {
    std::string boot_id;             // empty: the system has none
    std::uint64_t monotonic_ms = 0;  // since boot, with the time the machine was suspended
    Time wall;
};

struct ClockVerdict {
    std::string blocked;  // why nothing may be removed now, a sentence; empty: the clock is trusted
    std::string hint;
    // Each database needs a good backup recorded after this sequence number first; 0: none does.
    std::uint64_t wait_seq = 0;
};

class ClockState {
  public:
    // How long the clock must have gone steadily after a boot.
    static constexpr std::chrono::hours kSteady{4};

    // A record of the log: its time, and the sample that it carries.
    void record(Time time);
    void observe(const ClockSample& sample, std::uint64_t seq);
    // An operator, or a server whose clock is trusted, says that the clock is right.
    void confirm(const ClockSample& sample);
    ClockVerdict judge(const ClockSample& now) const;
    // Is a restart all that speaks against the clock? Then a server that agrees may confirm it.
    bool waits_after_restart(const ClockSample& now) const;

    // All of the state, for the catalog's checkpoint.
    struct Fields {
        std::string boot_id;
        std::uint64_t monotonic_ms = 0;
        std::string wall;             // of the last sample, format_time(); empty: none yet
        std::int64_t jumped_ms = 0;   // unexplained jumps in this boot, added up
        std::int64_t drift_ms = 0;    // too little for a jump yet: leaks away as a clock may slew
        std::string newest;           // the latest time of any record since it was confirmed
        std::uint64_t boot_seq = 0;   // of the first sample of this boot; 0: confirmed since
        std::uint64_t steady_ms = 0;  // gone steadily since boot_seq, or since boots before it
        bool operator==(const Fields&) const = default;
    };
    const Fields& fields() const { return fields_; }
    // False where they are none that fields() could give.
    bool restore(Fields fields);

  private:
    void observe_boot(std::uint64_t seq);
    void observe_unclear(std::uint64_t seq);
    void observe_elapsed(std::int64_t elapsed, std::int64_t wall_elapsed);
    Fields fields_;
};

}  // namespace immbackup
