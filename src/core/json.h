// The kinds of JSON that there are.
#pragma once

#include <nlohmann/json.hpp>

namespace immbackup {

// Of what is written, and of documents that are read: members keep the order in which they are set.
using Json = nlohmann::ordered_json;

// Of a record's body that is read back. Anybody may have changed the log, and to look for each of
// thousands of members in a list would take its time.
using RecordJson = nlohmann::json;

}  // namespace immbackup
