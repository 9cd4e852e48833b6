// What the scheduler and the job it spawns say to each other.
//
// Request: one line of JSON on the job's stdin, which then stays open; its end of file means that
// the scheduler is gone, and the job stops. Answers: lines of tab separated fields on the job's
// stdout, every text percent-encoded, at most kMaxEventLine bytes: all that a server process
// parses. A job accepts requests of its own protocol version and of the one before.
//
//   run       <run id>                     the run's `requested` record is durable
//   phase     <phase> <database>           connecting, dumping, checking, sealing, recording …
//   dump      <process group>              pg_dump runs in that group; 0: it ended
//   progress  <database> <table> <bytes in> <bytes out> <estimated bytes in>
//             <databases done> <databases>
//   warning   <text>
//   result    <exit code> <message> <detail> <hint>      last line; code 0: done
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/settings.h"

namespace immbackup {

inline constexpr int kJobProtocol = 1;
inline constexpr std::size_t kMaxEventLine = 8192;
inline constexpr std::size_t kMaxRequest = 1024 * 1024;

struct RecordRequest {
    std::string event;
    std::string body;  // JSON object
};

struct JobRequest {
    int protocol = kJobProtocol;
    std::string version;    // of the library that asks
    std::string job;        // "backup": one run; "record": append records, recover, sweep
    SettingTexts settings;  // effective values; host and port filled in
    std::string bindir;     // where pg_dump, pg_dumpall and psql of this server are
    int server_version_num = 0;
    // backup
    std::string trigger;                 // "manual", later "schedule"
    std::string actor;                   // role name
    std::vector<std::string> databases;  // empty: as the settings say
    // record
    std::vector<RecordRequest> records;
    bool settings_diff =
        false;                // compare `settings` with the last recorded ones and record the diff
    std::string settings_at;  // "start" or "reload"
    bool recover = false;     // close runs that ended without a record, sweep incoming/
    std::string recover_reason;  // what is known of the job's end: "terminated by signal 9"
};

std::string job_request_to_json(const JobRequest& request);  // one line, with newline
// Throws Error(version) for a protocol it does not speak, Error(usage) for anything malformed.
JobRequest job_request_from_json(std::string_view text);

enum class JobEventKind { run, phase, dump, progress, warning, result };

struct JobEvent {
    JobEventKind kind = JobEventKind::phase;
    std::string run;        // run
    std::string phase;      // phase
    std::string database;   // phase, progress
    std::string table;      // progress
    int process_group = 0;  // dump
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t bytes_total = 0;  // estimate, 0: unknown
    std::uint32_t databases_done = 0;
    std::uint32_t databases_total = 0;
    std::string text;   // warning
    int exit_code = 0;  // result
    std::string message;
    std::string detail;
    std::string hint;
};

// With newline; texts are cut so that the line fits kMaxEventLine.
std::string format_job_event(const JobEvent& event);
// Nothing for a line that is not an event.
std::optional<JobEvent> parse_job_event(std::string_view line);

}  // namespace immbackup
