#include "store/artifact_source.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/names.h"

namespace immbackup {

Manifest ArtifactSource::read_manifest(const std::string& stem) const {
    if (!parse_stem(stem)) {
        throw Error(ErrorCode::not_found,
                    fmt::format("\"{}\" is not the name of an artifact", stem), {},
                    "`immbackup list` shows the names.");
    }
    Manifest manifest = manifest_from_json(manifest_text(stem));
    if (manifest.artifact != stem) {
        throw Error(ErrorCode::corrupt, fmt::format("the manifest of \"{}\" describes \"{}\"", stem,
                                                    manifest.artifact));
    }
    return manifest;
}

}  // namespace immbackup
