// Bodies of audit records: JSON objects on one line, ASCII, and bounded, so that no name, message
// or number of databases can make a record too long to be written. Fields are in core/events.h.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/json.h"

namespace immbackup {

// Keeps the order in which fields are set, as the documentation lists them.
using Body = Json;

// One line of ASCII; bytes that are not UTF-8 are replaced.
std::string body_text(const Body& body);

// The text, cut so that it takes at most `limit` bytes as a JSON string with escapes; what was cut
// is marked by "…".
std::string bounded_text(std::string_view text, std::size_t limit);
// The first of these texts, each of at most `each` bytes and all of at most `total`; a last one
// says how many more there were.
Body bounded_list(const std::vector<std::string>& texts, std::size_t each = 1024,
                  std::size_t total = 48 * 1024);
// {"code","message","detail","hint"}
Body error_body(const Error& error);

}  // namespace immbackup
