// What is wrong with a gzip member, in the same words by whichever library it was found.
#pragma once

#include <string>
#include <utility>

#include "core/error.h"

namespace immbackup {

inline Error bad_gzip(std::string detail) {
    return {ErrorCode::corrupt, "could not decompress: not one whole gzip member",
            std::move(detail)};
}
inline Error trailing_bytes() {
    return bad_gzip("Bytes follow the end of the gzip member.");
}
inline Error cut_off() {
    return bad_gzip("The gzip member is cut off.");
}

}  // namespace immbackup
