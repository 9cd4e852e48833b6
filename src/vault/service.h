// The helper as a small service on a Unix socket, for where set-uid does nothing.
#pragma once

#include <string>

namespace immbackup::vault {

// Binds, becomes the vault's user, and serves each connection in a process of its own until
// SIGTERM or SIGINT. Returns the exit status; what is wrong goes to stderr.
int serve_socket(const std::string& path, const std::string& config_path);

}  // namespace immbackup::vault
