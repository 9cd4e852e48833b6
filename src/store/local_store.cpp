// The plain store: files of this OS user. Publication order and what a crash leaves at each step
// are in docs/architecture.md; sweep.cpp is the other half of that promise.

#include "store/local_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/digest.h"
#include "store/read_back.h"
#include "store/seal.h"

namespace immbackup {

namespace {

constexpr unsigned kDirectoryMode = 0700;
constexpr unsigned kStagedMode = 0600;
constexpr mode_t kSealedMode = 0400;
// Every so many bytes the kernel is asked to begin writing, so that no long fsync waits at the end.
constexpr std::uint64_t kWriteBehind = 8ULL * 1024 * 1024;

class LocalStaged final : public StagedArtifact {
  public:
    explicit LocalStaged(fs::path path)
        : path_(std::move(path)),
          fd_(open_file(path_, O_RDWR | O_CREAT | O_EXCL, kStagedMode)),
          read_back_(path_) {}

    ~LocalStaged() override {
        if (!published_) {
            ::unlink(path_.c_str());
        }
    }
    LocalStaged(const LocalStaged&) = delete;
    LocalStaged& operator=(const LocalStaged&) = delete;

    void write(std::span<const std::byte> bytes) override {
        write_all(fd_, bytes, path_);
        digest_.update(bytes);
        size_ += bytes.size();
        read_back_.grown_to(size_);
        if (size_ - flushed_ >= kWriteBehind) {
            static_cast<void>(::sync_file_range(fd_.get(), static_cast<off64_t>(flushed_),
                                                static_cast<off64_t>(size_ - flushed_),
                                                SYNC_FILE_RANGE_WRITE));
            flushed_ = size_;
        }
    }

    void prove(const CancelToken& cancel) override {
        sync_file(fd_, path_);
        const ReadBack::Result read = read_back_.finish(size_, cancel);
        sha256_ = digest_.hex();
        if (read.size != size_ || read.sha256 != sha256_) {
            throw Error(
                ErrorCode::corrupt,
                fmt::format("\"{}\" does not read back as it was written", path_.string()),
                fmt::format(
                    "{} bytes with digest {} were written, {} bytes with digest {} were read.",
                    size_, sha256_, read.size, read.sha256),
                "Check the disk and its file system.");
        }
        drop_cache(fd_);
    }

    std::uint64_t size() const override { return size_; }
    std::string sha256() const override { return sha256_; }
    Fd reader() const override { return open_regular(path_); }
    const fs::path& path() const { return path_; }
    void mark_published() { published_ = true; }
    bool published() const { return published_; }

