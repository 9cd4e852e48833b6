// What an operator says of artifacts, databases, settings and the clock: each a record, and nothing
// but a record. What a vault has to obey too is said to the vault, which records it. Functions
// throw Error(usage) without a reason, Error(not_found) for what is not known, Error(exists) for
// what is so already, Error(permission) where the vault does not take it from this OS user.
#pragma once

#include <string>

#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

struct Act {
    std::string kind;     // hold, release, accept, retire, acknowledge_settings, acknowledge_clock
    std::string subject;  // artifact, or database for retire; else empty
    std::string reason;
    std::string actor;
};

void record_act(Store& store, AuditLog& audit, const Act& act);
// For an operator of the vault who may not read the log: hold, release or acknowledge_clock, as
// the vault alone checks them. False where it is none of these, or the store is no vault.
bool tell_vault(Store& store, const Act& act);

}  // namespace immbackup
