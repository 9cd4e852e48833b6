#include "vault/request.h"

#include <algorithm>
#include <cstring>

#include "vault/json_check.h"

namespace immbackup::vault {

namespace {

bool contains(std::string_view keys, std::string_view key) {
    return keys.find(' ' + std::string(key) + ' ') != std::string_view::npos;
}

bool is_text(std::string_view value, std::size_t limit) {
    return value.size() <= limit && is_json_text(value);
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
    return is_text(value, key == "actor" ? 768 : 3072);
}

std::uint64_t big_endian(const char* bytes, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

}  // namespace

Request parse_request(std::string_view line) {
    const std::string name(line.substr(0, line.find(' ')));
    const auto verb = std::find_if(kVerbs.begin(), kVerbs.end(),
                                   [&](const Verb& each) { return each.name == name; });
    if (verb == kVerbs.end()) {
        throw Failure{Code::usage, "the request has no verb of this protocol"};
    }
    const std::string_view rest = line.substr(name.size());
    auto fields = rest == " " ? std::nullopt : parse_fields(rest.substr(rest.empty() ? 0 : 1));
    if (!fields) {
        throw Failure{Code::usage, "the request's fields are not key=value, each key once"};
    }
    for (const auto& [key, value] : *fields) {
        if (!contains(verb->needs, key) && !contains(verb->takes, key)) {
            throw Failure{Code::usage, "the verb " + name + " has no key " + key};
        }
        if (!is_valid(key, value)) {
            throw Failure{Code::usage, "the value of " + key + " is not what it takes"};
        }
    }
    for (std::string_view needs = verb->needs.substr(1); !needs.empty();) {
        const std::string key(needs.substr(0, needs.find(' ')));
        if (!fields->contains(key)) {
            throw Failure{Code::usage, "the verb " + name + " needs the key " + key};
        }
        needs.remove_prefix(key.size() + 1);
    }
    return {&*verb, std::move(*fields)};
}

Frame parse_frame(const std::array<char, kFrameHeader>& header) {
    const Frame frame{header[0], static_cast<std::uint32_t>(big_endian(&header[1], 4))};
    const bool sound = (frame.kind == 'D' && frame.length > 0 && frame.length <= kMaxFrame) ||
                       (frame.kind == 'C' && frame.length == kCommitSize) ||
                       (frame.kind == 'X' && frame.length == 0);
    if (!sound) {
        throw Failure{Code::usage, "a frame has an unknown kind or a bad length"};
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
