// Brings an artifact from another place into a directory, so that every other command works on it.
#pragma once

#include <string>

#include "io/cancel.h"
#include "io/progress.h"
#include "store/artifact_source.h"

namespace immbackup {

struct Fetched {
    std::string artifact;
    std::string path;      // of the artifact's file
    bool present = false;  // it was there already, with the same digest
    std::uint64_t size = 0;
    std::string sha256;
};

// Into <directory>/active/, mode 0400: the artifact, its checksum file, its manifest last, as they
// are kept in `source`, byte for byte. The folders are made where they are missing. The artifact
// gets its name only when size and SHA-256 are what the manifest says; a name that exists is never
// written over. Error(exists) where one of the names is taken by something else, Error(no_space),
// Error(corrupt), what the source throws. Call with the directory's lock held where there is one.
Fetched fetch_artifact(const ArtifactSource& source, const std::string& stem,
                       const std::string& directory, const CancelToken& cancel, Progress& progress);

}  // namespace immbackup
