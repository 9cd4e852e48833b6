// Processors that this process may use.
#pragma once

#include <string_view>

namespace immbackup {

// Of its affinity mask, and no more than its control group's quota (cpu.max of cgroup v2) allows;
// at least 1.
int usable_cores();
// Of the text of cpu.max ("200000 100000", "max 100000"), rounded up; 0: no limit.
int cores_of_quota(std::string_view cpu_max);
// What the setting compression_threads means here.
int compression_threads(int setting);

}  // namespace immbackup
