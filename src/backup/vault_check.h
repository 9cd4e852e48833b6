// What the vault says of itself: recorded where it is another thing than before, and as rows for a
// person.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/settings.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

// A `vault_checked` record where level, clock or version differ from the last one. Does nothing for
// the plain store. Throws where the helper cannot be asked.
void record_vault(Store& store, AuditLog& audit);

// What to say at a start of a seal that is less than this store could have; nothing where it is
// not.
std::optional<std::string> weak_seal(Store& store);

struct VaultRow {
    enum class Verdict { good, warning, critical };
    std::string check;
    Verdict verdict = Verdict::good;
    std::string detail;
};
// Level, clock, bounds against the settings, quota, and what stands in the vault that should not.
// Error(config) for the plain store.
std::vector<VaultRow> check_vault(Store& store, const Settings& settings);

}  // namespace immbackup
