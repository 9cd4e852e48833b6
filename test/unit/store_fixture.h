// What the tests of the store share: a backup directory of their own that is removed whatever flags
// its files have, small artifacts, and steps in processes of their own.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "io/clock.h"
#include "io/file.h"
#include "store/seal.h"
#include "store/store.h"

namespace immbackup::test {

inline void clear_flags(const fs::path& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd) {
        set_inode_flag(fd, InodeFlag::immutable, false);
        set_inode_flag(fd, InodeFlag::append_only, false);
    }
}

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string name = (fs::temp_directory_path() / "immbackup-test.XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) {
            throw system_error(errno, "create directory", name);
        }
        path_ = name;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        for (fs::recursive_directory_iterator entry(path_, ignored);
             !ignored && entry != fs::recursive_directory_iterator(); entry.increment(ignored)) {
            clear_flags(entry->path());
        }
        fs::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

inline std::string content_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();  // where it cannot be read (a process that is gone), no exception
    return text.str();
}

inline void put(const fs::path& path, std::string_view content, unsigned mode = 0600) {
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), mode);
}

inline std::set<std::string> names_in(const fs::path& path) {
    const auto names = list_directory(path);
    return {names.begin(), names.end()};
}

inline unsigned mode_of(const fs::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
}

inline bool is_immutable(const fs::path& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return fd && has_inode_flag(fd, InodeFlag::immutable);
}

// May this process set inode flags on the file system of temporary files?
inline bool can_set_flags() {
    static const bool able = [] {
        const TemporaryDirectory directory;
        put(directory.path() / "probe", "");
        const Fd fd = open_file(directory.path() / "probe", O_RDWR);
        return set_inode_flag(fd, InodeFlag::immutable, true) &&
               set_inode_flag(fd, InodeFlag::immutable, false);
    }();
    return able;
}

// From here on this process cannot set or clear inode flags, as a server that runs as an ordinary
// user.
inline void drop_flag_capability() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    ASSERT_EQ(::syscall(SYS_capget, &header, data), 0);
    data[0].effective &= ~(1U << CAP_LINUX_IMMUTABLE);
    data[0].permitted &= ~(1U << CAP_LINUX_IMMUTABLE);
    ASSERT_EQ(::syscall(SYS_capset, &header, data), 0);
}

// Runs `act` in a process of its own and returns its wait status. A test failure in it, or an
// exception, is exit code 99.
inline int in_child(const std::function<void()>& act) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        int code = 0;
        try {
            act();
            code = testing::Test::HasFailure() ? 99 : 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "in the child: %s\n", error.what());
            code = 99;
        }
        std::fflush(nullptr);
        ::_exit(code);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

inline bool succeeded(int status) {
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// An error of exactly this code whose message holds `part`.
template <typename Act>
::testing::AssertionResult throws_error(ErrorCode code, const std::string& part, const Act& act) {
    try {
        act();
    } catch (const Error& error) {
        if (error.code() == code && error.message().find(part) != std::string::npos) {
            return ::testing::AssertionSuccess();
        }
        return ::testing::AssertionFailure()
               << error_code_name(error.code()) << ": " << error.message();
    }
    return ::testing::AssertionFailure() << "nothing was thrown";
}

inline const char* const kStem = "20260118T120000Z";

inline Manifest manifest_of(const std::string& stem, const StagedArtifact& staged,
                            std::string_view seal) {
    Manifest manifest;
    manifest.artifact = stem;
    manifest.run = stem.substr(0, 16);
    manifest.database.name = "app";
    manifest.database.owner = "app";
    manifest.database.encoding = "UTF8";
    manifest.database.locale_provider = "libc";
    manifest.database.collate = "C";
    manifest.database.ctype = "C";
    manifest.server.version = "15.18";
    manifest.server.version_num = 150018;
    manifest.pg_dump_version = "15.18";
    manifest.psql_required = "15.18";
    manifest.started = manifest.finished = *parse_run_id(manifest.run);
    manifest.snapshot_after = manifest.snapshot_before = manifest.started;
    manifest.retain_until = manifest.started + std::chrono::hours(24);
    manifest.compression = "gzip:1";
    manifest.compressor = "zlib";
    manifest.tier = "hourly";
    manifest.size = staged.size();
    manifest.sha256 = staged.sha256();
    manifest.sql_size = staged.size();
    manifest.seal = seal;
    manifest.audit_hash = std::string(64, '0');
    manifest.instance = "00000000-0000-4000-8000-000000000000";
    manifest.immbackup_version = "0.1.0";
    return manifest;
}

inline std::unique_ptr<StagedArtifact> stage_content(Store& store, const std::string& stem,
                                                     std::string_view content) {
    auto staged = store.stage({stem, DumpFormat::gzip, {}, {}});
    staged->write(std::as_bytes(std::span(content.data(), content.size())));
    staged->prove(CancelToken());
    return staged;
}

// A whole artifact, published at `seal` (empty: what the store can reach).
inline void publish_content(Store& store, const std::string& stem, std::string_view content,
                            std::string_view seal = {}) {
    auto staged = stage_content(store, stem, content);
    const Manifest manifest =
        manifest_of(stem, *staged, seal.empty() ? seal_level_name(store.seal_level()) : seal);
    store.publish(std::move(staged), manifest);
}

}  // namespace immbackup::test
