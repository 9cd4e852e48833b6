// JSON (RFC 8259) of printable ASCII. What a client says goes into the log as it is: a body that is
// more than one object, or less, could make a reader of the log see members that the helper did not
// write, or none at all.
#pragma once

#include <string_view>

namespace immbackup::vault {

// One object, at most 64 levels deep, on one line. Surrogates come in pairs, or other readers
// refuse it; in what has been written long ago, by whomever, they may also be `lone`.
enum class Surrogates { pairs, lone };
bool is_json_object(std::string_view text, Surrogates surrogates = Surrogates::pairs);
// What stands between the quotes of a string, in pairs, without NUL, which PostgreSQL cannot show.
bool is_json_text(std::string_view text);

}  // namespace immbackup::vault
