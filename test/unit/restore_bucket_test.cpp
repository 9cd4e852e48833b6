// What a bucket is taken for: its address, and which of the things that lie there are believed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "io/fd.h"
#include "restore/bucket_source.h"
#include "unit/local_listener.h"

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

// A store of a few versions, for one client at a time: it lists them, and gives them out.
class VersionStore {
  public:
    struct Version {
        std::string key;
        std::string id;
        std::string content;
        bool cold = false;  // it would have to be thawed first
    };
    std::vector<Version> versions;

    VersionStore() : thread_([this] { serve(); }) {}
    ~VersionStore() {
        listener_.stop();
        thread_.join();
    }
    const std::string& url() const { return listener_.url(); }

  private:
    void serve() {
        for (;;) {
            const Fd peer = listener_.accept();
            if (!peer) {
                return;
            }
            std::string request;
            char block[4096];
            while (request.find("\r\n\r\n") == std::string::npos) {
                const ssize_t count = ::recv(peer.get(), block, sizeof block, 0);
                if (count <= 0) {
                    break;
                }
                request.append(block, static_cast<std::size_t>(count));
            }
            const std::string answer = answer_to(request.substr(0, request.find("\r\n")));
            ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
            ::shutdown(peer.get(), SHUT_WR);
            while (::recv(peer.get(), block, sizeof block, 0) > 0) {
            }
        }
    }
    std::string answer_to(const std::string& line) const {
        if (line.find("versions=") != std::string::npos) {
            std::string list;
            for (const auto& version : versions) {
                list += fmt::format(
                    "<Version><Key>{}</Key><VersionId>{}</VersionId><Size>{}</Size>"
                    "</Version>",
                    version.key, version.id, version.content.size());
            }
            return http("200 OK", "<ListVersionsResult>" + list + "</ListVersionsResult>");
        }
        for (const auto& version : versions) {
            if (line.find("versionId=" + version.id + " ") != std::string::npos) {
                return version.cold
                           ? http("403 No", "<Error><Code>InvalidObjectState</Code></Error>")
                           : http("200 OK", version.content);
            }
        }
        return http("404 No", "<Error><Code>NoSuchVersion</Code></Error>");
    }
    static std::string http(const char* status, const std::string& body) {
        return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                           status, body.size(), body);
    }

    test::LocalListener listener_;
    std::thread thread_;
};

struct Bucket : testing::Test {
    // An artifact with its receipt, as an upload leaves it; returns the receipt.
    Receipt add(const std::string& stem, const char* taken) {
        Manifest manifest;
        manifest.artifact = stem;
        manifest.run = stem.substr(0, 16);
        manifest.instance = "11111111-2222-3333-4444-555555555555";
        manifest.database.name = "shop";
        manifest.sha256 = std::string(64, 'a');
        manifest.size = 5;
        manifest.compression = "gzip:1";
        manifest.tier = "hourly";
        manifest.snapshot_before = parse_time(taken).value();
        Receipt receipt;
        receipt.artifact = stem;
        receipt.instance = manifest.instance;
        receipt.database = "shop";
        receipt.sha256 = manifest.sha256;
        receipt.size = manifest.size;
        receipt.tier = manifest.tier;
        receipt.taken = manifest.snapshot_before;
        for (const auto& file : artifact_files(stem, DumpFormat::gzip)) {
            ReceiptObject& object = receipt.objects[file];
            object.key = "backups/" + file;
            object.version_id = fmt::format("v{}", store.versions.size());
            const bool is_manifest = file.ends_with(kManifestSuffix);
            store.versions.push_back({object.key, object.version_id,
                                      is_manifest ? manifest_to_json(manifest) : "bytes"});
        }
        put(stem, receipt);
        return receipt;
    }
    void put(const std::string& name, const Receipt& receipt, bool cold = false) {
        store.versions.push_back({"backups/" + name + std::string(kReceiptSuffix),
                                  fmt::format("v{}", store.versions.size()),
                                  receipt_to_json(receipt), cold});
    }
    BucketSource& look() {
        s3::S3Options options;
        options.bucket = "bucket";
        options.prefix = "backups";
        options.endpoint_url = store.url();
        options.deadline = std::chrono::seconds(0);
        s3::CredentialInputs inputs;
        inputs.environment = [](const char* name) {
            return std::string_view(name) == "AWS_ACCESS_KEY_ID"       ? "key"
                   : std::string_view(name) == "AWS_SECRET_ACCESS_KEY" ? "secret"
                                                                       : nullptr;
        };
        inputs.clock = [] { return Time{}; };
        client = std::make_unique<s3::Client>(options, inputs, cancel);
        source = std::make_unique<BucketSource>(*client, BucketChoice{});
        return *source;
    }
    const BucketEntry& entry(const std::string& stem) const {
        for (const auto& each : source->entries()) {
            if (each.artifact == stem) {
                return each;
            }
        }
        throw std::out_of_range(stem);
    }

