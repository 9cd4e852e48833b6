#include "s3/retry.h"

#include <algorithm>
#include <array>

namespace immbackup::s3 {

namespace {

template <std::size_t N>
bool one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
}

constexpr std::array<std::string_view, 11> kTransient{
    "SlowDown",        "InternalError",        "RequestTimeout",         "ServiceUnavailable",
    "Throttling",      "RequestLimitExceeded", "BandwidthLimitExceeded", "ThrottlingException",
    "TooManyRequests", "OperationAborted",     "PriorRequestNotComplete"};
constexpr std::array<std::string_view, 3> kStale{"ExpiredToken", "TokenRefreshRequired",
                                                 "ExpiredTokenException"};
constexpr std::array<std::string_view, 3> kElsewhere{"PermanentRedirect", "TemporaryRedirect",
                                                     "AuthorizationHeaderMalformed"};

}  // namespace

Verdict judge(const Outcome& outcome) {
    if (!outcome.answered) {
        return Verdict::again;
    }
    // The code says more than the status: an error can come inside a 200.
    if (one_of(outcome.code, kTransient)) {
        return Verdict::again;
    }
    if (outcome.code == "RequestTimeTooSkewed") {
        return Verdict::clock;
    }
    if (one_of(outcome.code, kStale)) {
        return Verdict::credentials;
    }
    if (outcome.status == 301 || outcome.status == 302 || outcome.status == 307 ||
        outcome.status == 308 || one_of(outcome.code, kElsewhere)) {
        return Verdict::elsewhere;
    }
    if (outcome.status >= 200 && outcome.status < 300) {
        return outcome.code.empty() ? Verdict::done : Verdict::give_up;
    }
    const bool transient =
        outcome.status == 408 || outcome.status == 429 ||
        (outcome.status >= 500 && outcome.status != 501 && outcome.status != 505);
    return transient ? Verdict::again : Verdict::give_up;
}

std::chrono::milliseconds pause_before(unsigned attempt, double random,
                                       std::chrono::milliseconds base,
                                       std::chrono::milliseconds ceiling) {
    const unsigned doublings = std::min(attempt == 0 ? 0U : attempt - 1, 20U);
    const auto longest = std::min(ceiling, base * (std::int64_t{1} << doublings));
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(longest.count()) * random));
}

}  // namespace immbackup::s3
