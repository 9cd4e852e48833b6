// The JSON of documents, records and answers. One kind for all of them: members keep the order in
// which they are set, as the documentation lists them.
#pragma once

#include <nlohmann/json.hpp>

namespace immbackup {

using Json = nlohmann::ordered_json;

}  // namespace immbackup
