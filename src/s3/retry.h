// Which answers are worth another try, and when. A 4xx that will not change is not; what a store
// does not know yet, or could not do now, is.
// Sources: AWS, "Error responses"; "Exponential Backoff And Jitter" (full jitter).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace immbackup::s3 {

struct Outcome {
    bool answered = true;  // false: no complete answer (connection refused, reset, timed out, cut)
    int status = 0;        // HTTP
    std::string code;      // of the S3 error, empty: none
};

enum class Verdict {
    done,         // 2xx, without an error inside
    give_up,      // will not change
    again,        // after a pause
    clock,        // correct the signing clock from the answer's Date, then at once; only once
    credentials,  // get new credentials, then at once; only once
    elsewhere,    // 301, 307 or 400 with another region: sign for that one; only once
};
Verdict judge(const Outcome& outcome);

// The pause before attempt number `attempt` (1: the first repetition): anything between nothing
// and twice as much each time, at most `ceiling`. `random` is from 0 to 1.
std::chrono::milliseconds pause_before(
    unsigned attempt, double random,
    std::chrono::milliseconds base = std::chrono::milliseconds(200),
    std::chrono::milliseconds ceiling = std::chrono::seconds(20));

}  // namespace immbackup::s3
