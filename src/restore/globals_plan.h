// Which statements of a globals dump a restore leaves out: what exists on the target stays as it
// is, with its attributes, settings, memberships, comments and rights. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "restore/restore.h"

namespace immbackup {

// The attributes in "WITH NOSUPERUSER INHERIT … PASSWORD '…' …", as pg_dumpall states them: single
// words, and what is limited. Passwords are not compared: their hashes are salted.
std::set<std::string> role_attributes(std::string_view words);

// The roles, each with its attributes, and tablespaces that the target has before the restore.
struct ExistingGlobals {
    std::map<std::string, std::set<std::string>> roles;
    std::set<std::string> tablespaces;
};

// Decides statement by statement, in the order of the dump, and keeps the report.
class GlobalsPlan {
  public:
    GlobalsPlan(ExistingGlobals existing, bool overwrite_roles, GlobalsReport& report)
        : existing_(std::move(existing)), overwrite_(overwrite_roles), report_(report) {}

    bool leave_out(std::string_view statement);

  private:
    bool create_role(std::string_view rest);
    bool alter_role(std::string_view rest);
    bool create_tablespace(std::string_view rest);
    bool keeps_role(std::string_view rest) const;
    bool keeps_tablespace(std::string_view rest) const;
    bool grant(std::string_view statement) const;

    ExistingGlobals existing_;
    bool overwrite_;
    GlobalsReport& report_;
};

}  // namespace immbackup
