// The artifacts of a directory: the log's word against the files'.
#include "cli/listing.h"

#include "backup/records.h"
#include "core/events.h"
#include "core/names.h"
#include "store/audit_log.h"
#include "store_fixture.h"

namespace immbackup {
namespace {

using test::throws_error;

class Listing : public testing::Test {
  protected:
    Listing() : store_(open_local_store(directory_.path())), audit_(store_->layout(), "cli") {}

    // An artifact of database "app", as published; recorded where asked.
    std::string publish(const std::string& stem, bool record) {
        test::publish_content(*store_, stem, "content of " + stem, "readonly");
        if (record) {
            audit_.append(event::kArtifactSealed,
                          artifact_sealed_body(store_->read_manifest(stem), store_->stamp(stem)));
        }
        return stem;
    }
    void verified(const std::string& stem, const char* result) {
        audit_.append(event::kArtifactVerified,
                      R"({"artifact":")" + stem + R"(","result":")" + result + "\"}");
    }
    void overwrite_manifest(const std::string& stem, std::string_view text) {
        const fs::path path = store_->layout().manifest(stem);
        fs::remove(path);
        test::put(path, text);
    }
    std::vector<std::string> states() const {
        std::vector<std::string> out;
        for (const auto& entry : list_artifacts(*store_)) {
            out.push_back(entry.artifact + " " + entry.state);
        }
        return out;
    }

    test::TemporaryDirectory directory_;
    std::unique_ptr<Store> store_;
    AuditLog audit_;
};

using States = std::vector<std::string>;

TEST_F(Listing, AnEmptyDirectory) {
    EXPECT_EQ(states(), States{});
    EXPECT_TRUE(throws_error(ErrorCode::not_found, "no good artifact of database \"app\"",
                             [&] { latest_artifact(*store_, "app"); }));
}

TEST_F(Listing, StatesAreTheLogsUnlessTheFilesSayOtherwise) {
    publish("20260118T120000Z", true);
    verified(publish("20260118T130000Z", true), "corrupt");
    publish("20260118T140000Z", false);
    publish("20260118T150000Z", true);
    fs::remove(store_->layout().digest("20260118T150000Z"));
    publish("20260118T160000Z", false);
    overwrite_manifest("20260118T160000Z", "{}");
    publish("20260118T170000Z", true);
    fs::remove(store_->layout().artifact("20260118T170000Z"));
    publish("20260118T180000Z", true);
    fs::remove(store_->layout().manifest("20260118T180000Z"));
    EXPECT_EQ(states(), (States{"20260118T120000Z good", "20260118T130000Z corrupt",
                                "20260118T140000Z unrecorded", "20260118T150000Z missing",
                                "20260118T160000Z unreadable", "20260118T170000Z missing",
                                "20260118T180000Z missing"}));
    const auto all = list_artifacts(*store_);
    EXPECT_EQ(all[2].database, "app");
    EXPECT_EQ(all[2].run, "20260118T140000Z");
    EXPECT_EQ(all[2].size, 27U);
    EXPECT_EQ(all[4].run, "20260118T160000Z");
}

TEST_F(Listing, TheLatestIsTheNewestThatCanBeUsed) {
    publish("20260118T120000Z", true);
    EXPECT_EQ(latest_artifact(*store_, "app"), "20260118T120000Z");
    publish("20260118T140000Z", false);
    EXPECT_EQ(latest_artifact(*store_, "app"), "20260118T140000Z") << "unrecorded is usable";
    verified(publish("20260118T150000Z", true), "corrupt");
    EXPECT_EQ(latest_artifact(*store_, "app"), "20260118T140000Z");
    fs::remove(store_->layout().artifact("20260118T120000Z"));
    fs::remove(store_->layout().manifest("20260118T140000Z"));
    EXPECT_TRUE(
        throws_error(ErrorCode::not_found, "app", [&] { latest_artifact(*store_, "app"); }));
    EXPECT_TRUE(
        throws_error(ErrorCode::not_found, "App", [&] { latest_artifact(*store_, "App"); }));
}

TEST_F(Listing, ASymbolicLinkIsNoArtifact) {
    const std::string stem = publish("20260118T120000Z", true);
    const fs::path path = store_->layout().artifact(stem);
    fs::rename(path, directory_.path() / "elsewhere");
    fs::create_symlink(directory_.path() / "elsewhere", path);
    EXPECT_EQ(states(), (States{stem + " missing"}));
}

}  // namespace
}  // namespace immbackup
