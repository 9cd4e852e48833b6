// UTC instants and the texts immbackup writes for them. Wall-clock time is passed
// in by the caller; only io/clock.h asks the system.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace immbackup {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;

// RFC 3339 in UTC with three decimals: "2026-01-18T12:00:00.000Z". 24 bytes, years 0 to 9999.
std::string format_time(Time time);
// Inverse; also accepts no decimals. Nothing for any other text or an impossible date.
std::optional<Time> parse_time(std::string_view text);

// A run id is its start in UTC to the second, "20260118T120000Z", so that ids sort as times do.
std::string run_id_at(Time time);
std::optional<Time> parse_run_id(std::string_view text);
// The id of a run that starts now, strictly greater than last_id (empty: none yet): where the
// clock has not moved on, or has been set back, it is last_id plus one second.
std::string next_run_id(Time now, std::string_view last_id);

}  // namespace immbackup
