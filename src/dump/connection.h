// How jobs reach the database server, for libpq and for the programs that use it. The password is
// held here and nowhere else; it goes to libpq as a parameter and to pg_dump and psql through their
// environment (PGPASSWORD, readable by the same OS user only), never into an argument vector or a
// text.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "core/settings.h"

namespace immbackup {

struct ConnectionTarget {
    std::string host;  // empty: libpq's default
    std::string port;
    std::string username;
    std::string password;  // empty: none

    // From the settings; reads password_file. Also takes foreign_connection_variables() out of this
    // process's environment, so that libpq here goes where the programs go; call it before threads
    // are started.
    static ConnectionTarget from_settings(const Settings& settings);
    // For a child process: PGHOST, PGPORT, PGUSER, PGPASSWORD where they are given, PGAPPNAME,
    // PGCONNECT_TIMEOUT, and LC_ALL=C so that messages are stable. The database is not in it: see
    // connection_string().
    std::map<std::string, std::string> environment(const std::string& application) const;
};

// Variables of libpq that would make a connection other than what the settings say, or dress up
// the programs' messages: to be unset for every child. Those about TLS, Kerberos and the password
// file stay.
const std::vector<std::string>& foreign_connection_variables();

// "dbname='…'" with the name quoted: wherever a program takes a database name or a connection
// string, this means exactly the database of that name ("a=b", "postgres://x", "-d", "it's").
std::string connection_string(const std::string& database);

// The password in a file: everything but one final newline. Error(config) with a hint for a file
// that cannot be read, is no file, is empty, is longer than kMaxPasswordFile or holds a zero byte.
inline constexpr std::size_t kMaxPasswordFile = 4096;
std::string read_password_file(const std::string& path);

}  // namespace immbackup
