// One HTTP exchange after another over libcurl. Knows nothing of S3: no retries, no redirects
// followed, http and https alone, answers bounded, stopped at once by a CancelToken. What goes
// wrong below HTTP is returned, not thrown: the caller decides what is worth another try.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "io/cancel.h"
#include "s3/sigv4.h"

namespace immbackup::s3 {

std::string lower(std::string_view text);  // of ASCII letters
// Without blanks and ends of lines before and after it.
std::string_view trimmed(std::string_view text);

// Shares a number of bytes a second among all who send. Safe from any thread.
class Throttle {
  public:
    explicit Throttle(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}  // 0: no limit
    // Bytes that may be sent now, at most `wanted`; waits (at most about a tenth of a second) for
    // its turn.
    std::size_t take(std::size_t wanted);

  private:
    const std::uint64_t rate_;
    std::mutex mutex_;
    std::chrono::steady_clock::time_point next_{};
};

struct HttpOptions {
    std::string ca_file;  // empty: the system's
    std::chrono::seconds connect_timeout{10};
    std::chrono::seconds stall_timeout{60};  // without a byte in either direction
    bool proxy = true;                       // as the usual environment variables say
    Throttle* throttle = nullptr;            // for what is sent; outlives the handle
};

struct HttpRequest {
    std::string method;
    std::string url;
    Headers headers;  // sent as they are
    std::uint64_t body_size = 0;
    // Fills the span from this offset of the body. May throw.
    std::function<void(std::uint64_t offset, std::span<std::byte>)> body;
    // Takes the body of a 2xx answer; what others answer, and without a sink everything, is
    // collected. May throw.
    std::function<void(std::span<const std::byte>)> sink;
    std::size_t answer_limit = std::size_t{8} << 20;
    std::chrono::milliseconds time_limit{0};  // for all of it; 0: none
};

struct HttpAnswer {
    bool complete = false;  // a whole answer came
    int status = 0;         // also where the answer broke off after its headers
    Headers headers;
    std::string body;
    std::string failure;      // why it is not complete, for an error's text
    bool too_large = false;   // it is not complete because it was larger than wanted
    bool maybe_sent = false;  // the request may have reached the store
    const std::string& header(std::string_view name) const;  // empty: there is none
};

class HttpHandle {
  public:
    explicit HttpHandle(const HttpOptions& options);
    ~HttpHandle();
    HttpHandle(const HttpHandle&) = delete;
    HttpHandle& operator=(const HttpHandle&) = delete;
    // Throws the token's reason when cancelled, and what body or sink throw.
    HttpAnswer perform(const HttpRequest& request, const CancelToken& cancel);

  private:
    struct Exchange;
    struct State;
    void set_options(const HttpRequest& request, Exchange& exchange);
    std::unique_ptr<State> state_;
    HttpOptions options_;
};

}  // namespace immbackup::s3
