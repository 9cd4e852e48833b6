#include "vault/clock.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>

namespace immbackup::vault {

namespace {

constexpr Millis kTolerance = 120'000;
constexpr Millis kSlew = 500;  // one part in so many may be small steps of a clock kept right
constexpr Millis kSteady = 4 * 3'600'000LL;  // so long after a boot

bool far(Millis span) {
    return span > kTolerance || span < -kTolerance;
}

// Nearer to zero by so much, and not beyond it.
Millis shrunk(Millis span, Millis by) {
    return span < 0 ? std::min<Millis>(span + by, 0) : std::max<Millis>(span - by, 0);
}

std::string minutes(Millis span) {
    return std::to_string((std::abs(span) + 59'999) / 60'000) + " min";
}

Millis read_clock(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<Millis>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

}  // namespace

ClockSample sample_clocks() {
    ClockSample sample;
    std::array<char, 36> boot{};
    const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (::read(fd, boot.data(), boot.size()) == static_cast<ssize_t>(boot.size())) {
            sample.boot_id.assign(boot.data(), boot.size());
        }
        ::close(fd);
    }
    sample.monotonic = read_clock(CLOCK_BOOTTIME);
    sample.wall = std::clamp<Millis>(read_clock(CLOCK_REALTIME), 0, kForever);
    return sample;
}

void ClockState::observe(const ClockSample& sample) {
    const bool named = !boot_id.empty() && !sample.boot_id.empty();
    const Millis elapsed = sample.monotonic - monotonic;
    const Millis moved = drift + sample.wall - wall - elapsed;
    const Millis leaked = shrunk(moved, std::max<Millis>(elapsed, 0) / kSlew);
    const bool undone = far(jumped) && !far(jumped + moved);
    if (wall == 0) {
        // The first one tells nothing.
    } else if (named && sample.boot_id != boot_id) {
        // A boot whose time of waiting was not over leaves it to the next one, up to half of what
        // is needed.
        const bool leaves = waiting && steady < kSteady && !far(jumped);
        steady = leaves ? std::min(steady, kSteady / 2) : 0;
        waiting = true;
        jumped = 0;
        drift = 0;
    } else if (!named || elapsed < -kTolerance) {
        // Perhaps a boot, perhaps not: what jumped before stays.
        waiting = true;
        steady = 0;
        drift = 0;
    } else if (far(leaked) || undone) {
        jumped += moved;
        drift = 0;
        steady = 0;
    } else {
        drift = leaked;
        steady = waiting ? std::max<Millis>(steady + elapsed, 0) : steady;
    }
    boot_id = sample.boot_id;
    monotonic = sample.monotonic;
    wall = sample.wall;
    newest = std::max(newest, wall);
}

void ClockState::accept(const ClockSample& sample) {
    *this = {sample.boot_id, sample.monotonic, sample.wall, 0, 0, sample.wall, false, 0};
}

std::string ClockState::blocked() const {
    if (boot_id.empty()) {
        return "the system does not say which boot it is in (/proc/sys/kernel/random/boot_id)";
    }
    if (newest - wall > kTolerance) {
        return "the clock is " + minutes(newest - wall) + " behind the latest time seen, " +
               format_time(newest);
    }
    if (far(jumped)) {
        return "the clock was set " + std::string(jumped > 0 ? "forward" : "back") + " by " +
               minutes(jumped) + " while the machine was running";
    }
    if (only_waits()) {
        return "the machine was restarted; its clock is trusted after another " +
               minutes(kSteady - steady) + " of steady time";
    }
    return {};
}

bool ClockState::only_waits() const {
    return waiting && !boot_id.empty() && steady < kSteady && !far(jumped) &&
           newest - wall <= kTolerance;
}

std::string format_clock(const ClockState& state) {
    return "1" + (state.boot_id.empty() ? std::string{} : field("boot", state.boot_id)) +
           field("monotonic", std::to_string(state.monotonic)) +
           field("wall", std::to_string(state.wall)) +
           field(state.jumped < 0 ? "back" : "forward", std::to_string(std::abs(state.jumped))) +
           field(state.drift < 0 ? "slow" : "fast", std::to_string(std::abs(state.drift))) +
           field("newest", std::to_string(state.newest)) +
           field("waiting", std::to_string(static_cast<int>(state.waiting))) +
           field("steady", std::to_string(state.steady)) + "\n";
}

bool parse_clock(std::string_view text, ClockState& state) {
    if (!text.starts_with("1 ") || !text.ends_with('\n')) {
        return false;
    }
    const auto fields = parse_fields(text.substr(2, text.size() - 3));
    if (!fields) {
        return false;
    }
    const auto number = [&](std::string_view key) {
        return static_cast<Millis>(parse_number(value_of(*fields, key), kForever).value_or(0));
    };
    const ClockState read{std::string(value_of(*fields, "boot")),
                          number("monotonic"),
                          number("wall"),
                          number("forward") - number("back"),
                          number("fast") - number("slow"),
                          number("newest"),
                          number("waiting") != 0,
                          number("steady")};
    if (format_clock(read) != text) {
        return false;
    }
    state = read;
    return true;
}

}  // namespace immbackup::vault
