// The helper's small grammars. Where src/core has the same rule, both must say the same.
#include "vault/text.h"

#include <gtest/gtest.h>

#include <random>

#include "core/names.h"
#include "core/time.h"
#include "vault/config.h"
#include "vault/failure.h"
#include "vault/json_check.h"
#include "vault/record.h"

namespace immbackup {
namespace {

TEST(VaultText, ValuesAreWrittenAndReadBack) {
    std::string all;
    for (int c = 0; c < 256; ++c) {
        all += static_cast<char>(c);
    }
    EXPECT_EQ(vault::decode_value(vault::encode_value(all)), all);
    EXPECT_EQ(vault::encode_value("a b%\n=\xe4"), "a%20b%25%0A=%E4");
    for (const char* bad : {"%", "%2", "%zz", "%2f", "a b", "\x7f", "\xe4"}) {
        EXPECT_FALSE(vault::decode_value(bad)) << bad;
    }
}

TEST(VaultText, Numbers) {
    EXPECT_EQ(vault::parse_number("0"), 0U);
    EXPECT_EQ(vault::parse_number("9223372036854775807"), 9223372036854775807U);
    for (const char* bad : {"", "-1", "+1", "01", "1 ", " 1", "1.0", "0x1", "9223372036854775808",
                            "99999999999999999999999"}) {
        EXPECT_FALSE(vault::parse_number(bad)) << bad;
    }
    EXPECT_FALSE(vault::parse_number("11", 10));
}

TEST(VaultText, TimesAreThoseOfCore) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 20'000; ++i) {
        const auto time = static_cast<vault::Millis>(random() % 253'402'300'800'000);
        const std::string text = vault::format_time(time);
        EXPECT_EQ(text, format_time(Time(std::chrono::milliseconds(time))));
        EXPECT_EQ(vault::parse_time(text), time);
    }
    for (const char* bad :
         {"", "2026-01-18T12:00:00Z", "2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z",
          "2026-01-18T24:00:00.000Z", "2026-01-18T12:00:00.000z", "2026-01-18 12:00:00.000Z",
          "1969-12-31T23:59:59.999Z", "2026-01-18T12:00:00.00 Z", "-026-01-18T12:00:00.000Z",
          "2026-01-18T12:00:60.000Z"}) {
        EXPECT_FALSE(vault::parse_time(bad)) << bad;
    }
    EXPECT_EQ(vault::format_time(-5), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(vault::format_time(INT64_MAX), "9999-12-31T23:59:59.999Z");
}

TEST(VaultText, StemsAreThoseOfCore) {
    const std::string hostile = "20260118T120000Z.%67lobals/../A%20b\n\\~";
    std::mt19937_64 random(2);
    for (int i = 0; i < 50'000; ++i) {
        // One of ours with a byte or two changed, or cut off.
        std::string stem =
            i % 2 == 0 ? database_stem("20260118T120000Z", hostile.substr(random() % 30), false)
                       : "20260118T120000Z" + hostile.substr(16, random() % 30);
        for (std::uint64_t n = random() % 3; n > 0 && !stem.empty(); --n) {
            stem[random() % stem.size()] = hostile[random() % hostile.size()];
        }
        stem.resize(std::min<std::size_t>(stem.size(), random() % 64));
        // The helper wants no year before 1970, and no NUL, which no database can have in its name.
        const bool same = stem.substr(0, 4) >= "1970" && stem.find("%00") == std::string::npos;
        EXPECT_EQ(vault::token_of_stem(stem).has_value(), same && parse_stem(stem).has_value())
            << stem;
        for (const char* suffix : {".sql.gz.sha256", ".sql.zst", ".sql.zst.manifest.json"}) {
            const std::string name = stem + suffix;
            EXPECT_EQ(vault::parse_file_name(name).has_value(),
                      same && stem_of_file(name).has_value())
                << name;
        }
    }
}

TEST(VaultText, StemsThatAreTooLongOrHoldNul) {
    const std::string run = "20260118T120000Z.";
    EXPECT_TRUE(vault::token_of_stem(run + std::string(189, 'a')));
    EXPECT_FALSE(vault::token_of_stem(run + std::string(190, 'a')));
    EXPECT_FALSE(vault::token_of_stem(run + "%00"));
    EXPECT_FALSE(vault::token_of_stem(std::string_view("20260118T120000Z\0", 17)));
    EXPECT_EQ(vault::token_of_stem("20260118T120000Z"), "");
    EXPECT_EQ(vault::token_of_stem("20260118T120000Z.a%20b"), "a%20b");
}

TEST(VaultText, WhatStandsInAJsonString) {
    for (const char* good :
         {"", "a b", R"(see \\u0000)", R"(\"\\\/\b\f\n\r\t\u00e4\uD83D\ude00)", "{}[],:'"}) {
        EXPECT_TRUE(vault::is_json_text(good)) << good;
    }
    for (const char* bad :
         {"\"", R"(a","b":"c)", "\\", R"(\\\)", R"(\x)", R"(\u00e)", R"(\ud83d)", R"(\ud83dx)",
          R"(\uDC00)", R"(\ud83d\ud83d)", R"(\ud83d\n)", R"(\ude00\ud83d)", R"(a\u0000)",
          R"(\u00eg)", "\n", "\x7f", "\xc3\xa4"}) {
        EXPECT_FALSE(vault::is_json_text(bad)) << bad;
    }
    EXPECT_FALSE(vault::is_json_text(std::string_view("a\0b", 3)));
}

TEST(VaultText, BodiesAreOneJsonObject) {
    for (const char* good :
         {"{}", "{ }", R"({"a":1})", R"({"a":[-0.5e+3,true,false,null,"\u00e4\n"],"b":{"c":[]}})",
          R"({"a" : [ 1 , 2 ] })"}) {
        EXPECT_TRUE(vault::is_json_object(good)) << good;
    }
    for (const char* bad : {"",
                            "{",
                            "}",
                            "[]",
                            "1",
                            "{}{}",
                            "{} ",
                            " {}",
                            R"({},"origin":"vault","x":{})",
                            R"({"a":1},"origin":"vault","b":{})",
                            R"({"a"})",
                            R"({"a":})",
                            R"({"a":1,})",
                            R"({,})",
                            R"({"a":01})",
                            R"({"a":1.})",
                            R"({"a":"\x"})",
                            R"({"a":"\u12"})",
                            R"({"a":"})",
                            "{\"a\":\"\n\"}",
                            R"({a:1})",
                            R"({"a":tru})",
                            R"({"a":[1 2]})",
                            "{\"\xe4\":1}",
                            R"({"a":{[]})",
                            R"({"a":{"b"[]})",
                            R"({"a":["b":1]})",
                            R"({"a":-})",
                            R"({"a":"\ud800"})",
                            R"({"a":"\udc00\ud800"})",
                            R"({"a":1e})",
                            R"({"a":truefalse})",
                            R"({"a":1]})"}) {
        EXPECT_FALSE(vault::is_json_object(bad)) << bad;
    }
    std::string deep;
    for (int i = 0; i < 100'000; ++i) {
        deep += "{\"a\":";
    }
    EXPECT_FALSE(vault::is_json_object(deep));
}

