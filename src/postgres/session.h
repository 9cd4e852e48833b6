// What the functions that sessions call have in common. For PostgreSQL frames.
#pragma once

#include "postgres/pg_compat.h"

namespace immbackup {

// The session's role, as UTF-8.
char* session_user_utf8();
[[noreturn]] void raise_scheduler_down();

}  // namespace immbackup
