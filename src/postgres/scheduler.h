// The background worker "immbackup scheduler": one event loop around a Supervisor.
#pragma once

namespace immbackup {

// From _PG_init while preloading. Registers nothing during a binary upgrade.
void register_scheduler();

}  // namespace immbackup
