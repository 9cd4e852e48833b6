// Can the backup directory be used, and if not, what helps.

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "io/file.h"
#include "store/layout.h"
#include "store/store.h"

namespace immbackup {

namespace {

// Names where the system has them, numbers otherwise (a container may run as a user without a
// name).
std::string user_name(uid_t user) {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    ::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? found->pw_name : std::to_string(user);
}

std::string group_name(gid_t group) {
    std::array<char, 4096> buffer{};
    struct group entry {};
    struct group* found = nullptr;
    ::getgrgid_r(group, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? found->gr_name : std::to_string(group);
}

// As a word of a shell command that an administrator can paste.
std::string shell_word(const std::string& text) {
    constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+:@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) {
        return text;
    }
    std::string out = "'";
    for (const char c : text) {
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return out + "'";
}

std::string make_command(const std::string& directory) {
    return fmt::format("As root, run: install -d -m 0700 -o {} -g {} {}", user_name(::geteuid()),
                       group_name(::getegid()), shell_word(directory));
}

std::string take_command(const std::string& directory) {
    return fmt::format("As root, run: chown {}:{} {} && chmod 0700 {}", user_name(::geteuid()),
                       group_name(::getegid()), shell_word(directory), shell_word(directory));
}

// Owner and mode of a directory that exists. Others who may write to it, or own it, could put other
// files in the place of backups.
std::optional<Error> rights_problem(const std::string& what, const std::string& directory,
                                    const struct stat& status) {
    if (status.st_uid != ::geteuid()) {
        // Also for root: what it wrote here, the owner could not read or seal afterwards.
        const std::string owner = user_name(status.st_uid);
        return Error(ErrorCode::config,
                     fmt::format("{} \"{}\" belongs to another user", what, directory),
                     fmt::format("It belongs to {}; this process runs as {}.", owner,
                                 user_name(::geteuid())),
                     ::geteuid() == 0 ? fmt::format("Run as its owner: runuser -u {} -- …", owner)
                                      : take_command(directory));
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return Error(ErrorCode::config,
                     fmt::format("{} \"{}\" can be written by other users", what, directory),
                     fmt::format("Its mode is {:04o}.", status.st_mode & 07777U),
                     fmt::format("Run: chmod 0700 {}", shell_word(directory)));
    }
    return std::nullopt;
}

// active/, incoming/ and logs/ where they exist: directories of their own (no symbolic links),
// ours, and not writable for others.
std::optional<Error> folders_problem(const Layout& layout) {
    for (const fs::path& path : {layout.active(), layout.incoming(), layout.logs()}) {
        const std::string name = path.string();
        struct stat status {};
        if (::lstat(name.c_str(), &status) != 0) {
            if (errno == ENOENT) {
                continue;  // it is made when it is needed
            }
            return Error(ErrorCode::config,
                         fmt::format("the backup directory cannot be used: {}",
                                     system_error(errno, "look at", name).message()),
                         {}, take_command(layout.root.string()));
        }
        if (!S_ISDIR(status.st_mode)) {
            return Error(ErrorCode::config,
                         fmt::format("\"{}\" in the backup directory is not a directory", name),
                         S_ISLNK(status.st_mode) ? "It is a symbolic link." : "",
                         "Move it away; the directory is then made anew.");
        }
        if (auto problem = rights_problem("the folder", name, status)) {
            return problem;
        }
    }
    return std::nullopt;
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
    if (auto problem = rights_problem("the backup directory", directory, status)) {
        return problem;
    }
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
        const int reason = errno;
        return Error(ErrorCode::config,
                     fmt::format("the backup directory cannot be used: {}",
                                 system_error(reason, "write to", directory).message()),
                     {},
                     reason == EACCES ? take_command(directory)
                                      : "Make it writable for the OS user that runs PostgreSQL.");
    }
    return folders_problem(Layout{directory});
}

}  // namespace immbackup
