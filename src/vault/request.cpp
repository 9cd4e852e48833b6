#include "vault/request.h"

#include <algorithm>
#include <cstring>

namespace immbackup::vault {

namespace {

struct Grammar {
    Verb verb;
    std::string_view name;
    std::string_view needs;  // keys, each between spaces
    std::string_view takes;
};

constexpr std::array<Grammar, 11> kGrammar{{
    {Verb::put, "put", " stem database retain_until ", " format reader "},
    {Verb::append, "append", " event origin ", " "},
    {Verb::adopt, "adopt", " ", " "},
    {Verb::purge, "purge", " stem ", " reason "},
    {Verb::extend, "extend", " stem retain_until ", " "},
    {Verb::hold, "hold", " stem actor ", " reason "},
    {Verb::release, "release", " stem actor ", " reason "},
    {Verb::accept_clock, "accept-clock", " actor ", " reason "},
    {Verb::status, "status", " ", " full "},
    {Verb::list, "list", " ", " stem "},
    {Verb::recover, "recover", " ", " "},
}};

bool contains(std::string_view keys, std::string_view key) {
    return keys.find(' ' + std::string(key) + ' ') != std::string_view::npos;
}

bool is_text(std::string_view value, std::size_t limit) {
    return value.size() <= limit && json_string(value).has_value();
}

// What only the helper has to say, whoever it was about.
bool is_ours(std::string_view event) {
    return event == "vault_sealed" || event == "log_adopted" || event == "log_torn";
}

bool is_valid(std::string_view key, std::string_view value) {
    if (key == "stem") {
        return token_of_stem(value).has_value();
    }
    if (key == "database") {
        return is_token(value);
    }
    if (key == "retain_until") {
        return parse_time(value).has_value();
    }
    if (key == "event") {
        return is_word(value, 48) && !is_ours(value);
    }
    if (key == "origin") {
        return is_word(value, 16) && value != "vault";
    }
    if (key == "format") {
        return format_from_name(value).has_value();
    }
    if (key == "reader" || key == "full") {
        return value == "1";
    }
    return is_text(value, key == "actor" ? 256 : 1024);
}

std::uint64_t big_endian(const char* bytes, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

}  // namespace

std::string_view Request::get(std::string_view key) const {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == key; });
    return found == fields.end() ? std::string_view{} : std::string_view{found->second};
}

Request parse_request(std::string_view line) {
    const std::string_view verb = line.substr(0, line.find(' '));
    const auto grammar = std::find_if(kGrammar.begin(), kGrammar.end(),
                                      [&](const Grammar& g) { return g.name == verb; });
    if (grammar == kGrammar.end()) {
        throw Failure{Code::usage, "the request has no verb of this protocol", {}};
    }
    const std::string_view rest = line.substr(verb.size());
    auto fields = rest == " " ? std::nullopt : parse_fields(rest.substr(rest.empty() ? 0 : 1));
    if (!fields) {
        throw Failure{Code::usage, "the request's fields are not key=value, each key once", {}};
    }
    Request request{grammar->verb, std::move(*fields)};
    for (const auto& [key, value] : request.fields) {
        if (!contains(grammar->needs, key) && !contains(grammar->takes, key)) {
            throw Failure{Code::usage, "the verb " + std::string(verb) + " has no key " + key, {}};
        }
        if (!is_valid(key, value)) {
            throw Failure{Code::usage, "the value of " + key + " is not what it takes", {}};
        }
    }
    for (std::string_view needs = grammar->needs.substr(1); !needs.empty();) {
        const std::string_view key = needs.substr(0, needs.find(' '));
        if (request.get(key).empty()) {
            throw Failure{Code::usage,
                          "the verb " + std::string(verb) + " needs the key " + std::string(key),
                          {}};
        }
        needs.remove_prefix(key.size() + 1);
    }
    return request;
}

Frame parse_frame(const std::array<char, kFrameHeader>& header) {
    const Frame frame{header[0], static_cast<std::uint32_t>(big_endian(&header[1], 4))};
    const bool sound = (frame.kind == 'D' && frame.length > 0 && frame.length <= kMaxFrame) ||
                       (frame.kind == 'C' && frame.length == kCommitSize) ||
                       (frame.kind == 'X' && frame.length == 0);
    if (!sound) {
        throw Failure{Code::usage, "a frame has an unknown kind or a bad length", {}};
    }
    return frame;
}

Commit parse_commit(const std::array<char, kCommitSize>& body) {
    Commit commit;
    commit.size = big_endian(body.data(), 8);
    std::memcpy(commit.sha256.data(), &body[8], commit.sha256.size());
    return commit;
}

}  // namespace immbackup::vault
