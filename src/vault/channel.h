// The two ends of a connection: requests and frames come in, lines go out. It never blocks while
// the helper holds a lock, because nobody calls it then.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vault/request.h"

namespace immbackup::vault {

// The client is gone, or the stream is broken: the connection ends without another word.
struct Hangup {};

class Channel {
  public:
    // `read` is read(2) on whatever it is: bytes into the span, 0 at the end of file; it throws
    // Hangup. Not owned.
    using Read = std::function<std::size_t(std::span<char>)>;
    explicit Channel(Read read) : read_(std::move(read)) {}

    // A line without its newline; nothing at the end of file before one. Failure(usage) where it
    // is too long; Hangup where the end of file comes within it.
    std::optional<std::string> read_request();

    // Content up to its commit, in blocks of at most kMaxFrame, and what was committed to; the sink
    // throws what it likes. Failure(cancelled) on an abort, Failure(corrupt) where the size, and
    // the digest where it is to be checked here, are not those of what came; Hangup at the end of
    // file.
    using Sink = std::function<void(std::span<const char>)>;
    enum class Check { digest, size };
    Commit read_content(const Sink& sink, Check check = Check::digest);
    // How often read_content() was called.
    std::uint64_t contents_begun() const { return contents_; }

  private:
    bool fill();  // false at the end of file
    void read_exactly(std::span<char> out);

    Read read_;
    std::vector<char> buffer_ = std::vector<char>(kMaxRequest);
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    std::vector<char> block_;
    std::uint64_t contents_ = 0;
};

// Longer than a dump that gets on is silent: stall_timeout, ten times as long before its first
// byte.
inline constexpr int kIdleMs = 4 * 3'600'000;
// On descriptors, whether they block or not. Hangup where nothing comes for `idle_ms`: what
// somebody began and forgot is not kept for ever.
Channel::Read reader_of(int fd, int idle_ms = kIdleMs);
// Hangup where nobody reads any more. `passed` is sent along (SCM_RIGHTS) where it is not -1.
void write_line(int fd, const std::string& line, int passed = -1);
bool is_unix_socket(int fd);

}  // namespace immbackup::vault
