// Lines of the vault's protocol (src/vault/README.md), as its client reads and writes them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/error.h"
#include "io/fd.h"

namespace immbackup {

// The fields of an answer, decoded. What is missing or no number is an Error(version): the other
// end does not speak as agreed.
class VaultAnswer {
  public:
    std::map<std::string, std::string, std::less<>> fields;
    Fd descriptor;  // that came with it

    const std::string& text(std::string_view name) const;
    std::uint64_t number(std::string_view name) const;
    bool has(std::string_view name) const { return fields.contains(name); }
};

// "ok name=value …" or "error <code> <message> [<hint>]", values percent-encoded. Throws what an
// error line says; Error(version) for anything else.
VaultAnswer parse_vault_answer(std::string_view line);
// Bytes other than letters, digits and -_.:/ as %XX.
std::string vault_word(std::string_view text);
// " name=value", or nothing where there is no value.
std::string vault_field(std::string_view name, std::string_view value);
// The same for what a person says (UTF-8), which the helper puts into its log as it comes: as it
// stands in a JSON string of ASCII. What is not UTF-8 becomes U+FFFD.
std::string vault_text_field(std::string_view name, std::string_view value);
// "name=value name=value …"; `line`: all of it, for the error's text.
VaultAnswer vault_fields(std::string_view rest, std::string_view line);
// Takes the first word off.
std::string_view next_vault_word(std::string_view& rest);
// Error(version) for a line that is no answer.
[[noreturn]] void vault_not_understood(std::string_view line);

}  // namespace immbackup
