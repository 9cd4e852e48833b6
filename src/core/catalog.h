// The catalog: a fold over the audit log. No table holds state; what runs and artifacts there are
// is what the records say. The checkpoint (logs/catalog.idx) saves a job's or a backend's reading
// the whole log again; it can be thrown away at any time and proves nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_record.h"
#include "core/clock_state.h"

namespace immbackup {

struct ErrorText {
    std::string code;  // error_code_name()
    std::string message;
    std::string detail;
    std::string hint;
};

struct RunEntry {
    std::string run;
    std::string requested;  // times as in the records, empty: not reached
    std::string started;
    std::string finished;
    std::string state;  // requested, running, good, failed, cancelled
    std::string trigger;
    std::string actor;
    std::string due;       // the due time it serves, or empty
    bool partial = false;  // of databases that were asked for, not of what the settings say
    std::uint64_t artifacts = 0;
    std::uint64_t bytes = 0;
    std::optional<ErrorText> error;
    bool open() const { return state == "requested" || state == "running"; }
};

struct ArtifactEntry {
    std::string artifact;  // stem
    std::string run;
    std::string database;  // empty for globals
    bool globals = false;
    std::string tier;
    std::string taken;  // the upper bound of the snapshot's time
    std::string retain_until;
    std::uint64_t size = 0;
    std::uint64_t sql_size = 0;
    std::uint64_t rows = 0;
    std::string sha256;
    std::string seal;
    std::string state;      // good, missing, corrupt: as last found; pruned
    std::string verified;   // time of the last verification that found it good, or empty
    std::uint64_t seq = 0;  // of its artifact_sealed record
    std::string stamp;      // Store::stamp() of its files when they were last looked into
    std::string anomaly;    // how it falls short of its baseline (core/anomaly.h), or empty
    bool accepted = false;  // an operator accepted what is wrong with it
    std::string hold;       // the reason of a hold, or empty
    std::string held;       // since when, and by whom
    std::string held_by;
    bool intended = false;           // its removal was begun
    std::string pruned;              // time of its removal, or empty
    std::string upload;              // empty: none; pending, locked, unproven, unlocked, failed
    std::string upload_error;        // of the last try, or why it is not locked
    std::string upload_tried;        // time of the last try, or empty
    std::uint64_t upload_tries = 0;  // that failed
    std::string lock_mode;           // of its objects, as read back
    std::string locked_until;        // the earliest of them
    std::string objects;             // JSON {file: {"key", "version_id"}}
    bool legal_hold = false;         // on its objects
    // Until when the vault removes it for nobody, as the vault's own records say; or empty. What
    // the settings keep it for is retain_until.
    std::string vault_until;
    std::string refused;  // why the vault did not remove it when it was to go, or empty
    bool exists() const { return state != "pruned"; }
    bool good() const { return state == "good" && !intended; }
    // Good, and nothing speaks against what is in it.
    bool sound() const { return good() && (anomaly.empty() || accepted); }
};

// Whose artifacts belong together: a database, or the globals.
struct Subject {
    std::string database;
    bool globals = false;
    explicit Subject(const ArtifactEntry& entry)
        : database(entry.database), globals(entry.globals) {}
    Subject(std::string name, bool is_globals) : database(std::move(name)), globals(is_globals) {}
    auto operator<=>(const Subject&) const = default;
    std::string title() const;  // "database \"shop\"", "the globals"
};

struct Catalog {
    std::string instance;
    std::uint64_t offset = 0;  // bytes of the log folded so far; always at the start of a line
    std::uint64_t head_seq = 0;
    std::string head_hash = std::string(kZeroHash);
    std::uint64_t bad_lines = 0;  // lines that could not be read; verify_audit says which and why
    std::map<std::string, RunEntry> runs;            // by id
    std::map<std::string, ArtifactEntry> artifacts;  // by stem
    std::string last_run;                            // the greatest run id seen
    std::string last_success;                        // time the last good run finished, or empty
    std::string last_success_run;
    std::optional<ErrorText> last_error;  // of the newest failed or cancelled run
    std::string last_error_run;
    std::map<std::string, std::string> settings;  // as last recorded

    // What was promised, and since when: schedule_changed.
    struct Promise {
        std::string schedule;
        std::string timezone;
        bool active = false;
        std::string since;
    } promise;
    std::string served;               // the newest due time that a run served, or that was missed
    std::string last_full_run;        // the newest good run that was not partial
    std::string covered;              // when that was requested
    std::uint64_t failures = 0;       // failed runs since, partial ones not counted
    std::uint64_t last_full_seq = 0;  // of the record of its end

    // Why the worker takes no runs since it started last; empty: it does.
    std::string misconfigured;

    // What the vault last said of itself; empty where there was none.
    struct Vault {
        std::string level;   // a seal level
        std::string reason;  // why it is not `vault`
        std::string clock;   // "trusted", "waiting", "blocked"
        std::string clock_reason;
        std::string version;
        bool operator==(const Vault&) const = default;
    } vault;

    // What the vault attested and no artifact_sealed record has followed yet: stem to vault_until.
    std::map<std::string, std::string> attested;

    ClockState clock;
    std::string clock_acknowledged;  // when an operator last said that it is right
    // Databases that are gone: nothing protects their last artifacts. Taken back by a new one.
    struct Retired {
        std::string time;
        std::string reason;
    };
    std::map<std::string, Retired> retired;
    // What changed settings mean for the restore points, until somebody acknowledges it.
    std::string unacknowledged;
    std::string unacknowledged_since;

    // Uploads that were begun and neither finished nor aborted, by id.
    struct OpenUpload {
        std::string artifact;
        std::string key;
    };
    std::map<std::string, OpenUpload> open_uploads;
    std::uint64_t anchored_seq = 0;  // records up to it are stored as objects proven locked
    std::string anchored;            // when the last piece was stored, proven or not
    std::string anchor_state;        // of the lock of that
    // When locks could not be extended or proven, or objects deleted, and have not been since; and
    // what the first problem was.
    std::string locks_tried;
    std::string lock_problem;
    // Days of lock that somebody has acknowledged, or that held from the beginning; 0: none yet.
    std::uint64_t lock_days = 0;

    // Folds one whole line (without its newline; `bytes` it takes with it). Never throws for bad
    // content: a line or body it cannot use is counted in bad_lines and otherwise passed over.
    void apply_line(std::string_view line, std::uint64_t bytes);
    void apply(const AuditRecord& record);
};

// Checkpoint text: a first line "immbackup-catalog 6 <offset> <seq> <head hash> <sha256 of the
// rest>", then lines of tab separated fields (docs/formats.md). from_checkpoint returns nothing for
// anything that is not exactly that, larger than kMaxCheckpoint, or of another format number: then
// the log is folded from its beginning.
inline constexpr std::size_t kMaxCheckpoint = 256 * 1024 * 1024;
std::string catalog_to_checkpoint(const Catalog& catalog);
std::optional<Catalog> catalog_from_checkpoint(std::string_view text);

}  // namespace immbackup
