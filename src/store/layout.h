// Names of the files below the backup directory (docs/formats.md).
#pragma once

#include <filesystem>
#include <string_view>

#include "core/names.h"

namespace immbackup {

struct Layout {
    std::filesystem::path root;

    std::filesystem::path active() const { return root / "active"; }
    std::filesystem::path incoming() const { return root / "incoming"; }
    std::filesystem::path logs() const { return root / "logs"; }
    std::filesystem::path lock_file() const { return root / "immbackup.lock"; }
    // Held by the one process that uploads, beside whoever holds the other one.
    std::filesystem::path upload_lock_file() const { return root / "immbackup-upload.lock"; }
    std::filesystem::path audit_log() const { return logs() / "backup_audit.jsonl"; }
    std::filesystem::path checkpoint() const { return logs() / "catalog.idx"; }
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
};

}  // namespace immbackup
