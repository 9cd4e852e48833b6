// Implements guard.h: exceptions are copied into plain memory inside the handler, and raised as
// PostgreSQL errors once no C++ frame is left between the guard and its caller.
#include "postgres/guard.h"

#include <algorithm>
#include <new>

namespace immbackup {

namespace {

struct Failure {
    bool pending = false;  // PostgreSQL has the error already
    int sqlstate = 0;
    char message[2048];
    char detail[4096];
    char hint[2048];
};

void copy(char* to, std::size_t size, std::string_view from) {
    const std::size_t length = std::min(size - 1, from.size());
    memcpy(to, from.data(), length);
    to[length] = '\0';
}

void describe(Failure& failure, int sqlstate, std::string_view message,
              std::string_view detail = {}, std::string_view hint = {}) {
    failure.sqlstate = sqlstate;
    copy(failure.message, sizeof failure.message, message);
    copy(failure.detail, sizeof failure.detail, detail);
    copy(failure.hint, sizeof failure.hint, hint);
}

bool run_and_describe(void (*body)(void*), void* argument, Failure& failure) noexcept {
    try {
        body(argument);
        return true;
    } catch (const PendingPostgresError&) {
        failure.pending = true;
    } catch (const Error& error) {
        describe(failure, sqlstate_of(error.code()), error.message(), error.detail(), error.hint());
    } catch (const std::bad_alloc&) {
        describe(failure, ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        describe(failure, ERRCODE_INTERNAL_ERROR, error.what());
    } catch (...) {
        describe(failure, ERRCODE_INTERNAL_ERROR, "unknown exception in immbackup");
    }
    return false;
}

char* server_text(const char* text) {
    return immbackup::server_text(text, strlen(text));
}

}  // namespace

void run_guarded(void (*body)(void*), void* argument) {
    sigjmp_buf* exception_stack = PG_exception_stack;
    ErrorContextCallback* context_stack = error_context_stack;
    Failure failure;
    if (run_and_describe(body, argument, failure)) {
        return;
    }
    PG_exception_stack = exception_stack;
    error_context_stack = context_stack;
    if (failure.pending) {
        PG_RE_THROW();
    }
    ereport(ERROR, (errcode(failure.sqlstate), errmsg("%s", server_text(failure.message)),
                    failure.detail[0] != '\0' ? errdetail("%s", server_text(failure.detail)) : 0,
                    failure.hint[0] != '\0' ? errhint("%s", server_text(failure.hint)) : 0));
}

int sqlstate_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::usage:
            return ERRCODE_INVALID_PARAMETER_VALUE;
        case ErrorCode::config:
            return ERRCODE_CONFIG_FILE_ERROR;
        case ErrorCode::busy:
            return ERRCODE_OBJECT_IN_USE;
        case ErrorCode::connect:
            return ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
        case ErrorCode::io:
        case ErrorCode::audit:
            return ERRCODE_IO_ERROR;
        case ErrorCode::no_space:
            return ERRCODE_DISK_FULL;
        case ErrorCode::corrupt:
            return ERRCODE_DATA_CORRUPTED;
        case ErrorCode::not_found:
            return ERRCODE_UNDEFINED_OBJECT;
        case ErrorCode::cancelled:
            return ERRCODE_QUERY_CANCELED;
        case ErrorCode::timeout:
            return ERRCODE_OPERATOR_INTERVENTION;
        case ErrorCode::version:
            return ERRCODE_FEATURE_NOT_SUPPORTED;
        case ErrorCode::exists:
            return ERRCODE_DUPLICATE_OBJECT;
        case ErrorCode::permission:
            return ERRCODE_INSUFFICIENT_PRIVILEGE;
        case ErrorCode::internal:
            return ERRCODE_INTERNAL_ERROR;
        case ErrorCode::ok:
        case ErrorCode::failed:
        case ErrorCode::dump:
        case ErrorCode::incomplete:
        case ErrorCode::restore:
        case ErrorCode::rejected:
            break;
    }
    return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
}

char* server_text(const char* bytes, std::size_t length) {
    // First make it UTF-8 without zero bytes, then convert as far as the server's encoding goes.
    char* clean = static_cast<char*>(palloc(length + 1));
    for (std::size_t at = 0; at < length;) {
        const auto* here = reinterpret_cast<const unsigned char*>(bytes + at);
        const std::size_t size = static_cast<std::size_t>(pg_utf_mblen(here));
        if (*here != 0 && size <= length - at && pg_utf8_islegal(here, static_cast<int>(size))) {
            memcpy(clean + at, bytes + at, size);
            at += size;
        } else {
            clean[at++] = '?';
        }
    }
    clean[length] = '\0';
    const int encoding = GetDatabaseEncoding();
    if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || pg_is_ascii(clean)) {
        return clean;
    }
    const Oid conversion = FindDefaultConversionProc(PG_UTF8, encoding);
    if (!OidIsValid(conversion)) {
        std::replace_if(
            clean, clean + length, [](char c) { return IS_HIGHBIT_SET(c); }, '?');
        return clean;
    }
    char* result = static_cast<char*>(palloc(length * MAX_CONVERSION_GROWTH + 1));
    std::size_t at = 0;
    std::size_t written = 0;
    while (at < length) {
        auto* from = reinterpret_cast<unsigned char*>(clean + at);
        auto* to = reinterpret_cast<unsigned char*>(result + written);
        const int done = pg_do_encoding_conversion_buf(
            conversion, PG_UTF8, encoding, from, static_cast<int>(length - at), to,
            static_cast<int>((length - at) * MAX_CONVERSION_GROWTH + 1), true);
        at += static_cast<std::size_t>(done);
        written += strlen(result + written);
        if (at < length) {
            at += static_cast<std::size_t>(
                pg_utf_mblen(reinterpret_cast<const unsigned char*>(clean + at)));
            result[written++] = '?';
        }
    }
    result[written] = '\0';
    return result;
}

char* utf8_text(const char* text) {
    char* utf8 = pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8);
    if (!pg_verify_mbstr(PG_UTF8, utf8, static_cast<int>(strlen(utf8)), true)) {
        ereport(ERROR,
                (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE), errmsg("name is not valid UTF-8"),
                 errhint("Call it from a database whose encoding is not SQL_ASCII.")));
    }
    return utf8 == text ? pstrdup(text) : utf8;
}

}  // namespace immbackup
