#include "restore/fetch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/error.h"
#include "io/file.h"
#include "store/layout.h"

namespace immbackup {

namespace {

constexpr unsigned kDirectoryMode = 0700;
constexpr unsigned kFileMode = 0400;

// A file on its way: without its final name until it is whole.
class Arriving {
  public:
    explicit Arriving(fs::path path)
        : path_(std::move(path)), fd_(open_file(path_, O_WRONLY | O_CREAT | O_EXCL, kFileMode)) {}
    ~Arriving() {
        if (!placed_) {
            ::unlink(path_.c_str());
        }
    }
    Arriving(const Arriving&) = delete;
    Arriving& operator=(const Arriving&) = delete;

    void write(std::span<const std::byte> bytes) const { write_all(fd_, bytes, path_); }
    void place(const fs::path& final_name) {
        sync_file(fd_, path_);
        rename_no_replace(path_, final_name);
        placed_ = true;
    }

  private:
    fs::path path_;
    Fd fd_;
    bool placed_ = false;
};

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(fs::symlink_status(path, ignored));
}

std::string digest_of(const fs::path& path, const CancelToken& cancel) {
    Sha256 digest;
    read_blocks(open_regular(path), path, [&](std::span<const std::byte> block) {
        cancel.check();
        digest.update(block);
    });
    return digest.hex();
}

void require_space(const fs::path& folder, std::uint64_t size) {
    const Space space = space_of(folder);
    if (space.available < size) {
        throw Error(ErrorCode::no_space,
                    fmt::format("\"{}\" has no room for the artifact", folder.string()),
                    fmt::format("It needs {} bytes; {} are free.", size, space.available),
                    "Fetch it to another file system.");
    }
}

void receive(const ArtifactSource& source, const Manifest& manifest, const Layout& layout,
             const CancelToken& cancel, Progress& progress) {
    const std::string& stem = manifest.artifact;
    require_space(layout.active(), manifest.size);
    Arriving file(layout.incoming() / (artifact_file(stem, manifest.format()) + ".part"));
    Sha256 digest;
    ProgressState state;
    state.phase = "fetching";
    state.database = manifest.database.name;
    state.bytes_total = manifest.size;
    source.read_artifact(stem, [&](std::span<const std::byte> block) {
        cancel.check();
        digest.update(block);
        file.write(block);
        state.bytes_in += block.size();
        state.bytes_out += block.size();
        progress.update(state);
    });
    if (state.bytes_in != manifest.size || digest.hex() != manifest.sha256) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("artifact \"{}\" is not what its manifest says", stem),
                    fmt::format("{} bytes with SHA-256 {} came; {} bytes with {} were written.",
                                state.bytes_in, digest.hex(), manifest.size, manifest.sha256),
                    "Use another artifact, or another copy of this one.");
    }
    file.place(layout.artifact(stem, manifest.format()));
}

void place_text(const fs::path& path, const Layout& layout, const std::string& text) {
    if (is_there(path)) {
        if (read_file(path, kMaxManifestSize) == text) {
            return;
        }
        throw Error(ErrorCode::exists, fmt::format("\"{}\" exists already", path.string()),
                    "It is not what is in the bucket.", "Fetch into another directory.");
    }
    Arriving file(layout.incoming() / (path.filename().string() + ".part"));
    file.write(std::as_bytes(std::span(text)));
    file.place(path);
}

}  // namespace

Fetched fetch_artifact(const ArtifactSource& source, const std::string& stem,
                       const std::string& directory, const CancelToken& cancel,
                       Progress& progress) {
    const Manifest manifest = source.read_manifest(stem);
    const std::string manifest_text = source.manifest_text(stem);
    const std::string digest_text = source.digest_text(stem);
    const Layout layout{directory};
    make_directory(layout.root, kDirectoryMode);
    make_directory(layout.active(), kDirectoryMode);
    make_directory(layout.incoming(), kDirectoryMode);
    const fs::path path = layout.artifact(stem, manifest.format());
    Fetched out{stem, path.string(), false, manifest.size, manifest.sha256};
    if (is_there(path)) {
        if (digest_of(path, cancel) != manifest.sha256) {
            throw Error(ErrorCode::exists, fmt::format("\"{}\" exists already", out.path),
                        "It is not what is in the bucket.", "Fetch into another directory.");
        }
        out.present = true;
    } else {
        receive(source, manifest, layout, cancel, progress);
    }
    place_text(layout.digest(stem, manifest.format()), layout, digest_text);
    sync_directory(layout.active());
    place_text(layout.manifest(stem, manifest.format()), layout, manifest_text);
    sync_directory(layout.active());
    return out;
}

}  // namespace immbackup
