#include <gtest/gtest.h>

#include "core/error.h"
#include "restore/bucket_source.h"

namespace immbackup {
namespace {

TEST(BucketUrl, BucketAndPrefix) {
    for (const auto& [text, bucket, prefix] :
         {std::tuple("s3://b", "b", ""), std::tuple("s3://b/", "b", ""),
          std::tuple("s3://my.bucket/a", "my.bucket", "a"), std::tuple("s3://b/a/b//", "b", "a/b"),
          std::tuple("s3://b/a b%20", "b", "a b%20")}) {
        const BucketUrl url = parse_bucket_url(text);
        EXPECT_EQ(url.bucket, bucket) << text;
        EXPECT_EQ(url.prefix, prefix) << text;
    }
    for (const char* text : {"", "b/p", "s3:", "s3://", "s3:///p", "https://b/p", "s3://b//p"}) {
        EXPECT_THROW(parse_bucket_url(text), Error) << text;
    }
}

}  // namespace
}  // namespace immbackup
