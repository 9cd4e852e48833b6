#include "core/json_reader.h"

namespace immbackup {

Json parse_bounded(const char* document, std::string_view text, std::size_t limit) {
    const auto bad = [&](const char* why) {
        return Error(ErrorCode::corrupt, fmt::format("the {} is not usable: {}", document, why));
    };
    if (text.size() > limit) {
        throw bad("it is larger than one may be");
    }
    // Nesting deeper than any document has is refused before it costs memory.
    constexpr int kMaxDepth = 8;
    const auto depth_guard = [&](int depth, Json::parse_event_t, Json&) {
        if (depth > kMaxDepth) {
            throw bad("it is nested too deeply");
        }
        return true;
    };
    Json json = Json::parse(text, depth_guard, false);
    if (json.is_discarded()) {
        throw bad("it is not JSON");
    }
    return json;
}

}  // namespace immbackup
