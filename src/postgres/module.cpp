// The module's entry: nothing happens unless the library is preloaded; then settings, shared memory
// and the scheduler are announced to the server.
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/scheduler.h"
#include "postgres/shmem.h"

extern "C" {
IMMBACKUP_MODULE_MAGIC;
extern PGDLLEXPORT void _PG_init(void);
}

extern "C" void _PG_init(void) {
    // CREATE EXTENSION works without preloading, so that a dump restores anywhere. The functions
    // that need the scheduler or the settings then say so.
    if (!process_shared_preload_libraries_in_progress) {
        return;
    }
    immbackup::guarded([] { immbackup::define_settings(); });
    immbackup::request_shared_memory();
    immbackup::register_scheduler();
}
