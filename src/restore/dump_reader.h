// One pass over an artifact: digest of the compressed bytes, decompression, the scan of the SQL,
// and the comparison of all of it with the manifest. Verify and restore both read through this, so
// that what is restored is what was checked, byte for byte.
#pragma once

#include <string>

#include "core/manifest.h"
#include "dump/compress.h"
#include "dump/scan.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/artifact_source.h"

namespace immbackup {

// Reads the artifact from its beginning; `sql` gets the decompressed bytes (may be empty). Throws
// Error(corrupt) with the first difference from the manifest, or what `sql` throws.
struct DumpReading {
    std::string sha256;
    ScanResult scan;
};
DumpReading read_dump(const ArtifactSource& source, const Manifest& manifest, const ByteSink& sql,
                      const char* phase, const CancelToken& cancel, Progress& progress);

// The first difference between a scan and the manifest, a sentence; empty where they agree. Pure.
std::string content_difference(const ScanResult& scan, const Manifest& manifest);

}  // namespace immbackup
