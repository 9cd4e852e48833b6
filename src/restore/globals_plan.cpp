#include "restore/globals_plan.h"

#include <algorithm>
#include <optional>
#include <sstream>

namespace immbackup {

namespace {

// Takes the SQL identifier at the front of `text`, unquoted.
std::optional<std::string> take_identifier(std::string_view& text) {
    std::string out;
    if (text.starts_with('"')) {
        for (std::size_t i = 1; i < text.size(); ++i) {
            if (text[i] != '"') {
                out += text[i];
            } else if (i + 1 < text.size() && text[i + 1] == '"') {
                out += text[++i];
            } else {
                text.remove_prefix(i + 1);
                return out;
            }
        }
        return std::nullopt;
    }
    const auto end = std::min(text.find_first_of(" ;\n"), text.size());
    out = std::string(text.substr(0, end));
    text.remove_prefix(end);
    return out.empty() ? std::nullopt : std::optional(out);
}

bool take(std::string_view& text, std::string_view expected) {
    if (!text.starts_with(expected)) {
        return false;
    }
    text.remove_prefix(expected.size());
    return true;
}

// Takes everything up to and with these words, as they stand outside of quoted names.
bool take_past(std::string_view& text, std::string_view words) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        quoted = quoted != (text[i] == '"');
        if (!quoted && text.substr(i).starts_with(words)) {
            text.remove_prefix(i + words.size());
            return true;
        }
    }
    return false;
}

}  // namespace

std::set<std::string> role_attributes(std::string_view words) {
    std::set<std::string> out;
    std::istringstream in{std::string(words)};
    std::string word;
    while (in >> word) {
        while (!word.empty() && word.back() == ';') {
            word.pop_back();
        }
        if (word == "PASSWORD") {
            in >> word;
        } else if (word == "CONNECTION") {
            in >> word >> word;
            while (!word.empty() && word.back() == ';') {
                word.pop_back();
            }
            out.insert("CONNECTION LIMIT " + word);
        } else if (word == "VALID") {
            break;  // the rest is a time, in a time zone of the dump's session
        } else if (word != "WITH" && !word.empty()) {
            out.insert(word);
        }
    }
    return out;
}

bool GlobalsPlan::leave_out(std::string_view statement) {
    std::string_view rest = statement;
    if (take(rest, "CREATE ROLE ")) {
        return create_role(rest);
    }
    if (take(rest, "ALTER ROLE ")) {
        return alter_role(rest);
    }
    if (take(rest, "COMMENT ON ROLE ")) {
        return keeps_role(rest);
    }
    if (take(rest, "CREATE TABLESPACE ")) {
        return create_tablespace(rest);
    }
    if (take(rest, "ALTER TABLESPACE ") || take(rest, "COMMENT ON TABLESPACE ")) {
        return keeps_tablespace(rest);
    }
    return (statement.starts_with("GRANT ") || statement.starts_with("REVOKE ")) &&
           grant(statement);
}

bool GlobalsPlan::create_role(std::string_view rest) {
    const auto name = take_identifier(rest);
    if (!name || existing_.roles.contains(*name)) {
        return name.has_value();
    }
    report_.created.push_back("role " + *name);
    return false;
}

bool GlobalsPlan::alter_role(std::string_view rest) {
    const auto name = take_identifier(rest);
    const auto found = name ? existing_.roles.find(*name) : existing_.roles.end();
    if (found == existing_.roles.end()) {
        return false;
    }
    if (rest.starts_with(" WITH ")) {
        const bool equal = role_attributes(rest) == found->second;
        (equal ? report_.equal : report_.different).push_back("role " + *name);
    }
    return !overwrite_;
}

bool GlobalsPlan::create_tablespace(std::string_view rest) {
    const auto name = take_identifier(rest);
    if (name && existing_.tablespaces.contains(*name)) {
        report_.equal.push_back("tablespace " + *name);
        return true;
    }
    report_.created.push_back("tablespace " + name.value_or(""));
    return false;
}

bool GlobalsPlan::keeps_role(std::string_view rest) const {
    const auto name = take_identifier(rest);
    return !overwrite_ && name && existing_.roles.contains(*name);
}

bool GlobalsPlan::keeps_tablespace(std::string_view rest) const {
    const auto name = take_identifier(rest);
    return name && existing_.tablespaces.contains(*name);
}

// Rights on a tablespace go with the tablespace; a membership, or a right on a parameter, with the
// role that gets it.
bool GlobalsPlan::grant(std::string_view statement) const {
    std::string_view rest = statement;
    if (take_past(rest, " ON TABLESPACE ")) {
        return keeps_tablespace(rest);
    }
    rest = statement;
    return (take_past(rest, " TO ") || take_past(rest, " FROM ")) && keeps_role(rest);
}

}  // namespace immbackup
