// The system's clocks, the only place that asks them.
#pragma once

#include <cstdint>
#include <string>

#include "core/time.h"

namespace immbackup {

Time now();                    // CLOCK_REALTIME
std::uint64_t monotonic_ms();  // CLOCK_BOOTTIME where there is one: counts while suspended
std::string boot_id();         // /proc/sys/kernel/random/boot_id, or empty
std::string host_name();

}  // namespace immbackup
