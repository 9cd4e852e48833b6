// A manifest is refused with an Error, or read; what was read is written and read back the same.
#include <string>

#include "core/error.h"
#include "core/manifest.h"
#include "core/names.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace immbackup;
    using fuzz::require;
    Manifest manifest;
    try {
        manifest = manifest_from_json(fuzz::text_of(data, size));
    } catch (const Error& error) {
        require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::version);
        return 0;
    }
    require(parse_stem(manifest.artifact).has_value());
    const std::string text = manifest_to_json(manifest);
    const Manifest read = manifest_from_json(text);
    require(manifest_to_json(read) == text);
    require(read.started == manifest.started && read.retain_until == manifest.retain_until);
    require(read.size == manifest.size && read.rows == manifest.rows &&
            read.audit_seq == manifest.audit_seq);
    require(read.database.size == manifest.database.size &&
            read.database.connection_limit == manifest.database.connection_limit &&
            read.database.has_grants == manifest.database.has_grants);
    require(read.tables.size() == manifest.tables.size());
    return 0;
}
