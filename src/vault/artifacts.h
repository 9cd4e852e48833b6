// What stands in the vault: an artifact's files with their seal records, and what records/ says of
// it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "vault/record.h"
#include "vault/tree.h"

namespace immbackup::vault {

struct SealedFile {
    Fd fd;  // for reading; empty: there is no such file
    std::uint64_t size = 0;
    Millis changed = 0;    // ctime, which only the kernel sets
    bool flagged = false;  // immutable
    // sound: of a known version, and of this very file: stem, kind and size agree, and owner and
    // mode are as they were sealed.
    RecordState state = RecordState::absent;
    SealRecord record;

    bool there() const { return static_cast<bool>(fd); }
    // It bears the seal that its record states.
    bool sealed() const {
        return state == RecordState::sound && (flagged || record.level == Level::dac);
    }
};

enum class ArtifactState { sealed, unattested, orphan, missing, unknown };
const char* state_name(ArtifactState state);

struct Artifact {
    std::string stem;
    Format format = Format::gzip;     // by the names of its files
    std::array<SealedFile, 3> files;  // by FileKind
    bool attested = false;
    SealRecord attestation;
    bool held = false;
    std::size_t extensions = 0;
    bool undated = false;     // attestation or an extension cannot be read: it is kept for ever
    Millis retain_until = 0;  // the latest of records, attestation and extensions

    const SealedFile& file(FileKind kind) const { return files.at(static_cast<std::size_t>(kind)); }
    bool whole() const;  // three files whose sound records agree
    bool any() const;    // at least one file
    bool newer() const;  // something of it is of a version that we do not know, or cannot be read
    ArtifactState state() const;
    Level level() const;  // of the weakest file
};

// Names of files in records/.
std::string attestation_name(const std::string& stem);
std::string hold_name(const std::string& stem);
std::string extension_name(const std::string& stem, std::size_t number);
inline constexpr std::size_t kMaxExtensions = 99;

Artifact look_at(const Tree& tree, const std::string& stem);
// Failure(exists) where anything bears the stem already, a file of either format or an attestation.
void check_free(const Tree& tree, const std::string& stem);

struct Inventory {
    std::vector<std::string> stems;    // of active/ and of attestations, in order
    std::vector<std::string> foreign;  // names in active/ that are none of ours
};
Inventory inventory(const Tree& tree);

// Of active/.
struct Usage {
    std::uint64_t bytes = 0;
    std::uint64_t files = 0;
};
Usage usage(const Tree& tree);

// How many sealed artifacts of the same database are newer than the one with this record; counts
// no further than `enough`.
std::uint64_t newer_sealed(const Tree& tree, const SealRecord& seal, std::uint64_t enough);

}  // namespace immbackup::vault
