// What can be read of artifacts, wherever they are kept: a directory (store.h), a bucket
// (restore/bucket_source.h). Listing, verifying, fetching and restoring need no more.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/manifest.h"
#include "io/cancel.h"

namespace immbackup {

inline constexpr std::size_t kMaxDigestFile = 4096;

class ArtifactSource {
  public:
    virtual ~ArtifactSource() = default;
    // Stems with a manifest, in order of name.
    virtual std::vector<std::string> list() const = 0;
    // As they are kept, byte for byte. Error(not_found), Error(corrupt) where it is too large.
    virtual std::string manifest_text(const std::string& stem) const = 0;
    virtual std::string digest_text(const std::string& stem) const = 0;
    virtual std::uint64_t artifact_size(const std::string& stem) const = 0;
    // The whole artifact in order, block by block. Throws what `sink` throws.
    virtual void read_artifact(
        const std::string& stem,
        const std::function<void(std::span<const std::byte>)>& sink) const = 0;

    // The manifest of this artifact and no other. Error(not_found), Error(corrupt).
    Manifest read_manifest(const std::string& stem) const;
};

}  // namespace immbackup
