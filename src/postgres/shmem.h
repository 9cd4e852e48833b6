// What scheduler and sessions share: one request slot, the progress of the run, the outcomes of the
// last few requests. Plain data of fixed size under one lightweight lock; `changed` is broadcast
// whenever somebody may be waiting for what changed. All texts are UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/job_protocol.h"
#include "postgres/pg_compat.h"

namespace immbackup {

enum class WorkerState : int { down, starting, ready, misconfigured, stopping };
const char* worker_state_name(WorkerState state);

inline constexpr std::size_t kMaxRequestNames = 64;
// A name of NAMEDATALEN bytes in any server encoding, as UTF-8.
inline constexpr std::size_t kNameSize = NAMEDATALEN * 4;
inline constexpr std::size_t kKeptOutcomes = 16;

// Text that is cut where it does not fit, between two characters.
template <std::size_t Size>
struct FixedText {
    char text[Size];

    void set(std::string_view from) {
        std::size_t length = from.size();
        if (length > Size - 1) {
            length = Size - 1;
            while (length > 0 && (static_cast<unsigned char>(from[length]) & 0xC0) == 0x80) {
                --length;
            }
        }
        std::memcpy(text, from.data(), length);
        text[length] = '\0';
    }
    std::string_view view() const { return text; }
    bool empty() const { return text[0] == '\0'; }
};

// Why something failed, as it is raised in a session.
struct FixedError {
    int code;  // ErrorCode; 0: no error
    FixedText<1024> message;
    FixedText<4096> detail;
    FixedText<1024> hint;
};

struct Outcome {
    std::uint64_t request;  // 0: unused
    FixedText<32> run;      // empty: it never began
    FixedError error;
};

// queued: the scheduler has not taken it up; running: a job works on it.
enum class RequestState : int { idle, queued, running };

struct Request {
    std::uint64_t id;  // counts up; of the newest request
    RequestState state;
    FixedText<32> run;           // once its `requested` record is durable
    FixedText<kNameSize> actor;  // empty: the schedule
    bool cancel;
    FixedText<kNameSize> canceller;
    int name_count;  // 0: as the settings say
    FixedText<kNameSize> names[kMaxRequestNames];
};

// What a session asks of the maintenance lane, beside any backup that goes on: to prune, or to
// record what an operator says (backup/acts.h).
struct MaintenanceRequest {
    std::uint64_t id;  // counts up; of the newest request
    RequestState state;
    FixedText<16> job;  // "prune", "act"
    FixedText<32> act;
    FixedText<512> subject;
    FixedText<4096> reason;
    FixedText<kNameSize> actor;
};

struct RunProgress {
    FixedText<32> phase;
    FixedText<kNameSize> database;
    FixedText<512> table;
    std::uint64_t bytes_in;
    std::uint64_t bytes_out;
    std::uint64_t bytes_total;
    std::uint32_t databases_done;
    std::uint32_t databases_total;
    TimestampTz started;           // of the run
    TimestampTz database_started;  // bytes count from here
};

struct SharedState {
    LWLock* lock;
    ConditionVariable changed;

    // The scheduler.
    WorkerState worker_state;
    TimestampTz worker_since;  // in this state
    int worker_pid;            // 0: down
    PGPROC* worker;            // for its latch, which outlives it
    FixedError problem;        // of misconfigured
    TimestampTz next_due;      // of the schedule, 0: none
    TimestampTz retry_at;      // of a failed scheduled run, 0: none is planned
    std::uint32_t uploads_pending;

    Request request;
    RunProgress progress;
    std::array<Outcome, kKeptOutcomes> outcomes;

    MaintenanceRequest maintenance;
    std::array<Outcome, kKeptOutcomes> maintenance_outcomes;
};

// Null where the library was not preloaded.
extern SharedState* shared;

// From _PG_init while preloading.
void request_shared_memory();

// Finishes the request in the slot. Call with the lock held exclusively; broadcast afterwards.
void finish_request(const FixedError& error);
// Null where the outcome is not there (any more). Call with the lock held.
const Outcome* find_outcome(std::uint64_t request);
// The same for the maintenance lane.
void finish_maintenance(const FixedError& error);
const Outcome* find_maintenance_outcome(std::uint64_t request);

// Holds the lock in a C++ frame.
class SharedLock {
  public:
    explicit SharedLock(LWLockMode mode) { LWLockAcquire(shared->lock, mode); }
    ~SharedLock() { LWLockRelease(shared->lock); }
    SharedLock(const SharedLock&) = delete;
    SharedLock& operator=(const SharedLock&) = delete;
};

// Raises the error that a session gets when the library is not preloaded.
void require_preloaded();

}  // namespace immbackup
