#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "cli/options.h"
#include "io/clock.h"

namespace immbackup {

namespace {

constexpr std::uint64_t kRedrawMs = 200;

class ProgressBar final : public Progress {
  public:
    explicit ProgressBar(bool terminal) : terminal_(terminal) {}
    ~ProgressBar() override { clear(); }
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    void update(const ProgressState& state) override {
        const std::lock_guard lock(mutex_);
        const std::uint64_t time = monotonic_ms();
        if (state.phase != phase_ || state.database != database_) {
            phase_ = state.phase;
            database_ = state.database;
            phase_began_ = time;
        } else if (time < last_drawn_ + kRedrawMs) {
            return;
        }
        last_drawn_ = time;
        if (terminal_) {
            const double seconds = static_cast<double>(time - phase_began_) / 1000.0;
            fmt::print(stderr, "\r\x1b[K{}", progress_line(state, seconds, width()));
            std::fflush(stderr);
            drawn_ = true;
        }
    }

    void warning(std::string_view text) override {
        const std::lock_guard lock(mutex_);
        clear();
        fmt::print(stderr, "immbackup: warning: {}\n", text);
    }

  private:
    static std::size_t width() {
        constexpr std::size_t kDefaultWidth = 80;
        winsize size{};
        return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U
                                                                                 : kDefaultWidth;
    }
    void clear() {
        if (drawn_) {
            fmt::print(stderr, "\r\x1b[K");
            drawn_ = false;
        }
    }

    std::mutex mutex_;
    bool terminal_;
    bool drawn_ = false;
    std::string phase_;
    std::string database_;
    std::uint64_t phase_began_ = 0;
    std::uint64_t last_drawn_ = 0;
};

}  // namespace

std::string progress_line(const ProgressState& state, double seconds, std::size_t width) {
    std::string line = state.phase;
    if (!state.database.empty()) {
        line += " " + printable(state.database);
    }
    if (state.databases_total > 1) {
        line += fmt::format(" ({}/{})", std::min(state.databases_done + 1, state.databases_total),
                            state.databases_total);
    }
    if (state.bytes_in > 0) {
        const auto done = static_cast<double>(state.bytes_in);
        line += "  " + size_text(state.bytes_in);
        if (seconds > 0.5) {
            const double rate = done / seconds;
            line += fmt::format("  {}/s", size_text(static_cast<std::uint64_t>(rate)));
            if (state.bytes_total > state.bytes_in) {
                const auto total = static_cast<double>(state.bytes_total);
                line += fmt::format("  {:.0f} %  {} left", 100.0 * done / total,
                                    duration_text((total - done) / rate));
            }
        }
    }
    if (!state.table.empty()) {
        line += "  " + printable(state.table);
    }
    if (line.size() > width) {
        // Not in the middle of a character of several bytes.
        while (width > 0 && (static_cast<unsigned char>(line[width]) & 0xC0U) == 0x80U) {
            --width;
        }
        line.resize(width);
    }
    return line;
}

std::unique_ptr<Progress> make_progress_bar(bool terminal) {
    return std::make_unique<ProgressBar>(terminal);
}

}  // namespace immbackup
