#include "io/cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "core/error.h"
#include "io/file.h"

namespace immbackup {

namespace {

constexpr int kMostByDefault = 8;  // beyond that pg_dump is what decides

std::string cpu_max() {
    try {
        return read_named_file("/sys/fs/cgroup/cpu.max", 256);
    } catch (const Error&) {
        return {};  // no control groups of that kind, or the root of them
    }
}

}  // namespace

int cores_of_quota(std::string_view cpu_max) {
    long quota = 0;
    long period = 0;
    const char* const end = cpu_max.data() + cpu_max.size();
    const auto [after, problem] = std::from_chars(cpu_max.data(), end, quota);
    if (problem != std::errc{} || after == end || *after != ' ' ||
        std::from_chars(after + 1, end, period).ec != std::errc{} || quota <= 0 || period <= 0) {
        return 0;
    }
    return static_cast<int>(std::clamp((quota + period - 1) / period, 1L, 1L << 16));
}

int usable_cores() {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    const int cores = ::sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
    const int quota = cores_of_quota(cpu_max());
    return std::max(quota > 0 ? std::min(cores, quota) : cores, 1);
}

int compression_threads(int setting) {
    return setting > 0 ? setting : std::min(usable_cores(), kMostByDefault);
}

}  // namespace immbackup
