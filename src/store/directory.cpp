// Can the backup directory be used, and if not, what helps.

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/file.h"
#include "store/store.h"

namespace immbackup {

namespace {

std::string make_command(const std::string& directory) {
    return fmt::format("As root, run: install -d -m 0700 -o {} -g {} {}", ::geteuid(), ::getegid(),
                       directory);
}

}  // namespace

std::optional<Error> directory_problem(const std::string& directory) {
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) {
        const int reason = errno;
        if (reason == ENOENT) {
            return Error(ErrorCode::config,
                         fmt::format("the backup directory \"{}\" does not exist", directory), {},
                         make_command(directory) + ", or set immbackup.directory (BACKUP_DIR).");
        }
        return Error(ErrorCode::config,
                     fmt::format("the backup directory cannot be used: {}",
                                 system_error(reason, "look at", directory).message()),
                     {}, make_command(directory));
    }
    if (!S_ISDIR(status.st_mode)) {
        return Error(ErrorCode::config,
                     fmt::format("the backup directory \"{}\" is not a directory", directory), {},
                     "Set immbackup.directory (BACKUP_DIR) to a directory.");
    }
    if (status.st_uid != ::geteuid() && ::geteuid() != 0) {
        return Error(ErrorCode::config,
                     fmt::format("the backup directory \"{}\" belongs to another user", directory),
                     fmt::format("It belongs to user {}; this process runs as user {}.",
                                 status.st_uid, ::geteuid()),
                     fmt::format("As root, run: chown {}:{} {} && chmod 0700 {}", ::geteuid(),
                                 ::getegid(), directory, directory));
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return Error(
            ErrorCode::config,
            fmt::format("the backup directory \"{}\" can be written by other users", directory),
            fmt::format("Its mode is {:04o}.", status.st_mode & 07777U),
            fmt::format("Run: chmod 0700 {}", directory));
    }
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
        return Error(ErrorCode::config,
                     fmt::format("the backup directory cannot be used: {}",
                                 system_error(errno, "write to", directory).message()),
                     {}, "Make it writable for the OS user that runs PostgreSQL.");
    }
    return std::nullopt;
}

}  // namespace immbackup