    const std::string older = "20260118T120000Z.shop";
    const std::string newer = "20260119T120000Z.shop";
    VersionStore store;
    CancelToken cancel;
    std::unique_ptr<s3::Client> client;
    std::unique_ptr<BucketSource> source;
};

TEST_F(Bucket, TheLatestIsTheNewestAttested) {
    add(older, "2026-01-18T12:00:00.000Z");
    const Receipt receipt = add(newer, "2026-01-19T12:00:00.000Z");
    put(newer + "~1", receipt);  // an upload that was repeated
    EXPECT_EQ(look().latest("shop"), newer);
    EXPECT_EQ(entry(newer).state, Attestation::attested);
    EXPECT_NO_THROW(source->manifest_text(newer));
}

// One that names the genuine versions, and lies about what a choice is made by.
TEST_F(Bucket, AReceiptThatLiesAboutItsTimeSteersNothing) {
    Receipt forged = add(older, "2026-01-18T12:00:00.000Z");
    add(newer, "2026-01-19T12:00:00.000Z");
    forged.taken = parse_time("2099-01-18T12:00:00.000Z").value();
    put(older + "~1", forged);
    EXPECT_EQ(look().latest("shop"), newer);
    EXPECT_EQ(entry(older).state, Attestation::ambiguous);
    EXPECT_THROW(source->manifest_text(older), Error);
}

TEST_F(Bucket, NorOneAboutItsDatabaseOrInstance) {
    const Receipt receipt = add(older, "2026-01-18T12:00:00.000Z");
    for (const auto& change : std::vector<std::function<void(Receipt&)>>{
             [](Receipt& r) { r.database = "other"; }, [](Receipt& r) { r.globals = true; },
             [](Receipt& r) { r.instance = "x"; }}) {
        Receipt forged = receipt;
        change(forged);
        put(older + "~1", forged);
        look();
        EXPECT_EQ(entry(older).state, Attestation::ambiguous);
        store.versions.pop_back();
    }
    look();
    EXPECT_EQ(entry(older).state, Attestation::attested);
}

// Even where it is the only one.
TEST_F(Bucket, AReceiptIsComparedWithItsManifest) {
    Receipt forged = add(older, "2026-01-18T12:00:00.000Z");
    store.versions.pop_back();
    forged.taken = parse_time("2099-01-18T12:00:00.000Z").value();
    put(older, forged);
    look();
    EXPECT_EQ(entry(older).state, Attestation::attested);
    try {
        source->manifest_text(older);
        ADD_FAILURE() << "taken as it is";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::corrupt);
        EXPECT_NE(error.message().find("do not agree about its time"), std::string::npos);
    }
}

TEST_F(Bucket, AReceiptThatCannotBeReadIsAProblemOfItsArtifactAlone) {
    const Receipt receipt = add(older, "2026-01-18T12:00:00.000Z");
    store.versions.pop_back();
    put(older, receipt, true);
    add(newer, "2026-01-19T12:00:00.000Z");
    EXPECT_EQ(look().latest("shop"), newer);
    EXPECT_NE(entry(older).state, Attestation::attested);
    EXPECT_NE(entry(older).problem.find("InvalidObjectState"), std::string::npos)
        << entry(older).problem;
}

}  // namespace
}  // namespace immbackup
