// What pg_dump said, and what its failure means.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "dump/pipeline.h"
#include "io/process.h"

namespace immbackup {

// pg_dump's stderr: the tail for an error's detail, the first lines as warnings. Bounded.
class DumpMessages {
  public:
    static constexpr std::size_t kMaxLines = 200;
    static constexpr std::size_t kMaxLine = 1000;  // bytes

    void append(std::string_view text);
    // The last lines, whole.
    std::string tail() const;
    // A line each, in order; where there were too many, the last one says how many more.
    std::vector<std::string> lines() const;

  private:
    void end_line();

    static constexpr std::size_t kTail = 8192;
    TextTail tail_{kTail};
    std::string line_;
    std::vector<std::string> lines_;
    std::size_t more_ = 0;
};

// "pg_dump of database \"x\"", "pg_dumpall"
std::string dump_title(const DumpJob& job);

// The error of a pg_dump that ended by itself with `status`: Error(cancelled) where the server is
// shutting down, which the server itself is asked about, otherwise Error(dump).
Error dump_failure(const DumpJob& job, const ExitStatus& status, const std::string& tail);

}  // namespace immbackup
