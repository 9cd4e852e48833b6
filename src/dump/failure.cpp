#include "dump/failure.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <array>

namespace immbackup {

namespace {

struct KnownFailure {
    std::string_view text;
    const char* hint;
};

constexpr std::array kKnownFailures{
    KnownFailure{"permission denied",
                 "Let immbackup connect as a role that may read everything: a superuser, or a "
                 "member of pg_read_all_data."},
    KnownFailure{"lock timeout",
                 "A session holds a lock on a table for longer than immbackup.lock_wait_timeout: "
                 "raise the setting, or end the session (see pg_locks)."},
    KnownFailure{"server version mismatch",
                 "Install the PostgreSQL client programs of the server's version."},
    KnownFailure{"password authentication failed",
                 "Check the settings immbackup.username and immbackup.password_file."},
    KnownFailure{"no password supplied",
                 "Name a file that holds the password in the setting immbackup.password_file."},
    KnownFailure{"row-level security",
                 "Let immbackup connect as a superuser or a role with BYPASSRLS: rows that a "
                 "policy hides would be missing from the backup."},
    KnownFailure{"conflict with recovery",
                 "On a standby, replay of changes cancelled the dump: raise "
                 "max_standby_streaming_delay there, or set hot_standby_feedback = on."},
    KnownFailure{"out of memory", "Give the server or pg_dump more memory."},
    KnownFailure{"due to administrator command",
                 "Somebody ended pg_dump's session: pg_terminate_backend, or DROP DATABASE ... "
                 "WITH (FORCE)."},
};

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

// "terminating connection due to administrator command" is said at a shutdown, but also where one
// session was ended: whether the server still takes connections tells which.
bool server_accepts(const DumpJob& job) {
    std::vector<const char*> names = {"connect_timeout"};
    std::vector<const char*> values = {"5"};
    for (const auto& [variable, keyword] :
         {std::pair{"PGHOST", "host"}, {"PGPORT", "port"}, {"PGUSER", "user"}}) {
        const auto found = job.command.environment_set.find(variable);
        if (found != job.command.environment_set.end()) {
            names.push_back(keyword);
            values.push_back(found->second.c_str());
        }
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    return PQpingParams(names.data(), values.data(), 0) == PQPING_OK;
}

bool server_is_stopping(const DumpJob& job, std::string_view tail) {
    if (contains(tail, "the database system is shutting down")) {
        return true;
    }
    return (contains(tail, "terminating connection due to administrator command") ||
            contains(tail, "terminating connection due to immediate shutdown command")) &&
           !server_accepts(job);
}

}  // namespace

void DumpMessages::append(std::string_view text) {
    tail_.append(text);
    while (!text.empty()) {
        const std::size_t newline = text.find('\n');
        const std::string_view part = text.substr(0, newline);
        if (line_.size() < kMaxLine) {
            line_.append(part.substr(0, kMaxLine - line_.size()));
        }
        if (newline == std::string_view::npos) {
            return;
        }
        end_line();
        text.remove_prefix(newline + 1);
    }
}

void DumpMessages::end_line() {
    if (!line_.empty()) {
        if (lines_.size() < kMaxLines) {
            lines_.push_back(line_);
        } else {
            ++more_;
        }
    }
    line_.clear();
}

std::string DumpMessages::tail() const {
    std::string_view text = tail_.text();
    if (text.size() >= kTail) {  // its first line was cut
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    }
    text = text.substr(0, text.find_last_not_of(" \r\n") + 1);
    return std::string(text);
}

std::vector<std::string> DumpMessages::lines() const {
    DumpMessages whole = *this;
    whole.end_line();
    if (whole.more_ > 0) {
        whole.lines_.push_back(fmt::format("and {} more lines", whole.more_));
    }
    return whole.lines_;
}

std::string dump_title(const DumpJob& job) {
    return job.progress.database.empty()
               ? job.program
               : fmt::format("{} of database \"{}\"", job.program, job.progress.database);
}

Error dump_failure(const DumpJob& job, const ExitStatus& status, const std::string& tail) {
    if (server_is_stopping(job, tail)) {
        return {ErrorCode::cancelled,
                fmt::format("{} was stopped: the server is shutting down", dump_title(job)), tail};
    }
    std::string hint;
    for (const KnownFailure& known : kKnownFailures) {
        if (contains(tail, known.text)) {
            hint = known.hint;
            break;
        }
    }
    if (!status.exited && hint.empty()) {
        hint = "Look into the system's log for what ended it, such as a lack of memory.";
    }
    return {ErrorCode::dump, fmt::format("{} failed with {}", dump_title(job), status.text()),
            tail.empty() ? job.program + " wrote no message." : tail, hint};
}

}  // namespace immbackup
