// One dump from end to end, without knowing where it is stored:
//
//   pg_dump ─► read, scan ─► compress (one or more threads) ─► sink (the store's staged file)
//
// What is read is scanned while it is still in the processor's cache, and compressed where it was
// read to: no byte of SQL is copied. Buffers are few and used again: memory does not depend on the
// database.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/settings.h"
#include "core/time.h"
#include "dump/compress.h"
#include "dump/scan.h"
#include "io/cancel.h"
#include "io/process.h"
#include "io/progress.h"

namespace immbackup {

struct DumpJob {
    SpawnOptions command;  // of pg_dump or pg_dumpall
    std::string program;   // "pg_dump", for messages
    DumpKind kind = DumpKind::database;
    Compression compression;
    int threads = 1;               // that compress
    std::uint64_t rate_limit = 0;  // bytes of SQL a second, 0: none
    int stall_timeout = 0;   // seconds without a byte, 0: none; ten times as long before the first
    ByteSink sink;           // compressed bytes, in order, on one thread; may throw (no_space, io)
    ProgressState progress;  // what to start the reports from: database, totals
};

struct DumpOutcome {
    ScanResult scan;
    std::string compressor;
    Time spawned;
    Time first_byte;
    Time ended;
    std::vector<std::string>
        warnings;  // pg_dump's stderr of a successful dump, a line each, bounded
};

// Returns only where pg_dump exited 0 and the dump was complete. Otherwise stops pg_dump's group,
// reaps it, and throws: the sink's own error; Error(dump) with the tail of pg_dump's stderr as
// detail; Error(incomplete); Error(timeout); Error(cancelled) where the server is shutting down;
// the token's reason.
DumpOutcome run_dump(const DumpJob& job, const CancelToken& cancel, Progress& progress);

}  // namespace immbackup