  private:
    fs::path path_;
    Fd fd_;
    Sha256 digest_;
    ReadBack read_back_;
    std::uint64_t size_ = 0;
    std::uint64_t flushed_ = 0;
    std::string sha256_;
    bool published_ = false;
};

}  // namespace

std::unique_ptr<Store> open_local_store(const std::string& directory) {
    if (auto problem = directory_problem(directory)) {
        throw Error(*problem);
    }
    const Layout layout{directory};
    for (const fs::path& path : {layout.active(), layout.incoming(), layout.logs()}) {
        make_directory(path, kDirectoryMode);
    }
    sync_directory(layout.root);
    return std::make_unique<LocalStore>(layout);
}

SealLevel LocalStore::seal_level() {
    if (level_) {
        return *level_;
    }
    const fs::path probe = layout_.incoming() / fmt::format("{}{}", kProbePrefix, ::getpid());
    unseal_and_remove(probe);  // a process of the same number may have died in between
    const Fd fd = open_file(probe, O_RDWR | O_CREAT | O_EXCL, kStagedMode);
    errno = 0;
    const bool able = set_inode_flag(fd, InodeFlag::immutable, true) &&
                      has_inode_flag(fd, InodeFlag::immutable) &&
                      set_inode_flag(fd, InodeFlag::immutable, false);
    const int reason = errno;
    remove_file(probe);
    if (able) {
        level_reason_ = "A vault would be more (docs/vault.md).";
    } else if (reason == EPERM) {
        level_reason_ =
            "This process may not set the kernel's immutable flag (CAP_LINUX_IMMUTABLE).";
    } else {
        level_reason_ = "The file system of the backup directory has no immutable flag.";
    }
    level_ = able ? SealLevel::immutable : SealLevel::readonly;
    return *level_;
}

std::string LocalStore::seal_reason() {
    static_cast<void>(seal_level());
    return level_reason_;
}

std::unique_ptr<StagedArtifact> LocalStore::stage(const Staging& staging) {
    const std::string& stem = staging.stem;
    if (!parse_stem(stem)) {
        throw Error(ErrorCode::internal,
                    fmt::format("\"{}\" is not the name of an artifact", stem));
    }
    return std::make_unique<LocalStaged>(layout_.incoming() /
                                         (artifact_file(stem, staging.format) + ".part"));
}

void LocalStore::seal_file(const fs::path& path, SealLevel level) const {
    const Fd fd = open_regular(path);
    if (::fchmod(fd.get(), kSealedMode) != 0 && !has_inode_flag(fd, InodeFlag::immutable)) {
        throw system_error(errno, "seal file", path.string());
    }
    if (level == SealLevel::immutable && !set_inode_flag(fd, InodeFlag::immutable, true)) {
        throw system_error(errno, "set the immutable flag of", path.string());
    }
    sync_file(fd, path);
    if (seal_of_file(path) < level) {
        throw Error(ErrorCode::permission,
                    fmt::format("\"{}\" does not hold the seal \"{}\"", path.string(),
                                seal_level_name(level)),
                    "The mode or the flag was set, but is not there when read back.",
                    "Keep backups on a file system that stores modes and inode flags.");
    }
}

// Takes back what seal_file() did, as far as that is possible; what is no regular file is left
// alone.
void LocalStore::unseal(const fs::path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
        const Fd fd = open_regular(path);
        static_cast<void>(set_inode_flag(fd, InodeFlag::immutable, false));
        static_cast<void>(::fchmod(fd.get(), kStagedMode));
    }
}

void LocalStore::unseal_and_remove(const fs::path& path) {
    unseal(path);
    remove_file(path);
}

void LocalStore::publish(std::unique_ptr<StagedArtifact> staged, const Manifest& manifest) {
    auto* local = dynamic_cast<LocalStaged*>(staged.get());
    const auto level = seal_level_from_name(manifest.seal);
    if (local == nullptr || !level || *level == SealLevel::none ||
        local->sha256() != manifest.sha256 || local->size() != manifest.size ||
        local->path().filename() != artifact_file(manifest.artifact, manifest.format()) + ".part") {
        throw Error(ErrorCode::internal,
                    "a manifest does not describe the artifact it is published with");
    }
    const std::string& stem = manifest.artifact;
    const DumpFormat format = manifest.format();
    const std::array<fs::path, 3> files{layout_.artifact(stem, format),
                                        layout_.digest(stem, format),
                                        layout_.manifest(stem, format)};
    // Whatever it is compressed by: a stem names one artifact.
    for (const DumpFormat any : kDumpFormats) {
        for (const auto& file : artifact_files(stem, any)) {
            std::error_code ignored;
            if (fs::exists(fs::symlink_status(layout_.active() / file, ignored))) {
                throw Error(ErrorCode::exists, fmt::format("\"{}\" exists already",
                                                           (layout_.active() / file).string()));
            }
        }
    }
    std::vector<fs::path> placed;
    try {
        rename_no_replace(local->path(), files[0]);
        local->mark_published();
        placed.push_back(files[0]);
        place(files[1], fmt::format("{}  {}\n", manifest.sha256, artifact_file(stem, format)));
        placed.push_back(files[1]);
        // The manifest's presence says that the rest is there, after a power failure too: the other
        // two names are on the disk before it gets its own.
        sync_directory(layout_.active());
        place(files[2], manifest_to_json(manifest));
        placed.push_back(files[2]);
        sync_directory(layout_.active());
        sync_directory(layout_.incoming());
        for (const auto& file : files) {
            seal_file(file, *level);
        }
        sync_directory(layout_.active());
    } catch (...) {
        withdraw(placed);
        throw;
    }
}

