// Is an artifact still what its manifest says: presence of the three files, digest, decompression,
// closing line, rows of every table.
#pragma once

#include <string>

#include "core/manifest.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/artifact_source.h"

namespace immbackup {

struct Verification {
    std::string artifact;
    std::string result;   // good, missing, corrupt
    std::string problem;  // a sentence, empty where good
    std::string sha256;   // as found
    double seconds = 0;
    Manifest manifest;  // where it could be read
};

// Never throws for what is wrong with the artifact; for cancellation and for errors of reading that
// say nothing about it (EIO excepted: that is corrupt). One pass over the file, bounded memory.
Verification verify_artifact(const ArtifactSource& source, const std::string& stem,
                             const CancelToken& cancel, Progress& progress);

}  // namespace immbackup
