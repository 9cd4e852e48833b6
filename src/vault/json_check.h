// Is a text one JSON object (RFC 8259)? A body that is more than that, or less, could make a reader
// of the log see members that the helper did not write, or none at all.
#pragma once

#include <string_view>

namespace immbackup::vault {

bool is_json_object(std::string_view text);

}  // namespace immbackup::vault
