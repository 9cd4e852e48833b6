// A psql that runs what it is fed: stdin is written while stdout and stderr are read, so that
// neither side can wait for the other for ever.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "dump/pg_dump.h"
#include "io/cancel.h"
#include "io/process.h"

namespace immbackup {

class PsqlFeed {
  public:
    // Stops at the first error, and then rolls everything back where `single_transaction`.
    PsqlFeed(const DumpProgram& psql, const ConnectionTarget& target, const std::string& database,
             bool single_transaction, const CancelToken& cancel);

    // Error(restore) with psql's own words where it has ended early; the token's reason.
    void write(std::span<const std::byte> bytes);
    // End of input; waits for psql, and throws likewise where it did not exit with 0.
    void finish();

  private:
    void exchange(std::span<const std::byte>& bytes);
    void drain(Fd& pipe, bool keep);
    [[noreturn]] void fail();

    const CancelToken& cancel_;
    Child child_;
    TextTail stderr_;
};

}  // namespace immbackup
