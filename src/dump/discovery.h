// Asks the server, over libpq, what there is to dump and what a manifest must say of it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/manifest.h"
#include "dump/connection.h"
#include "io/cancel.h"

namespace immbackup {

// Prefix of databases that immbackup makes for drills: never dumped.
inline constexpr const char* kScratchPrefix = "immbackup_drill_";

struct Discovery {
    ServerProperties server;
    std::vector<std::string> databases;  // connectable, no templates, no scratch ones; by name
    bool superuser = false;              // may read role passwords
};

// Connects to `maintenance_database` ("postgres", else "template1"; where `wanted` is given, those
// first). Error(connect) with libpq's text; a server that is shutting down or starting is
// Error(cancelled) and Error(connect) with their own messages. A server that does not answer yet is
// tried again for up to `wait`.
Discovery discover_server(const ConnectionTarget& target, const std::vector<std::string>& wanted,
                          const CancelToken& cancel, std::chrono::seconds wait = {});
// Error(not_found) where the database does not exist, Error(permission) where connecting to it is
// refused.
DatabaseProperties discover_database(const ConnectionTarget& target, const std::string& database,
                                     const CancelToken& cancel);

}  // namespace immbackup
