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
//   alarm     <event> <text>                a warning that on_event is told of (core/events.h)
//   schedule  <since> <baseline> <covered> <failures>    times, or empty: what the log says of the
//             past: the schedule holds since then; due times after the second are open; the last
//             good full run was requested at the third (none yet: since); failed runs since then
//   uploads   <pending> <next>              uploads that wait, and when there is something to do in
//   the
//             bucket by itself, or empty
//   result    <exit code> <message> <detail> <hint>      last line; code 0: done
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/settings.h"
#include "core/timetable.h"

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
    std::string version;  // of the library that asks
    // "backup": one run; "record": append records, recover, sweep; "notify": run on_event;
    // "prune"; "act": record what an operator says (backup/acts.h); "upload": what is pending, with
    // act "all" also what was parked; "s3_check", with act "probe" under a lock; "import": from the
    // plain store into the vault
    std::string job;
    SettingTexts settings;  // effective values; host and port filled in
    std::string bindir;     // where pg_dump, pg_dumpall and psql of this server are
    int server_version_num = 0;
    // backup
    std::string trigger;                 // "manual", "schedule", "retry", "catch_up"
    std::string actor;                   // role name; empty for the scheduler itself
    std::vector<std::string> databases;  // empty: as the settings say
    std::optional<Time> due;             // the due time that it serves
    std::vector<MissedTimes> missed;     // to be recorded before it
    // act
    std::string act;
    std::string subject;
    std::string reason;
    // record
    std::string data_directory;  // of the server, to be compared with the backup directory's disk
    std::vector<RecordRequest> records;
    bool settings_diff =
        false;                // compare `settings` with the last recorded ones and record the diff
    std::string settings_at;  // "start" or "reload"
    // The promise that holds from now on, recorded where it is another one than before: the
    // schedule of `settings`, active where this server takes scheduled runs.
    bool record_promise = false;
    bool active = false;
    bool find_missed = false;   // before that: due times of the old promise that nobody served
    std::string missed_reason;  // why
    // notify
    std::string notification;    // JSON for the program in the setting on_event
    bool recover = false;        // close runs that ended without a record, sweep incoming/
    std::string recover_reason;  // what is known of the job's end: "terminated by signal 9"
};

std::string job_request_to_json(const JobRequest& request);  // one line, with newline
// Throws Error(version) for a protocol it does not speak, Error(usage) for anything malformed.
JobRequest job_request_from_json(std::string_view text);

enum class JobEventKind { run, phase, dump, progress, warning, alarm, schedule, uploads, result };

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
    std::string text;           // warning, alarm
    std::string alarm;          // alarm: its event
    std::optional<Time> since;  // schedule
    std::optional<Time> baseline;
    std::optional<Time> covered;
    std::uint32_t failures = 0;
    std::uint32_t pending = 0;  // uploads
    std::optional<Time> next;
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
