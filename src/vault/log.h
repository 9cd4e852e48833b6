// The audit log: the vault owns it from birth, under the append-only flag where there is one.
#pragma once

#include <cstdint>
#include <string>

#include "vault/chain.h"
#include "vault/tree.h"

namespace immbackup::vault {

inline constexpr const char* kLogName = "backup_audit.jsonl";

struct Appended {
    Record record;
    std::uint64_t offset = 0;  // the end of the log
};

bool log_exists(const Tree& tree);
std::uint64_t log_size(const Tree& tree);

// One durable record; seq, time, prev and hash are computed here. `at_most`: Failure(no_space)
// where the log would become larger. The first record must be "instance_created", and only the
// first may. Failure(audit) where the log's end cannot be understood.
Appended append(const Tree& tree, const std::string& event, const std::string& origin,
                const std::string& body, std::uint64_t at_most = UINT64_MAX);

// Puts a log into place: what is in the unnamed file, if anything, and one record behind it.
// Failure(exists) where there is one, Failure(audit) where what is there does not end with a sound
// record. The caller holds Lock::log.
Appended begin_log(const Tree& tree, const Fd& unnamed, const std::string& event,
                   const std::string& origin, const std::string& body);

}  // namespace immbackup::vault
