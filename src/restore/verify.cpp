#include "restore/verify.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/names.h"
#include "io/clock.h"
#include "restore/dump_reader.h"

namespace immbackup {

namespace {

// What `sha256sum -c` needs, and that it says what the manifest says.
void check_digest_file(const ArtifactSource& source, const Manifest& manifest) {
    const std::string line = fmt::format("{}  {}\n", manifest.sha256,
                                         artifact_file(manifest.artifact, manifest.format()));
    if (source.digest_text(manifest.artifact) != line) {
        throw Error(ErrorCode::corrupt, "the checksum file does not agree with the manifest");
    }
}

// Does the error say something about the artifact, and not about this process or its rights?
bool is_finding(ErrorCode code) {
    return code == ErrorCode::corrupt || code == ErrorCode::not_found || code == ErrorCode::io ||
           code == ErrorCode::incomplete;
}

}  // namespace

Verification verify_artifact(const ArtifactSource& source, const std::string& stem,
                             const CancelToken& cancel, Progress& progress) {
    const std::uint64_t begin = monotonic_ms();
    Verification out;
    out.artifact = stem;
    try {
        out.manifest = source.read_manifest(stem);
        check_digest_file(source, out.manifest);
        out.sha256 = read_dump(source, out.manifest, {}, "verifying", cancel, progress).sha256;
        out.result = "good";
    } catch (const Error& error) {
        if (!is_finding(error.code())) {
            throw;
        }
        out.result = error.code() == ErrorCode::not_found ? "missing" : "corrupt";
        out.problem = error.detail().empty() ? error.message() + "." : error.detail();
    }
    out.seconds = static_cast<double>(monotonic_ms() - begin) / 1000.0;
    return out;
}

}  // namespace immbackup
