// Pieces of the audit log that were stored where nobody can change them (anchors), against each
// other and against the log itself. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_record.h"

namespace immbackup {

struct AnchorRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::string until;  // the earliest date until which the store holds it; empty: unanchored
};

struct AnchorReport {
    std::uint64_t objects = 0;
    std::vector<AnchorRange> anchored;
    std::vector<AnchorRange> unanchored;  // of the local log, or gaps between anchors
    // Each shows that somebody changed something: a log that forks, was rewritten or cut off.
    std::vector<std::string> findings;
    // What proves nothing: objects that are no piece of a log.
    std::vector<std::string> notes;
};

class AnchorBook {
  public:
    // One object. `until` is empty where the store does not hold it (any more): its records are
    // compared all the same, and count as unanchored. An object that is no chained piece of a log
    // is noted and otherwise ignored: anybody who may write could put it there.
    void add(const std::string& name, std::string_view text, const std::string& until);
    // One that cannot be read: likewise noted.
    void unreadable(const std::string& name, const std::string& why);
    // A record of the local log.
    void compare(const AuditRecord& record);
    // `local` says whether there is a local log at all; without one nothing can be cut off.
    AnchorReport finish(bool local);

  private:
    struct Anchored {
        std::string hash;
        std::string prev;
        std::string name;   // of the object that said so first
        std::string until;  // the latest, of all objects that agree
    };
    void check_links();
    void add_range(std::uint64_t seq, const std::string& until);

    std::map<std::uint64_t, Anchored> records_;
    std::uint64_t local_head_ = 0;
    bool rewritten_ = false;
    AnchorReport report_;
};

}  // namespace immbackup
