// What an operator says of artifacts, databases, settings and the clock: each a record, and nothing
// but a record. Functions throw Error(usage) without a reason, Error(not_found) for what is not
// known, Error(exists) for what is so already.
#pragma once

#include <string>

#include "store/audit_log.h"

namespace immbackup {

struct Act {
    std::string kind;     // hold, release, accept, retire, acknowledge_settings, acknowledge_clock
    std::string subject;  // artifact, or database for retire; else empty
    std::string reason;
    std::string actor;
};

void record_act(AuditLog& audit, const Act& act);

}  // namespace immbackup
