#include "core/error.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace immbackup {

namespace {

constexpr std::array<std::pair<ErrorCode, std::string_view>, 21> kNames{{
    {ErrorCode::ok, "ok"},
    {ErrorCode::failed, "failed"},
    {ErrorCode::usage, "usage"},
    {ErrorCode::config, "config"},
    {ErrorCode::busy, "busy"},
    {ErrorCode::connect, "connect"},
    {ErrorCode::dump, "dump"},
    {ErrorCode::incomplete, "incomplete"},
    {ErrorCode::io, "io"},
    {ErrorCode::no_space, "no_space"},
    {ErrorCode::corrupt, "corrupt"},
    {ErrorCode::not_found, "not_found"},
    {ErrorCode::audit, "audit"},
    {ErrorCode::cancelled, "cancelled"},
    {ErrorCode::timeout, "timeout"},
    {ErrorCode::version, "version"},
    {ErrorCode::restore, "restore"},
    {ErrorCode::exists, "exists"},
    {ErrorCode::permission, "permission"},
    {ErrorCode::internal, "internal"},
    {ErrorCode::rejected, "rejected"},
}};

ErrorCode code_of_errno(int errno_value) {
    switch (errno_value) {
        case ENOSPC:
        case EDQUOT:
            return ErrorCode::no_space;
        case EACCES:
        case EPERM:
        case EROFS:
            return ErrorCode::permission;
        case ENOENT:
            return ErrorCode::not_found;
        default:
            return ErrorCode::io;
    }
}

}  // namespace

std::string_view error_code_name(ErrorCode code) {
    for (const auto& [known, name] : kNames) {
        if (known == code) {
            return name;
        }
    }
    return "failed";
}

ErrorCode error_code_from_name(std::string_view name) {
    for (const auto& [code, known] : kNames) {
        if (known == name) {
            return code;
        }
    }
    return ErrorCode::failed;
}

ErrorCode error_code_from_exit(int exit_code) {
    for (const auto& [code, name] : kNames) {
        if (static_cast<int>(code) == exit_code) {
            return code;
        }
    }
    return ErrorCode::failed;
}

Error::Error(ErrorCode code, std::string message, std::string detail, std::string hint)
    : code_(code),
      message_(std::move(message)),
      detail_(std::move(detail)),
      hint_(std::move(hint)) {}

Error system_error(int errno_value, std::string_view what, std::string_view path) {
    std::string message = "could not ";
    message += what;
    if (!path.empty()) {
        message += " \"";
        message += path;
        message += '"';
    }
    message += ": ";
    std::array<char, 256> buffer{};
    message += strerror_r(errno_value, buffer.data(), buffer.size());
    return {code_of_errno(errno_value), std::move(message)};
}

}  // namespace immbackup
