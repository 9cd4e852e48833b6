// Encoding, addressing and signing: AWS's worked examples as facts, and what no store may see
// changed on the way.
#include <gtest/gtest.h>

#include "core/digest.h"
#include "core/error.h"
#include "s3/checksums.h"
#include "s3/sigv4.h"
#include "s3/uri.h"

namespace immbackup::s3::test {
namespace {

TEST(S3Uri, EncodesOnceAndNormalisesNothing) {
    const struct {
        const char* text;
        const char* name;
        const char* path;
    } cases[] = {
        {"", "", ""},
        {"AZaz09-._~", "AZaz09-._~", "AZaz09-._~"},
        {"a/b", "a%2Fb", "a/b"},
        {"//a/../b/./c", "%2F%2Fa%2F..%2Fb%2F.%2Fc", "//a/../b/./c"},
        {"a b+c", "a%20b%2Bc", "a%20b%2Bc"},
        {"100%", "100%25", "100%25"},
        {"%2F", "%252F", "%252F"},
        {"a=b&c?d#e", "a%3Db%26c%3Fd%23e", "a%3Db%26c%3Fd%23e"},
        {"\xC3\xA9", "%C3%A9", "%C3%A9"},
        {"*'()!", "%2A%27%28%29%21", "%2A%27%28%29%21"},
        {"\n\x7F", "%0A%7F", "%0A%7F"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(encode(c.text), c.name);
        EXPECT_EQ(encode_path(c.text), c.path);
        EXPECT_EQ(decode(encode(c.text)), c.text);
    }
    EXPECT_EQ(decode("%zz%4"), "%zz%4");
}

TEST(S3Uri, QueriesAreSortedByTheirEncodedNames) {
    EXPECT_EQ(canonical_query({}), "");
    EXPECT_EQ(canonical_query({{"uploads", ""}}), "uploads=");
    EXPECT_EQ(canonical_query({{"prefix", "J b"}, {"max-keys", "2"}, {"a", "2"}, {"a", "1"}}),
              "a=1&a=2&max-keys=2&prefix=J%20b");
    EXPECT_EQ(canonical_query({{"versionId", "a+/="}, {"Z", ""}}), "Z=&versionId=a%2B%2F%3D");
}

TEST(S3Uri, AddressesABucketInEitherStyle) {
    const struct {
        const char* endpoint;
        bool in_host;
        const char* key;
        const char* host;
        const char* url;
    } cases[] = {
        {"https://s3.example.com", false, "a b", "s3.example.com",
         "https://s3.example.com/bkt/a%20b"},
        {"https://s3.example.com", true, "a", "bkt.s3.example.com", "https://bkt.s3.example.com/a"},
        {"https://s3.example.com", true, "", "bkt.s3.example.com", "https://bkt.s3.example.com/"},
        {"https://s3.example.com", false, "", "s3.example.com", "https://s3.example.com/bkt"},
        {"http://127.0.0.1:9000", false, "//x", "127.0.0.1:9000", "http://127.0.0.1:9000/bkt///x"},
        {"http://[::1]:9000", false, "x", "[::1]:9000", "http://[::1]:9000/bkt/x"},
        {"https://h:443/base/", false, "x", "h", "https://h/base/bkt/x"},
        {"http://h:80", false, "x", "h", "http://h/bkt/x"},
    };
    for (const auto& c : cases) {
        const Address address = address_of(parse_endpoint(c.endpoint), c.in_host, "bkt", c.key);
        EXPECT_EQ(address.host, c.host);
        EXPECT_EQ(address.origin + address.path, c.url);
    }
    EXPECT_EQ(aws_endpoint("eu-west-1").host, "s3.eu-west-1.amazonaws.com");
    EXPECT_EQ(aws_endpoint("cn-north-1").host, "s3.cn-north-1.amazonaws.com.cn");
    EXPECT_TRUE(bucket_in_host(Addressing::automatic, false, "bkt"));
    EXPECT_FALSE(bucket_in_host(Addressing::automatic, false, "b.kt"));
    EXPECT_FALSE(bucket_in_host(Addressing::automatic, true, "bkt"));
    EXPECT_TRUE(bucket_in_host(Addressing::virtual_host, true, "bkt"));
}

TEST(S3Uri, RefusesWhatIsNoEndpoint) {
    for (const char* url : {"", "s3.example.com", "ftp://h", "https://", "https://:80",
                            "https://u:secret@h", "https://h:0", "https://h:70000", "https://h:x",
                            "https://h?x", "https://h h", "https://h#x", "file:///etc/passwd"}) {
        try {
            parse_endpoint(url);
            ADD_FAILURE() << url;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::config);
            EXPECT_EQ(error.message().find("secret"), std::string::npos);
        }
    }
    for (const char* name : {"abc", "a.b-c", "012"}) {
        EXPECT_TRUE(is_bucket_name(name)) << name;
    }
    for (const char* name : {"", "ab", "Abc", "a/b", "-abc", "abc-", "a_b", "a?b"}) {
        EXPECT_FALSE(is_bucket_name(name)) << name;
    }
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
constexpr const char* kExampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SigningKeys kKeys{"AKIAIOSFODNN7EXAMPLE", kExampleSecret, ""};

SigningScope example_scope() {
    return {*parse_time("2013-05-24T00:00:00Z"), "us-east-1", "s3"};
}

std::string signature_of(Signable request) {
    request.headers["host"] = "examplebucket.s3.amazonaws.com";
    sign(request, kKeys, example_scope());
    const std::string& text = request.headers.at("authorization");
    return text.substr(text.rfind('=') + 1);
}

TEST(S3Signing, WorkedExamplesOfAws) {
    const std::string empty(kEmptyPayloadHash);
    EXPECT_EQ(empty, sha256_hex(""));
    EXPECT_EQ(signature_of({"GET", "/test.txt", {}, {{"range", "bytes=0-9"}}, empty}),
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    EXPECT_EQ(signature_of({"PUT",
                            "/" + encode_path("test$file.text"),
                            {},
                            {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                             {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                            sha256_hex("Welcome to Amazon S3.")}),
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    EXPECT_EQ(signature_of({"GET", "/", {{"lifecycle", ""}}, {}, empty}),
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    EXPECT_EQ(signature_of({"GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, empty}),
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(S3Signing, StepsOfTheFirstExample) {
    const Signable request{"GET",
                           "/test.txt",
                           {},
                           {{"host", "examplebucket.s3.amazonaws.com"},
                            {"range", "bytes=0-9"},
                            {"x-amz-content-sha256", std::string(kEmptyPayloadHash)},
                            {"x-amz-date", "20130524T000000Z"}},
                           std::string(kEmptyPayloadHash)};
    const std::string canonical = canonical_request(request);
    EXPECT_EQ(canonical,
              "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
              "x-amz-content-sha256:" +
                  std::string(kEmptyPayloadHash) +
                  "\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n" +
                  std::string(kEmptyPayloadHash));
    EXPECT_EQ(string_to_sign(example_scope(), canonical),
              "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
              "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    // https://docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html
    EXPECT_EQ(to_hex(signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                 {*parse_time("2012-02-15T00:00:00Z"), "us-east-1", "iam"})),
              "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
}

TEST(S3Signing, SignsEveryHeaderAndReplacesAnOldSignature) {
    Signable request{
        "PUT",
        "/k",
        {},
        {{"host", "h"}, {"content-md5", "x"}, {"x-amz-object-lock-mode", "COMPLIANCE"}},
        "abc"};
    sign(request, {"AK", "secret", "token"}, example_scope());
    const std::string first = request.headers.at("authorization");
    EXPECT_NE(first.find("SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date;"
                         "x-amz-object-lock-mode;x-amz-security-token,"),
              std::string::npos);
    EXPECT_EQ(first.find("secret"), std::string::npos);
    sign(request, {"AK", "secret", "token"}, example_scope());
    EXPECT_EQ(request.headers.at("authorization"), first);
    sign(request, {"AK", "secret", ""}, example_scope());
    EXPECT_FALSE(request.headers.contains("x-amz-security-token"));
    EXPECT_NE(request.headers.at("authorization"), first);
}

TEST(S3Checksums, KnownDigests) {
    EXPECT_EQ(base64(""), "");
    EXPECT_EQ(base64("f"), "Zg==");
    EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
    for (const char* text : {"", "f", "fo", "foo", "foob"}) {
        EXPECT_EQ(from_base64(base64(text)), text);
    }
    EXPECT_EQ(from_base64("?"), "");
    EXPECT_EQ(from_hex("00ff"), std::string("\0\xFF", 2));
    EXPECT_EQ(from_hex("xx"), "");
    const Digests digests = digests_of("abc");
    EXPECT_EQ(to_hex(digests.sha256), sha256_hex("abc"));
    EXPECT_EQ(to_hex(digests.md5), "900150983cd24fb0d6963f7d28e17f72");
    const Digests parts[] = {digests_of("a"), digests_of("b")};
    EXPECT_EQ(composite_etag(parts), to_hex(digests_of(parts[0].md5 + parts[1].md5).md5) + "-2");
    EXPECT_EQ(composite_sha256(parts),
              base64(sha256_bytes(parts[0].sha256 + parts[1].sha256)) + "-2");
    const Digests no_md5[] = {{digests.sha256, ""}};
    EXPECT_EQ(composite_etag(no_md5), "");
    EXPECT_EQ(random_hex(8).size(), 16U);
}

}  // namespace
}  // namespace immbackup::s3::test
