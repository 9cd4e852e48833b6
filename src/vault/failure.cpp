#include "vault/failure.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace immbackup::vault {

const char* code_name(Code code) {
    constexpr std::array<const char*, 12> kNames{"usage",     "config",  "busy",       "io",
                                                 "no_space",  "corrupt", "not_found",  "audit",
                                                 "cancelled", "exists",  "permission", "internal"};
    return kNames.at(static_cast<std::size_t>(code));
}

namespace {

Code code_of(int errno_value) {
    switch (errno_value) {
        case ENOSPC:
        case EDQUOT:
            return Code::no_space;
        case EACCES:
        case EPERM:
        case EROFS:
            return Code::permission;
        case ENOENT:
            return Code::not_found;
        case EEXIST:
            return Code::exists;
        default:
            return Code::io;
    }
}

}  // namespace

Failure system_failure(int errno_value, const std::string& what) {
    std::array<char, 128> text{};
    return {code_of(errno_value),
            "could not " + what + ": " + strerror_r(errno_value, text.data(), text.size())};
}

}  // namespace immbackup::vault
