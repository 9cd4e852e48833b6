// JSON documents of ours, read strictly: what is missing, of the wrong type or out of range is an
// error that names the member.
#pragma once

#include <fmt/format.h>

#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/error.h"
#include "core/json.h"
#include "core/time.h"

namespace immbackup {

// Error(corrupt) where the text is larger than `limit`, nested deeper than any document of ours, or
// no JSON. `document` is what errors call it.
Json parse_bounded(const char* document, std::string_view text, std::size_t limit);

// Reads members with errors that name them: "the manifest is not usable: \"server.version\" is
// missing". Error(corrupt).
class JsonReader {
  public:
    // `document` is what errors call the whole ("manifest").
    JsonReader(const char* document, const Json& json, std::string path = {})
        : document_(document), json_(json), path_(std::move(path)) {
        if (!json_.is_object()) {
            throw bad(path_.empty() ? "the document" : path_, "is not an object");
        }
    }

    template <typename T>
    void get(const char* name, T& out) const {
        const Json& value = member(name);
        try {
            check_number<T>(value, name);
            out = value.get<T>();
        } catch (const Json::exception&) {
            throw bad(full(name), "has the wrong type");
        }
    }

    bool has(const char* name) const { return json_.contains(name); }

    void get_if_present(const char* name, std::string& out) const {
        if (has(name)) {
            get(name, out);
        }
    }

    void get(const char* name, Time& out) const {
        std::string text;
        get(name, text);
        const auto time = parse_time(text);
        if (!time) {
            throw bad(full(name), "is not a time");
        }
        out = *time;
    }

    JsonReader object(const char* name) const { return {document_, member(name), full(name)}; }

    const Json& array(const char* name) const {
        const Json& value = member(name);
        if (!value.is_array()) {
            throw bad(full(name), "is not an array");
        }
        return value;
    }

    const Json& member(const char* name) const {
        const auto found = json_.find(name);
        if (found == json_.end()) {
            throw bad(full(name), "is missing");
        }
        return *found;
    }

    Error bad(const std::string& where, const char* what) const {
        return {ErrorCode::corrupt,
                fmt::format("the {} is not usable: {} {}", document_, where, what)};
    }

  private:
    // nlohmann would convert -1 to a huge size and 1.5 to 1 without a word.
    template <typename T>
    void check_number(const Json& value, const char* name) const {
        if constexpr (std::is_same_v<T, std::uint64_t>) {
            if (!value.is_number_unsigned()) {
                throw bad(full(name), "is not a whole number of zero or more");
            }
        } else if constexpr (std::is_same_v<T, int> || std::is_same_v<T, std::int64_t>) {
            // A number beyond int64 reads as a negative one, which its unsigned self is not.
            const bool fits =
                value.is_number_integer() &&
                (!value.is_number_unsigned() || value.template get<std::int64_t>() >= 0) &&
                value.template get<std::int64_t>() >= std::numeric_limits<T>::min() &&
                value.template get<std::int64_t>() <= std::numeric_limits<T>::max();
            if (!fits) {
                throw bad(full(name), "is not a whole number of its size");
            }
        }
    }
    std::string full(const char* name) const {
        return path_.empty()
                   ? fmt::format("\"{}\"", name)
                   : fmt::format("\"{}.{}\"", std::string_view(path_).substr(1, path_.size() - 2),
                                 name);
    }

    const char* document_;
    const Json& json_;
    std::string path_;
};

}  // namespace immbackup