TEST(VaultRecord, RoundTripAndRefusals) {
    vault::SealRecord record;
    record.stem = "20260118T120000Z.a%20b";
    record.kind = vault::FileKind::manifest;
    record.database = "a%20b";
    record.retain_until = 1'800'000'000'000;
    record.sealed = 1'790'000'000'000;
    record.size = 12;
    record.sha256 = std::string(64, 'a');
    record.level = vault::Level::vault;
    const std::string text = vault::format_record(record);
    vault::SealRecord read;
    ASSERT_EQ(vault::parse_record(text, read), vault::RecordState::sound);
    EXPECT_EQ(vault::format_record(read), text);
    EXPECT_EQ(vault::parse_record("", read), vault::RecordState::absent);
    EXPECT_EQ(vault::parse_record("2" + text.substr(1), read), vault::RecordState::newer);
    EXPECT_EQ(vault::parse_record("2", read), vault::RecordState::newer);
    for (std::size_t i = 0; i < text.size(); ++i) {
        EXPECT_NE(vault::parse_record(text.substr(0, i), read), vault::RecordState::sound) << i;
    }
    for (const std::string& bad :
         {text + " ", text + " x=1", text + '\n', "1" + text, "x" + text}) {
        EXPECT_NE(vault::parse_record(bad, read), vault::RecordState::sound) << bad;
    }
}

std::string problem(const std::string& text) {
    try {
        vault::parse_config(text);
    } catch (const vault::Failure& failure) {
        EXPECT_EQ(failure.code, vault::Code::config);
        return failure.message;
    }
    return {};
}

TEST(VaultConfig, ValuesAndDefaults) {
    const vault::Config config = vault::parse_config(
        "# the vault\n root = /srv/backups \nmin_retention=36h\nmax_retention = 30d\n"
        "quota_bytes = 5G\nquota_files = 300\nquota_log = 2M\nkeep_newest = 0\noperator_group = "
        "ops\n");
    EXPECT_EQ(config.root, "/srv/backups");
    EXPECT_EQ(config.user, "immvault");
    EXPECT_EQ(config.min_retention, 36 * 3'600'000);
    EXPECT_EQ(config.quota_bytes, 5ULL << 30);
    EXPECT_EQ(config.quota_log, 2ULL << 20);
    EXPECT_EQ(config.keep_newest, 0U);
    EXPECT_EQ(config.operator_group, "ops");
    EXPECT_EQ(vault::parse_config("root = /b").min_retention, 2 * 86'400'000);
}

TEST(VaultConfig, WhatItRefuses) {
    for (const char* bad : {"",
                            "root",
                            "root =",
                            "root = b",
                            "root = /",
                            "root = /b/",
                            "root = /b//c",
                            "root = /b/../c",
                            "root = /b/.",
                            "root = /b\nroot = /c",
                            "root = /b\ncolour = red",
                            "root = /b\nmin_retention = 7",
                            "root = /b\nmin_retention = 0d",
                            "root = /b\nmin_retention = -1d",
                            "root = /b\nmin_retention = 1w",
                            "root = /b\nmin_retention = 99999999999999999999d",
                            "root = /b\nmin_retention = 40000d",
                            "root = /b\nmin_retention = 8d\nmax_retention = 7d",
                            "root = /b\nquota_bytes = 1X",
                            "root = /b\nquota_bytes = 99999999T",
                            "root = /b\nuser = a b",
                            "root = /b\nuser = ../x",
                            "root = /b\nkeep_newest = 1.5"}) {
        EXPECT_NE(problem(bad), "") << bad;
    }
    EXPECT_EQ(problem("root = /b\n\nkeep_newest = x").substr(0, 6), "line 3");
}

}  // namespace
}  // namespace immbackup
