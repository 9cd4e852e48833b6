// The border between C++ exceptions and PostgreSQL's errors, which are longjmps.
//
//   guarded(f)        from a PostgreSQL frame: runs C++ code; an exception becomes an
//   ereport(ERROR)
//                     after its handler was left.
//   call_postgres(f)  from a C++ frame: runs PostgreSQL code; an error becomes an exception, so
//   that
//                     destructors run, and goes on as the same error where the guard is left.
//
// The rule both rest on: no object with a destructor lives in a frame that PostgreSQL can longjmp
// over. So what call_postgres runs has none of its own, and what surrounds guarded() has none.
// LWLockAcquire/Release, ConditionVariableBroadcast, SetLatch and pgstat_report_activity do not
// raise errors in the way we use them, and are called from C++ frames without it.
#pragma once

#include <exception>
#include <string_view>
#include <type_traits>

#include "core/error.h"
#include "postgres/pg_compat.h"

namespace immbackup {

// A PostgreSQL error that waits on PostgreSQL's own error stack to be thrown again.
struct PendingPostgresError {};

template <typename F>
void call_postgres(F&& call) {
    volatile bool failed = false;
    PG_TRY();
    { call(); }
    PG_CATCH();
    { failed = true; }
    PG_END_TRY();
    if (failed) {
        throw PendingPostgresError{};
    }
}

// Runs body(argument); raises what it throws. Not a template, so that the handlers exist once.
void run_guarded(void (*body)(void*), void* argument);

template <typename F>
void guarded(F&& body) {
    using Body = std::remove_reference_t<F>;
    static_assert(std::is_trivially_destructible_v<Body>,
                  "PostgreSQL may longjmp over this frame: capture by reference");
    run_guarded([](void* argument) { (*static_cast<Body*>(argument))(); }, &body);
}

int sqlstate_of(ErrorCode code);

// For use in call_postgres or in a PostgreSQL frame: palloc'd texts in the server's encoding, made
// of UTF-8 that may hold anything. Never fails for the content: what the encoding lacks becomes
// '?'.
char* server_text(const char* bytes, std::size_t length);
// The other way: UTF-8 of a text in the server's encoding, palloc'd; raises an error where the
// text (in a database with encoding SQL_ASCII) is not UTF-8.
char* utf8_text(const char* text);

// Calls PostgreSQL's interrupt check from a C++ frame.
inline void check_interrupts() {
    if (INTERRUPTS_PENDING_CONDITION()) {
        call_postgres([] { CHECK_FOR_INTERRUPTS(); });
    }
}

}  // namespace immbackup
