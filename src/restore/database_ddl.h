// The statements that make a database as its manifest describes it. Pure: text from a manifest and
// the target's version, every name quoted.
#pragma once

#include <string>
#include <vector>

#include "core/manifest.h"

namespace immbackup {

// CREATE DATABASE from template0 with encoding, locale and owner. `server_version_num` is the
// target's: the locale options have other names by version. Error(version) where the target has no
// such provider.
std::string create_database_statement(const DatabaseProperties& database, const std::string& name,
                                      const std::string& owner, int server_version_num);

struct DatabaseStatement {
    std::string sql;
    std::string role;  // that must exist for it; empty: none
};
// What follows the load: connection limit, comment, settings, grants.
std::vector<DatabaseStatement> database_property_statements(const DatabaseProperties& database,
                                                            const std::string& name);

}  // namespace immbackup
