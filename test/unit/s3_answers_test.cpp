// What a store's answers say; and how a file that grows is waited for.
#include "s3/answers.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "s3/client.h"
#include "s3/uploader.h"

namespace immbackup::s3::test {
namespace {

TEST(S3Answers, Errors) {
    const auto error = parse_error(
        "<Error><Code>SlowDown</Code><Message>a\nb\x7F</Message><Region>eu</Region>"
        "<RequestId>R</RequestId></Error>");
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "SlowDown");
    EXPECT_EQ(error->message, "a b ");
    EXPECT_EQ(error->region, "eu");
    EXPECT_EQ(error->request_id, "R");
    EXPECT_EQ(parse_error("<Error><Message>" + std::string(1000, 'x') + "</Message></Error>")
                  ->message.size(),
              303U);
    EXPECT_EQ(parse_error("<Error/>")->code, "Error");
    // A secret that the cut would halve is none afterwards.
    const std::string secret = "wJalrXUtnFEMI/K7MDENG";
    for (std::size_t before = 270; before < 310; ++before) {
        const auto said = parse_error(
            "<Error><Message>" + std::string(before, 'x') + secret + "</Message></Error>",
            {secret, ""});
        EXPECT_EQ(said->message.find("wJal"), std::string::npos) << before;
        EXPECT_LE(said->message.size(), 303U);
    }
    for (const char* text : {"", "<html/>", "no xml", "<Error>"}) {
        EXPECT_FALSE(parse_error(text)) << text;
    }
}

TEST(S3Answers, ObjectHeaders) {
    const ObjectInfo info = parse_object_headers(
        {{"content-length", "12"},
         {"etag", "\"abc-2\""},
         {"x-amz-version-id", "v"},
         {"x-amz-checksum-sha256", "c"},
         {"x-amz-server-side-encryption", "aws:kms:dsse"},
         {"x-amz-object-lock-mode", "COMPLIANCE"},
         {"x-amz-object-lock-retain-until-date", "2026-01-18T12:00:00.000000000Z"},
         {"x-amz-object-lock-legal-hold", "ON"},
         {"x-amz-meta-a", "b"}});
    EXPECT_EQ(info.size, 12U);
    EXPECT_EQ(info.etag, "abc-2");
    EXPECT_TRUE(info.kms);
    EXPECT_TRUE(info.legal_hold);
    EXPECT_EQ(info.mode, LockMode::compliance);
    EXPECT_EQ(format_time(info.until.value()), "2026-01-18T12:00:00.000Z");
    EXPECT_EQ(info.metadata, (std::map<std::string, std::string>{{"a", "b"}}));
    for (const char* size : {"", "-1", "1x", "99999999999999999999999"}) {
        EXPECT_THROW(parse_object_headers({{"content-length", size}}), Error) << size;
    }
}

TEST(S3Answers, Lists) {
    const auto objects = parse_objects(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t</NextContinuationToken>"
        "<Contents><Size>5</Size><Key>a%2Fb+c%2B</Key></Contents></ListBucketResult>");
    ASSERT_EQ(objects.rows.size(), 1U);
    EXPECT_EQ(objects.rows[0].key, "a/b c+");
    EXPECT_EQ(objects.next, "t");
    const auto plain = parse_objects(
        "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>t"
        "</NextContinuationToken><Contents><Size>5</Size><Key>a%2F+</Key></Contents></"
        "ListBucketResult>");
    EXPECT_EQ(plain.rows[0].key, "a%2F+");
    EXPECT_EQ(plain.next, "");
    const auto versions = parse_versions(
        "<ListVersionsResult><DeleteMarker><Key>k</Key><VersionId>2</VersionId><IsLatest>true</"
        "IsLatest></DeleteMarker>"
        "<Version><Key>k</Key><VersionId>1</VersionId><IsLatest>false</IsLatest><Size>3</Size></"
        "Version></ListVersionsResult>");
    ASSERT_EQ(versions.rows.size(), 2U);
    EXPECT_FALSE(versions.rows[0].delete_marker);
    EXPECT_TRUE(versions.rows[1].delete_marker && versions.rows[1].latest);
    EXPECT_EQ(parse_uploads(
                  "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId></Upload>"
                  "</ListMultipartUploadsResult>")
                  .rows.at(0)
                  .upload_id,
              "u");
    EXPECT_THROW(parse_versions("<ListBucketResult/>"), Error);
}

TEST(S3Answers, LocksAndBuckets) {
    EXPECT_EQ(parse_retention("<Retention><Mode>GOVERNANCE</Mode></Retention>").mode,
              LockMode::governance);
    EXPECT_EQ(parse_retention("<Retention/>").mode, LockMode::none);
    EXPECT_TRUE(parse_legal_hold("<LegalHold><Status>ON</Status></LegalHold>"));
    EXPECT_FALSE(parse_legal_hold("<LegalHold/>"));
    const LockConfiguration lock = parse_lock_configuration(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</"
        "ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE"
        "</Mode><Years>2</Years></DefaultRetention></Rule></ObjectLockConfiguration>");
    EXPECT_TRUE(lock.enabled);
    EXPECT_EQ(lock.default_days, 730);
    EXPECT_FALSE(parse_lock_configuration("<ObjectLockConfiguration/>").enabled);
    EXPECT_EQ(parse_versioning("<VersioningConfiguration/>"), "");
    const auto rules = parse_lifecycle(
        "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><And><Prefix>backups/</"
        "Prefix></And></Filter>"
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></"
        "AbortIncompleteMultipartUpload>"
        "</Rule></LifecycleConfiguration>");
    ASSERT_EQ(rules.size(), 1U);
    EXPECT_EQ(rules[0].prefix, "backups/");
    EXPECT_EQ(rules[0].abort_after_days, 7);
    EXPECT_EQ(
        parse_completed("<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>"),
        "");
    EXPECT_THROW(parse_completed("<Error/>"), Error);
    EXPECT_THROW(parse_upload_id("<InitiateMultipartUploadResult/>"), Error);
}

TEST(S3Options, WhatNoStoreCanTakeIsRefused) {
    S3Options good;
    good.bucket = "bucket";
    require_sound(good);
    const auto refused = [&](auto change) {
        S3Options options = good;
        change(options);
        EXPECT_THROW(require_sound(options), Error);
    };
    refused([](S3Options& o) { o.bucket = "a/b"; });
    refused([](S3Options& o) { o.prefix = "/x"; });
    refused([](S3Options& o) { o.prefix = "x/"; });
    refused([](S3Options& o) { o.max_parts = 0; });
    refused([](S3Options& o) { o.concurrency = 0; });
    refused([](S3Options& o) { o.lock_days = -1; });
}

TEST(S3Growth, WaitsForBytesOrTheEnd) {
    Growth growth;
    CancelToken cancel;
    EXPECT_EQ(growth.wait_for(0, cancel).bytes, 0U);
    std::thread writer([&] {
        growth.grown_to(10);
        growth.grown_to(5);  // never less
        growth.grown_to(100);
    });
    EXPECT_GE(growth.wait_for(50, cancel).bytes, 50U);
    writer.join();
    growth.finished();
    const auto state = growth.wait_for(1000, cancel);
    EXPECT_TRUE(state.finished);
    EXPECT_EQ(state.bytes, 100U);
    Growth other;
    other.failed();
    EXPECT_TRUE(other.wait_for(1, cancel).failed);
    cancel.cancel(Error(ErrorCode::cancelled, "stop"));
    Growth third;
    EXPECT_THROW(third.wait_for(1, cancel), Error);
}

}  // namespace
}  // namespace immbackup::s3::test
