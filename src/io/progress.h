// Where a run or a check says how far it is. Called from any thread; an implementation decides how
// often it passes anything on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace immbackup {

struct ProgressState {
    std::string phase;  // connecting, dumping, checking, sealing, recording, verifying, restoring
    std::string database;  // empty: none, or the globals
    std::string table;
    std::uint64_t bytes_in = 0;     // SQL bytes read
    std::uint64_t bytes_out = 0;    // compressed bytes written
    std::uint64_t bytes_total = 0;  // estimate of bytes_in at the end, 0: unknown
    std::uint32_t databases_done = 0;
    std::uint32_t databases_total = 0;
};

class Progress {
  public:
    virtual ~Progress() = default;
    virtual void update(const ProgressState& state) = 0;
    virtual void run_id(std::string_view /*run*/) {}     // its `requested` record is durable
    virtual void dump_process(int /*process_group*/) {}  // 0: ended
    virtual void warning(std::string_view text) = 0;
    // A warning that somebody must be told of: `event` is one of core/events.h's alarms.
    virtual void alarm(std::string_view /*event*/, std::string_view text) { warning(text); }
};

}  // namespace immbackup
