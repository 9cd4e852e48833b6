#include "s3/uri.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace immbackup::s3 {

namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool unreserved(char c) {
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

std::string encoded(std::string_view text, bool keep_slash) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (unreserved(c) || (keep_slash && c == '/')) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += kHex[byte >> 4U];
            out += kHex[byte & 0xFU];
        }
    }
    return out;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

Error bad_endpoint(std::string_view why) {
    // The text itself is left out: somebody may have put a password into it.
    return {ErrorCode::config,
            "the S3 endpoint is not usable: " + std::string(why),
            {},
            "An endpoint looks like https://s3.example.com or http://127.0.0.1:9000."};
}

// Takes "host[:port]" apart.
void parse_authority(std::string_view authority, Endpoint& out) {
    std::size_t colon = authority.rfind(':');
    const std::size_t bracket = authority.rfind(']');
    if (colon != std::string_view::npos && bracket != std::string_view::npos && colon < bracket) {
        colon = std::string_view::npos;
    }
    out.host = std::string(authority.substr(0, colon));
    if (out.host.empty() || !std::all_of(out.host.begin(), out.host.end(), [](char c) {
            return is_alnum(c) || std::string_view("-._[]:").find(c) != std::string_view::npos;
        })) {
        throw bad_endpoint("its host name is empty or has characters that no host name has");
    }
    if (colon != std::string_view::npos) {
        const std::string_view port = authority.substr(colon + 1);
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
        if (error != std::errc() || end != port.data() + port.size() || out.port < 1 ||
            out.port > 65535) {
            throw bad_endpoint("its port is not a number from 1 to 65535");
        }
    }
}

}  // namespace

std::string encode(std::string_view text) {
    return encoded(text, false);
}

std::string encode_path(std::string_view key) {
    return encoded(key, true);
}

std::string canonical_query(const Query& query) {
    std::vector<std::pair<std::string, std::string>> pairs;
    pairs.reserve(query.size());
    for (const auto& parameter : query) {
        pairs.emplace_back(encode(parameter.name), encode(parameter.value));
    }
    std::sort(pairs.begin(), pairs.end());
    std::string out;
    for (const auto& [name, value] : pairs) {
        out += (out.empty() ? "" : "&") + name + "=" + value;
    }
    return out;
}

std::string decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

Endpoint parse_endpoint(std::string_view url) {
    Endpoint out;
    if (url.substr(0, 8) == "https://") {
        url.remove_prefix(8);
    } else if (url.substr(0, 7) == "http://") {
        out.tls = false;
        url.remove_prefix(7);
    } else {
        throw bad_endpoint("it begins with neither https:// nor http://");
    }
    if (url.find_first_of("@?#") != std::string_view::npos) {
        throw bad_endpoint("it has a user, a query or a fragment");
    }
    const std::size_t slash = url.find('/');
    parse_authority(url.substr(0, slash), out);
    if (slash != std::string_view::npos) {
        std::string_view path = url.substr(slash);
        while (!path.empty() && path.back() == '/') {
            path.remove_suffix(1);
        }
        out.base = encode_path(decode(path));
    }
    return out;
}

Endpoint aws_endpoint(std::string_view region) {
    Endpoint out;
    out.host =
        fmt::format("s3.{}.amazonaws.com{}", region, region.substr(0, 3) == "cn-" ? ".cn" : "");
    return out;
}

bool bucket_in_host(Addressing addressing, bool custom_endpoint, std::string_view bucket) {
    if (addressing == Addressing::automatic) {
        return !custom_endpoint && bucket.find('.') == std::string_view::npos;
    }
    return addressing == Addressing::virtual_host;
}

Address address_of(const Endpoint& endpoint, bool in_host, std::string_view bucket,
                   std::string_view key) {
    Address out;
    const bool named_port = endpoint.port != 0 && endpoint.port != (endpoint.tls ? 443 : 80);
    out.host = (in_host ? std::string(bucket) + "." : "") + endpoint.host;
    if (named_port) {
        out.host += ":" + std::to_string(endpoint.port);
    }
    out.origin = (endpoint.tls ? "https://" : "http://") + out.host;
    out.path = endpoint.base;
    if (!in_host) {
        out.path += "/" + encode(bucket);
    }
    if (!key.empty() || in_host) {
        out.path += "/" + encode_path(key);
    }
    return out;
}

bool is_bucket_name(std::string_view name) {
    return name.size() >= 3 && name.size() <= 63 && is_alnum(name.front()) &&
           is_alnum(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
               return (is_alnum(c) && (c < 'A' || c > 'Z')) || c == '-' || c == '.';
           });
}

}  // namespace immbackup::s3
