#include "vault/config.h"

#include <algorithm>
#include <vector>

#include "vault/failure.h"

namespace immbackup::vault {

namespace {

// An integer with one of these letters behind it; 0 where that is not so, or it is beyond `limit`.
std::uint64_t scaled(std::string_view text, std::string_view letters,
                     const std::vector<std::uint64_t>& factors, std::uint64_t limit) {
    const auto which = text.empty() ? std::string_view::npos : letters.find(text.back());
    if (which == std::string_view::npos) {
        return 0;
    }
    const std::uint64_t factor = factors.at(which);
    return parse_number(text.substr(0, text.size() - 1), limit / factor).value_or(0) * factor;
}

bool set_duration(Millis& out, std::string_view text) {
    constexpr std::uint64_t kLimit = 36'500ULL * 86'400'000;  // a century
    out = static_cast<Millis>(scaled(text, "smhd", {1000, 60'000, 3'600'000, 86'400'000}, kLimit));
    return out > 0;
}

bool set_size(std::uint64_t& out, std::string_view text) {
    const auto plain = parse_number(text);
    out = plain ? *plain
                : scaled(text, "KMGT", {1ULL << 10, 1ULL << 20, 1ULL << 30, 1ULL << 40}, INT64_MAX);
    return plain || out > 0;
}

bool set_count(std::uint64_t& out, std::string_view text) {
    const auto value = parse_number(text, 1'000'000'000);
    out = value.value_or(0);
    return value.has_value();
}

bool set_name(std::string& out, std::string_view text) {
    out = std::string(text);
    return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
               return c > ' ' && c <= '~' && c != ':' && c != '/';
           });
}

bool set_root(std::string& out, std::string_view text) {
    out = std::string(text);
    // Each part is opened by itself, and none may lead back.
    const std::string padded = out + '/';
    return text.size() > 1 && text.size() < 1024 && text.front() == '/' && text.back() != '/' &&
           is_printable(text) && padded.find("//") == std::string::npos &&
           padded.find("/./") == std::string::npos && padded.find("/../") == std::string::npos;
}

bool set(Config& config, std::string_view key, std::string_view value) {
    return key == "root"             ? set_root(config.root, value)
           : key == "user"           ? set_name(config.user, value)
           : key == "client_user"    ? set_name(config.client_user, value)
           : key == "client_group"   ? set_name(config.client_group, value)
           : key == "operator_group" ? set_name(config.operator_group, value)
           : key == "min_retention"  ? set_duration(config.min_retention, value)
           : key == "max_retention"  ? set_duration(config.max_retention, value)
           : key == "max_extension"  ? set_duration(config.max_extension, value)
           : key == "quota_bytes"    ? set_size(config.quota_bytes, value)
           : key == "quota_files"    ? set_count(config.quota_files, value)
           : key == "quota_log"      ? set_size(config.quota_log, value)
           : key == "keep_newest"    ? set_count(config.keep_newest, value)
                                     : false;
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    return first == std::string_view::npos
               ? std::string_view{}
               : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

Config parse_config(std::string_view text) {
    Config config;
    std::vector<std::string_view> seen;
    for (int number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const auto equals = line.find('=');
        const std::string_view key = trimmed(line.substr(0, equals));
        const std::string_view value =
            equals == std::string_view::npos ? "" : trimmed(line.substr(equals + 1));
        const bool twice = std::find(seen.begin(), seen.end(), key) != seen.end();
        if (value.empty() || twice || !set(config, key, value)) {
            throw Failure{Code::config,
                          "line " + std::to_string(number) + " of the configuration is no " +
                              (twice ? "new key" : "known key with a valid value"),
                          "The keys are in docs/vault.md."};
        }
        seen.push_back(key);
    }
    if (config.root.empty() || config.max_retention < config.min_retention) {
        throw Failure{Code::config,
                      config.root.empty() ? "the configuration names no root"
                                          : "max_retention is shorter than min_retention",
                      "The keys are in docs/vault.md."};
    }
    return config;
}

}  // namespace immbackup::vault