// Undoes a publication that failed. All seals are opened before anything is removed, and the
// manifest goes first: at no point is there a sealed file without a manifest, which a sweep would
// have to take for a damaged backup. What cannot be removed now, the next sweep finds; an error
// here must not hide the one that led here.
void LocalStore::withdraw(const std::vector<fs::path>& placed) {
    const auto quietly = [](const auto& act) {
        try {
            act();
        } catch (const Error&) {
            return;
        }
    };
    for (const auto& file : placed) {
        quietly([&] { unseal(file); });
    }
    for (auto file = placed.rbegin(); file != placed.rend(); ++file) {
        quietly([&] { remove_file(*file); });
    }
    quietly([&] { sync_directory(layout_.active()); });
}

// A whole small file under its final name at once, by way of incoming/.
void LocalStore::place(const fs::path& path, const std::string& content) const {
    const fs::path staged = layout_.incoming() / (path.filename().string() + ".part");
    try {
        create_durable(staged, content, kStagedMode);
        rename_no_replace(staged, path);
    } catch (...) {
        ::unlink(staged.c_str());
        throw;
    }
}

std::vector<std::string> LocalStore::list() const {
    std::vector<std::string> stems;
    for (const std::string& name : list_directory(layout_.active())) {
        const auto stem = stem_of_file(name);
        if (stem && name.ends_with(kManifestSuffix)) {
            stems.push_back(*stem);
        }
    }
    // By name of the stem, not of the file: "<run>.x" and "<run>" sort otherwise beside ".sql".
    std::sort(stems.begin(), stems.end());
    stems.erase(std::unique(stems.begin(), stems.end()), stems.end());
    return stems;
}

std::string LocalStore::manifest_text(const std::string& stem) const {
    try {
        return read_file(layout_.manifest(stem), kMaxManifestSize);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::not_found) {
            throw Error(ErrorCode::not_found, fmt::format("there is no artifact \"{}\"", stem),
                        error.message(), "`immbackup list` shows the artifacts there are.");
        }
        throw;
    }
}

std::string LocalStore::digest_text(const std::string& stem) const {
    return read_file(layout_.digest(stem), kMaxDigestFile);
}

std::uint64_t LocalStore::artifact_size(const std::string& stem) const {
    return file_size(open_artifact(stem), layout_.artifact(stem));
}

void LocalStore::read_artifact(const std::string& stem,
                               const std::function<void(std::span<const std::byte>)>& sink) const {
    // From the device, whatever the kernel still holds of it: what was proven is what is stored.
    // And nobody else's pages have to go for a file that is read once.
    const Fd fd = open_artifact(stem);
    drop_cache(fd);
    static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
    read_blocks(fd, layout_.artifact(stem), sink);
    drop_cache(fd);
}

Fd LocalStore::open_artifact(const std::string& stem) const {
    return open_regular(layout_.artifact(stem));
}

SealLevel LocalStore::seal_of_file(const fs::path& path) {
    const Fd fd = open_regular(path);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || (status.st_mode & 07777U) != kSealedMode) {
        return SealLevel::none;
    }
    return has_inode_flag(fd, InodeFlag::immutable) ? SealLevel::immutable : SealLevel::readonly;
}

SealLevel LocalStore::seal_of(const std::string& stem) const {
    return std::min({seal_of_file(layout_.artifact(stem)), seal_of_file(layout_.digest(stem)),
                     seal_of_file(layout_.manifest(stem))});
}

}  // namespace immbackup
