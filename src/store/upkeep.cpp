// What is done with artifacts after they were sealed: looked at, sealed again, removed.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/digest.h"
#include "store/local_store.h"

namespace immbackup {

std::array<fs::path, 3> LocalStore::files_of(const std::string& stem) const {
    const DumpFormat format = layout_.format_of(stem);
    return {layout_.manifest(stem, format), layout_.digest(stem, format),
            layout_.artifact(stem, format)};
}

std::string LocalStore::stamp(const std::string& stem) const {
    constexpr std::size_t kDigits = 16;
    std::string facts;
    for (const auto& file : files_of(stem)) {
        struct stat status {};
        if (::lstat(file.c_str(), &status) != 0) {
            facts += "absent;";
            continue;
        }
        // The kernel alone sets the change time: content, mode, owner, links and flags count.
        facts += fmt::format("{} {} {:o} {}.{} {}.{};", status.st_ino, status.st_size,
                             status.st_mode, status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                             status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
    }
    return sha256_hex(facts).substr(0, kDigits);
}

std::optional<Error> LocalStore::problem_of(const std::string& stem,
                                            const CancelToken& cancel) const {
    try {
        const Manifest manifest = read_manifest(stem);
        const std::string line =
            fmt::format("{}  {}\n", manifest.sha256, artifact_file(stem, manifest.format()));
        if (read_file(layout_.digest(stem), 1024) != line) {
            return Error(ErrorCode::corrupt, "the checksum file does not agree with the manifest");
        }
        const Fd fd = open_artifact(stem);
        Sha256 digest;
        const std::uint64_t size =
            read_blocks(fd, layout_.artifact(stem), [&](std::span<const std::byte> block) {
                cancel.check();
                digest.update(block);
            });
        if (size != manifest.size || digest.hex() != manifest.sha256) {
            return Error(ErrorCode::corrupt,
                         fmt::format("it has {} bytes with digest {}, its manifest says {} bytes "
                                     "with digest {}",
                                     size, digest.hex(), manifest.size, manifest.sha256));
        }
        return std::nullopt;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::not_found || error.code() == ErrorCode::corrupt) {
            return error;
        }
        throw;  // an error of reading says nothing about the files
    }
}

void LocalStore::reseal(const std::string& stem, SealLevel level) {
    for (const auto& file : files_of(stem)) {
        if (seal_of_file(file) < level) {
            seal_file(file, std::min(level, seal_level()));
        }
    }
    sync_directory(layout_.active());
}

bool LocalStore::has_manifest(const std::string& stem) const {
    struct stat status {};
    return ::lstat(layout_.manifest(stem).c_str(), &status) == 0;
}

bool LocalStore::complete(const std::string& stem) const {
    const auto files = files_of(stem);
    return std::all_of(files.begin(), files.end(), [](const fs::path& file) {
        struct stat status {};
        return ::lstat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode);
    });
}

std::uint64_t LocalStore::remove(const std::string& stem, const std::string& /*reason*/) {
    std::uint64_t freed = 0;
    for (const auto& file : files_of(stem)) {
        struct stat status {};
        if (::lstat(file.c_str(), &status) == 0) {
            unseal_and_remove(file);
            freed += static_cast<std::uint64_t>(status.st_size);
        }
        // After the first: from now on it is no backup, whatever happens to us.
        sync_directory(layout_.active());
    }
    return freed;
}

}  // namespace immbackup
