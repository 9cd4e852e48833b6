// The vault as a store: how artifacts come into it, and what can be answered by looking at the
// directory.

#include "store/vault_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/names.h"
#include "io/clock.h"
#include "store/seal.h"
#include "store/vault_put.h"

namespace immbackup {

namespace {

constexpr mode_t kVaultMode = 0440;

uid_t owner_of(const fs::path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        throw system_error(errno, "look at", path.string());
    }
    return status.st_uid;
}

// Error(corrupt) where the manifest is of another artifact.
void check_describes(const Manifest& manifest, const StagedArtifact& staged,
                     const std::string& stem) {
    if (manifest.artifact != stem || manifest.size != staged.size() ||
        manifest.sha256 != staged.sha256()) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("the manifest of \"{}\" does not describe the artifact", stem));
    }
}

}  // namespace

std::unique_ptr<StagedArtifact> VaultStore::stage(const Staging& staging) {
    if (!parse_stem(staging.stem)) {
        throw Error(ErrorCode::internal,
                    fmt::format("\"{}\" is not the name of an artifact", staging.stem));
    }
    return std::make_unique<VaultPut>(helper_, staging, status().max_retention);
}

void VaultStore::publish(std::unique_ptr<StagedArtifact> staged, const Manifest& manifest) {
    auto* put = dynamic_cast<VaultPut*>(staged.get());
    const auto level = seal_level_from_name(manifest.seal);
    if (put == nullptr || !level || *level < SealLevel::vault_dac) {
        throw Error(ErrorCode::internal,
                    "a manifest does not describe the artifact it is published with");
    }
    const std::string& stem = manifest.artifact;
    check_describes(manifest, *put, put->stem());
    put->publish(manifest_to_json(manifest), *level);
    if (const SealLevel now = seal_of(stem); now < *level) {
        throw Error(ErrorCode::permission,
                    fmt::format("artifact {} does not hold the seal \"{}\"", stem, manifest.seal),
                    fmt::format("The vault said so, but its files are sealed as \"{}\".",
                                seal_level_name(now)));
    }
    if (manifest.retain_until > *put->promised()) {
        static_cast<void>(extend(stem, manifest.retain_until));
    }
}

// The manifest goes in as it is: what was true when it was made.
void VaultStore::take_in(const std::string& stem, const Manifest& manifest, Time until,
                         const CancelToken& cancel) {
    const auto keep = std::chrono::duration_cast<std::chrono::seconds>(until - now());
    VaultPut put(
        helper_,
        {stem, manifest.format(),
         manifest.globals ? std::string(kGlobalsStem) : subject_token(manifest.database.name),
         std::max(keep, std::chrono::seconds(0))},
        status().max_retention);
    plain_.read_artifact(stem, [&](std::span<const std::byte> block) {
        cancel.check();
        put.write(block);
    });
    if (put.size() != manifest.size) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("artifact {} has {} bytes, its manifest says {}", stem, put.size(),
                                manifest.size));
    }
    put.prove(cancel);
    check_describes(manifest, put, stem);
    put.publish(plain_.manifest_text(stem), SealLevel::vault_dac);
}

std::vector<std::string> VaultStore::list() const {
    std::vector<std::string> stems = vault_.list();
    std::error_code ignored;
    if (fs::is_directory(plain_.layout().active(), ignored)) {
        const auto before = plain_.list();
        stems.insert(stems.end(), before.begin(), before.end());
        std::sort(stems.begin(), stems.end());
        stems.erase(std::unique(stems.begin(), stems.end()), stems.end());
    }
    return stems;
}

// Another user's is what belongs to who owns active/, which find_layout() compared with ours.
SealLevel VaultStore::seal_of(const std::string& stem) const {
    if (is_plain(stem)) {
        return plain_.seal_of(stem);
    }
    const uid_t keeper = owner_of(layout_.active());
    SealLevel weakest = SealLevel::vault;
    for (const auto& file :
         {layout_.artifact(stem), layout_.digest(stem), layout_.manifest(stem)}) {
        const Fd fd = open_regular(file);
        struct stat status {};
        if (::fstat(fd.get(), &status) != 0 || status.st_uid != keeper ||
            (status.st_mode & 07777U) != kVaultMode) {
            return SealLevel::none;
        }
        if (!has_inode_flag(fd, InodeFlag::immutable)) {
            weakest = SealLevel::vault_dac;
        }
    }
    return weakest;
}

}  // namespace immbackup
