// Receipts: what is written is read back, nothing leads out of the folder, and what disagrees
// shows.
#include "core/receipt.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"

namespace immbackup {
namespace {

constexpr const char* kStem = "20260118T120000Z.shop";
constexpr const char* kKey = "backups/20260118T120000Z.shop.receipt.json";

Receipt full_receipt() {
    Receipt r;
    r.artifact = kStem;
    r.instance = "11111111-2222-3333-4444-555555555555";
    r.database = "shop";
    r.sha256 = std::string(64, 'a');
    r.size = 18'446'744'073'709'551'615ULL;
    r.sql_size = 9;
    r.rows = 3;
    r.tier = "hourly";
    r.taken = *parse_time("2026-01-18T12:00:01.000Z");
    r.retain_until = *parse_time("2026-01-20T12:00:00.000Z");
    r.written = *parse_time("2026-01-18T12:01:00.123Z");
    r.parts = 3;
    r.first_part = 8 << 20;
    r.doubles_after = 1000;
    for (const char* suffix : {".sql.gz", ".sql.gz.sha256", ".sql.gz.manifest.json"}) {
        const std::string file = std::string(kStem) + suffix;
        r.objects[file] = {
            "backups/" + file,          "v" + file, 5,        "c=", "locked", "COMPLIANCE",
            "2026-02-17T12:00:00.000Z", "checksum", "written"};
    }
    return r;
}

std::string receipt_problem(const std::string& text, const char* key = kKey) {
    try {
        receipt_from_json(text, key);
    } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::version);
        return error.message();
    }
    return {};
}

std::string changed(const char* pointer, const Json& value) {
    auto json = Json::parse(receipt_to_json(full_receipt()));
    json[Json::json_pointer(pointer)] = value;
    return json.dump();
}

TEST(Receipt, WhatIsWrittenIsReadBack) {
    const Receipt back = receipt_from_json(receipt_to_json(full_receipt()), kKey);
    EXPECT_EQ(receipt_to_json(back), receipt_to_json(full_receipt()));
    EXPECT_TRUE(same_artifact(back, full_receipt()));
    Receipt globals = full_receipt();
    globals.globals = true;
    globals.database.clear();
    EXPECT_TRUE(receipt_from_json(receipt_to_json(globals), kKey).globals);
}

TEST(Receipt, WhatIsWrongIsNamed) {
    EXPECT_NE(receipt_problem("").find("not JSON"), std::string::npos);
    EXPECT_NE(receipt_problem("[1]").find("not an object"), std::string::npos);
    EXPECT_NE(receipt_problem(std::string(kMaxReceiptSize + 1, ' ')).find("larger"),
              std::string::npos);
    EXPECT_NE(receipt_problem(std::string(1000, '[')).find("nested"), std::string::npos);
    EXPECT_NE(receipt_problem(changed("/format", 2)).find("newer"), std::string::npos);
    EXPECT_NE(receipt_problem(changed("/artifact", "../x")).find("\"artifact\""),
              std::string::npos);
    EXPECT_NE(receipt_problem(changed("/sha256", "x")).find("\"sha256\""), std::string::npos);
    EXPECT_NE(receipt_problem(changed("/size", -1)).find("\"size\""), std::string::npos);
    EXPECT_NE(receipt_problem(changed("/taken", "yesterday")).find("\"taken\""), std::string::npos);
    EXPECT_NE(receipt_problem(changed("/objects", Json::object())).find("missing"),
              std::string::npos);
}

// A receipt that somebody forged must not lead to what lies elsewhere.
TEST(Receipt, KeysStayInTheFolderAndWithTheArtifact) {
    for (const char* key :
         {"other/20260118T120000Z.shop.sql.gz", "20260118T120000Z.shop.sql.gz", "backups/x.sql.gz",
          "backups/20260118T120000Z.shop/../../x", "backups/20260118T120000Z.shop/x"}) {
        EXPECT_NE(receipt_problem(changed("/objects/20260118T120000Z.shop.sql.gz/key", key))
                      .find("not a key of this artifact"),
                  std::string::npos)
            << key;
    }
    EXPECT_EQ(receipt_problem(changed("/objects/20260118T120000Z.shop.sql.gz/key",
                                      "backups/20260118T120000Z.shop~1f.sql.gz")),
              "");
    EXPECT_NE(receipt_problem(receipt_to_json(full_receipt()), "elsewhere/x.receipt.json"), "");
}

TEST(Receipt, SameArtifact) {
    for (const char* pointer : {"/objects/20260118T120000Z.shop.sql.gz/version_id",
                                "/objects/20260118T120000Z.shop.sql.gz.manifest.json/version_id"}) {
        EXPECT_FALSE(same_artifact(full_receipt(), receipt_from_json(changed(pointer, "w"), kKey)));
    }
    EXPECT_FALSE(same_artifact(full_receipt(),
                               receipt_from_json(changed("/sha256", std::string(64, 'b')), kKey)));
    // What a choice may be made by.
    for (const auto& [pointer, value] :
         {std::pair<const char*, Json>{"/taken", "2099-01-18T12:00:01.000Z"},
          {"/retain_until", "2099-01-18T12:00:01.000Z"},
          {"/database", "other"},
          {"/globals", true},
          {"/instance", "21111111-2222-3333-4444-555555555555"},
          {"/tier", "weekly"},
          {"/rows", 4},
          {"/sql_size", 10},
          {"/size", 5}}) {
        EXPECT_FALSE(
            same_artifact(full_receipt(), receipt_from_json(changed(pointer, value), kKey)))
            << pointer;
    }
    EXPECT_TRUE(same_artifact(
        full_receipt(), receipt_from_json(changed("/written", "2026-01-19T12:00:00.000Z"), kKey)))
        << "an upload that was repeated";
}

TEST(Receipt, AgreesWithItsManifest) {
    Manifest manifest;
    const Receipt receipt = full_receipt();
    manifest.artifact = receipt.artifact;
    manifest.sha256 = receipt.sha256;
    manifest.size = receipt.size;
    manifest.sql_size = receipt.sql_size;
    manifest.rows = receipt.rows;
    manifest.instance = receipt.instance;
    manifest.database.name = receipt.database;
    manifest.snapshot_before = receipt.taken;
    manifest.tier = receipt.tier;
    EXPECT_NO_THROW(require_agreement(receipt, manifest));
    const auto refused = [&](const char* what, auto change) {
        Receipt other = full_receipt();
        change(other);
        try {
            require_agreement(other, manifest);
            ADD_FAILURE() << what;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::corrupt);
            EXPECT_NE(error.message().find(what), std::string::npos) << error.message();
        }
    };
    refused("time", [](Receipt& r) { r.taken += std::chrono::hours(1); });
    refused("database", [](Receipt& r) { r.database = "other"; });
    refused("instance", [](Receipt& r) { r.instance.clear(); });
    refused("kind", [](Receipt& r) { r.globals = true; });
    refused("digest", [](Receipt& r) { r.sha256[0] = 'b'; });
    refused("name", [](Receipt& r) { r.artifact = "20260118T120000Z.other"; });
    refused("tier", [](Receipt& r) { r.tier = "weekly"; });
}

}  // namespace
}  // namespace immbackup
