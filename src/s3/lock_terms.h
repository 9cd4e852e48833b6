// What is asked of Object Lock, and what counts as proof that the store holds it. Pure: the
// client fetches the answers, these functions judge them.
// Source: AWS, "Locking objects with Object Lock", PutObject, GetObjectRetention,
// GetObjectLegalHold.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/time.h"

namespace immbackup::s3 {

enum class LockMode { none, governance, compliance };
std::string_view lock_mode_name(LockMode mode);  // "", "GOVERNANCE", "COMPLIANCE"
std::optional<LockMode> parse_lock_mode(std::string_view text);

struct LockTerms {
    LockMode mode = LockMode::none;
    Time until{};
    bool wanted() const { return mode != LockMode::none; }
};

// The dates that stores send: "2026-01-18T12:00:00[.up to 9 digits](Z|+hh:mm)". Finer than a
// millisecond is cut off.
std::optional<Time> parse_store_time(std::string_view text);
// The Date header (RFC 9110, IMF-fixdate): "Sun, 18 Jan 2026 12:00:00 GMT".
std::optional<Time> parse_http_date(std::string_view text);

// Until when to lock: the later of our clock and the store's, plus the days, to the full second.
// A date in the far future cannot be taken back, so clocks that are more than an hour apart, or a
// store that does not tell the time, are refused (Error(config)), unless somebody has acknowledged
// our clock.
Time retain_until(Time ours, std::optional<Time> stores, int days, bool acknowledged = false);
inline constexpr std::chrono::hours kClockBound{1};
// How much later than asked a store may hold an object and still do what it was asked: some round
// up to a full day.
inline constexpr std::chrono::hours kUntilBound{24};

// What the store said of one version.
enum class Reading {
    held,    // it holds it
    none,    // it says that it does not
    denied,  // we may not ask (401, 403), or the store does not know the question (405, 501)
    failed,  // no usable answer
};
struct LockReading {
    Reading retention = Reading::failed;
    LockMode mode = LockMode::none;
    std::optional<Time> until;
    Reading legal_hold = Reading::failed;
    // HEAD, too, says it where these credentials may read it.
    LockMode head_mode = LockMode::none;
    std::optional<Time> head_until;
};

enum class LockState {
    locked,    // read back: mode and date are what was asked
    unproven,  // nobody said that it is not held, but it could not be read back
    unlocked,  // read back, and not held as asked
};
std::string_view lock_state_name(LockState state);

struct LockJudgement {
    LockState state = LockState::unproven;
    std::string reason;  // a sentence without its full stop; empty where locked
};
LockJudgement judge_lock(const LockTerms& asked, const LockReading& reading);

}  // namespace immbackup::s3
