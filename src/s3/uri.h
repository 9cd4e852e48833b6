// Names on the wire: percent-encoding done once, endpoints, and how a bucket and a key are
// addressed. What is signed is what is sent: nothing is normalised, neither "//" nor "..".
// Source of the rules: AWS, "Create a signed AWS API request", section UriEncode; RFC 3986.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace immbackup::s3 {

struct Parameter {
    std::string name;
    std::string value;
};
using Query = std::vector<Parameter>;

// Unreserved characters (A-Z a-z 0-9 - . _ ~) verbatim, every other byte as %XX in upper case.
std::string encode(std::string_view text);
// The same, with '/' kept: for the path of a key.
std::string encode_path(std::string_view key);
// "a=1&b=" in the order of the encoded names and values, as the canonical request wants it.
std::string canonical_query(const Query& query);
// Inverse of encode(); a '%' that no two hexadecimal digits follow stays as it is.
std::string decode(std::string_view text);

// Where a store answers.
struct Endpoint {
    bool tls = true;
    std::string host;  // a name, an IPv4 address, or an IPv6 address in brackets
    int port = 0;      // 0: the scheme's own
    std::string base;  // encoded path before the bucket: "" or "/path"
};
// "https://host[:port][/path]". Error(config) for any other text, such as one that holds a user.
Endpoint parse_endpoint(std::string_view url);
// The public endpoint of a region of AWS.
Endpoint aws_endpoint(std::string_view region);

enum class Addressing { automatic, path, virtual_host };
// Whether the bucket goes into the host name. Automatic: on AWS, unless the bucket's name has a
// dot, which no certificate of the form *.s3.region.amazonaws.com covers.
bool bucket_in_host(Addressing addressing, bool custom_endpoint, std::string_view bucket);

struct Address {
    std::string origin;  // "https://host:port"
    std::string host;    // value of the Host header
    std::string path;    // encoded, begins with '/'
};
// An empty key addresses the bucket.
Address address_of(const Endpoint& endpoint, bool in_host, std::string_view bucket,
                   std::string_view key);
// A bucket's name as AWS allows them: 3 to 63 of a-z 0-9 . - and so on.
bool is_bucket_name(std::string_view name);

}  // namespace immbackup::s3
