// How jobs reach the database server, for libpq and for the programs that use it. The password is
// held here and nowhere else; it goes to libpq as a parameter and to pg_dump and psql through their
// environment (PGPASSWORD, readable by the same OS user only), never into an argument vector or a
// text.
#pragma once

#include <map>
#include <string>

#include "core/settings.h"

namespace immbackup {

struct ConnectionTarget {
    std::string host;  // empty: libpq's default
    std::string port;
    std::string username;
    std::string password;  // empty: none

    // From the settings; reads password_file (a raw password; one final newline is dropped).
    static ConnectionTarget from_settings(const Settings& settings);
    // PGHOST, PGPORT, PGUSER, PGPASSWORD, PGAPPNAME, PGCONNECT_TIMEOUT, PGCLIENTENCODING unset and
    // so on for a child process; includes PGDATABASE as a connection-string-safe name where given.
    std::map<std::string, std::string> environment(const std::string& application) const;
};

}  // namespace immbackup
