#include "io/clock.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <ctime>

#include "io/fd.h"

namespace immbackup {

Time now() {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::uint64_t monotonic_ms() {
    timespec time{};
#ifdef CLOCK_BOOTTIME
    ::clock_gettime(CLOCK_BOOTTIME, &time);
#else
    ::clock_gettime(CLOCK_MONOTONIC, &time);
#endif
    return static_cast<std::uint64_t>(time.tv_sec) * 1000U +
           static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000U;
}

std::string boot_id() {
    constexpr std::size_t kUuidLength = 36;
    const Fd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    std::array<char, kUuidLength> buffer{};
    if (!fd ||
        ::read(fd.get(), buffer.data(), buffer.size()) != static_cast<ssize_t>(kUuidLength)) {
        return {};
    }
    return {buffer.data(), buffer.size()};
}

std::string host_name() {
    std::array<char, 256> buffer{};
    if (::gethostname(buffer.data(), buffer.size() - 1) != 0) {
        return "unknown";
    }
    return buffer.data();
}

}  // namespace immbackup
