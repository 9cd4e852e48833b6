// Names of the files below the backup directory (docs/formats.md). There are two shapes: the plain
// store's, where all belongs to the OS user that runs PostgreSQL, and the vault's (docs/vault.md),
// where that user may write to work/ alone.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/names.h"

namespace immbackup {

struct Layout {
    std::filesystem::path root;
    bool vault = false;

    std::filesystem::path active() const { return root / "active"; }
    std::filesystem::path logs() const { return root / "logs"; }
    std::filesystem::path audit_log() const { return logs() / "backup_audit.jsonl"; }

    // What jobs write beside artifacts and log.
    std::filesystem::path work() const { return vault ? root / "work" : root; }
    std::filesystem::path incoming() const { return work() / "incoming"; }
    std::filesystem::path lock_file() const { return work() / "immbackup.lock"; }
    // Held by the one process that uploads, beside whoever holds the other one.
    std::filesystem::path upload_lock_file() const { return work() / "immbackup-upload.lock"; }
    std::filesystem::path preflight_cache() const { return work() / "s3-preflight.json"; }
    std::filesystem::path checkpoint() const { return (vault ? work() : logs()) / "catalog.idx"; }

    // The three files of an artifact, by how it is compressed.
    std::filesystem::path artifact(std::string_view stem, DumpFormat format) const {
        return active() / artifact_file(stem, format);
    }
    std::filesystem::path digest(std::string_view stem, DumpFormat format) const {
        return active() / digest_file(stem, format);
    }
    std::filesystem::path manifest(std::string_view stem, DumpFormat format) const {
        return active() / manifest_file(stem, format);
    }
    // How the artifact of this stem in active/ is compressed, by the names there: its manifest's,
    // which is written last and removed first, or else the other files'; gzip where there is none.
    DumpFormat format_of(std::string_view stem) const;
    // Where the artifact is, whatever it is compressed by.
    std::filesystem::path artifact(std::string_view stem) const {
        return artifact(stem, format_of(stem));
    }
    std::filesystem::path digest(std::string_view stem) const {
        return digest(stem, format_of(stem));
    }
    std::filesystem::path manifest(std::string_view stem) const {
        return manifest(stem, format_of(stem));
    }

    // Of a vault: the plain store that was here before it, whose artifacts are imported.
    Layout plain() const { return {root / "plain"}; }
    // Where artifacts may be; the first that has one counts.
    std::vector<std::filesystem::path> artifact_folders() const;
};

// Which shape the directory has, by two lstat(2) and without reading anything: it is a vault where
// work/ is there and active/ belongs to another user than work/. Never throws; what is not there is
// plain.
Layout find_layout(const std::filesystem::path& root);

}  // namespace immbackup
