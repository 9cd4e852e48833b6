// What views show of shared memory, taken at one moment; and what they show alike.
#pragma once

#include <optional>

#include "core/catalog.h"
#include "postgres/rows.h"
#include "postgres/shmem.h"

namespace immbackup {

struct SharedCopy {
    WorkerState state;
    TimestampTz since;
    int pid;
    FixedError problem;
    RequestState request;
    FixedText<32> run;
    RunProgress progress;
    TimestampTz next_due;
    TimestampTz retry_at;
};
SharedCopy copy_shared();

// message, detail, hint, code
void write_error(RowWriter& row, const std::optional<ErrorText>& error);

}  // namespace immbackup
