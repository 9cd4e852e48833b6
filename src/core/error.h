// The one error type of immbackup: what went wrong, in the four parts that
// PostgreSQL reports (code, message, detail, hint). The code is also the exit
// code of the command line program and of a job, so it survives a process boundary.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace immbackup {

// Exit codes are part of the interface (docs/sql.md, docs/cli.md): never renumber.
enum class ErrorCode : int {
    ok = 0,
    failed = 1,       // anything that has no code of its own; also "lost the parent"
    usage = 2,        // the command line or the arguments of a call are wrong
    config = 10,      // a setting is invalid, or the directory cannot be used
    busy = 11,        // another job holds the backup directory
    connect = 12,     // the database cannot be reached or refuses the login
    dump = 13,        // pg_dump or pg_dumpall failed
    incomplete = 14,  // the dump ended without its closing line
    io = 15,          // reading or writing files failed
    no_space = 16,    // the file system is full, or would be
    corrupt = 17,     // content does not match its digest or its manifest
    not_found = 18,   // no such artifact, run, database or file
    audit = 19,       // the audit log cannot be written, or its chain is broken
    cancelled = 20,   // stopped on request or by a shutdown
    timeout = 21,     // run_timeout or stall_timeout was reached
    version = 22,     // program, server or protocol versions do not fit
    restore = 23,     // psql or a check after the restore failed
    exists = 24,      // the target exists already, or is not empty
    permission = 25,  // the operating system or the server refuses the right
    internal = 26,    // a broken promise inside immbackup: a bug
    rejected = 27,    // the store will never take this object: too large for it, or its name
};

// Stable lower-case name, as in audit records ("no_space").
std::string_view error_code_name(ErrorCode code);
// Inverse; ErrorCode::failed for an unknown name or number.
ErrorCode error_code_from_name(std::string_view name);
ErrorCode error_code_from_exit(int exit_code);

// Message: lower case, no full stop, says what was being done to what and why it failed.
// Detail: a sentence. Hint: an action. Never contains a secret.
class Error : public std::exception {
  public:
    Error(ErrorCode code, std::string message, std::string detail = {}, std::string hint = {});
    const char* what() const noexcept override { return message_.c_str(); }

    ErrorCode code() const noexcept { return code_; }
    int exit_code() const noexcept { return static_cast<int>(code_); }
    const std::string& message() const noexcept { return message_; }
    const std::string& detail() const noexcept { return detail_; }
    const std::string& hint() const noexcept { return hint_; }

  private:
    ErrorCode code_;
    std::string message_;
    std::string detail_;
    std::string hint_;
};

// An Error from an errno value: "could not <what> \"<path>\": <strerror>". ENOSPC and EDQUOT
// become no_space, EACCES, EPERM and EROFS permission, ENOENT not_found, everything else io.
Error system_error(int errno_value, std::string_view what, std::string_view path = {});

}  // namespace immbackup
