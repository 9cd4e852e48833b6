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
    std::filesystem::path artifact(std::string_view stem) const {
        return active() / artifact_file(stem);
    }
    std::filesystem::path digest(std::string_view stem) const {
        return active() / digest_file(stem);
    }
    std::filesystem::path manifest(std::string_view stem) const {
        return active() / manifest_file(stem);
    }
};

}  // namespace immbackup
