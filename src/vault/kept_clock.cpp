#include "vault/kept_clock.h"

#include "vault/artifacts.h"
#include "vault/removal.h"

namespace immbackup::vault {

namespace {

constexpr const char* kName = "clock";
constexpr Millis kKeepEvery = 60'000;

// Lost where anything stands, or unreadable: as after a restart.
ClockState load(const Tree& tree) {
    ClockState state;
    const Fd fd = open_in(tree.records(), kName);
    std::string text(4096, '\0');
    text.resize(fd ? read_at(fd, 0, text) : 0);
    if (fd ? !parse_clock(text, state) : !inventory(tree).stems.empty()) {
        state.waiting = true;
    }
    return state;
}

}  // namespace

ClockState observe_clock(const Tree& tree, bool accept) {
    const Fd lock = tree.lock(Tree::Lock::log, Tree::Share::exclusive);
    const ClockState before = load(tree);
    ClockState state = before;
    const ClockSample sample = sample_clocks();
    if (accept) {
        state.accept(sample);
    } else {
        state.observe(sample);
    }
    // Where only a little time has passed, the older state says the same later.
    const bool changed = accept || state.boot_id != before.boot_id ||
                         state.jumped != before.jumped || state.waiting != before.waiting ||
                         state.steady < before.steady;
    if (changed || state.wall - before.wall >= kKeepEvery || state.wall < before.wall) {
        replace_in(tree.records(), kName, format_clock(state));
    }
    return state;
}

ClockState peek_clock(const Tree& tree) {
    ClockState state = load(tree);
    state.observe(sample_clocks());
    return state;
}

}  // namespace immbackup::vault
