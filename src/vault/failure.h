// What a request can fail with. The names are those of src/core/error.h, which clients map back.
#pragma once

#include <string>

namespace immbackup::vault {

enum class Code {
    usage,
    config,
    busy,
    io,
    no_space,
    corrupt,
    not_found,
    audit,
    cancelled,
    exists,
    permission,
    internal
};

const char* code_name(Code code);

// Thrown; ends a request, and where it was reading content, the connection.
struct Failure {
    Code code;
    std::string message;    // lower case, no full stop
    std::string hint = {};  // an action, a sentence
};

// "could not <what>: <strerror(errno_value)>", with the code that fits.
Failure system_failure(int errno_value, const std::string& what);

}  // namespace immbackup::vault
