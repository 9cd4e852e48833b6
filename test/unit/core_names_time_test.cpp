// The small vocabulary: instants and run ids, stems and file names, the names of errors and seal
// levels, SHA-256.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/names.h"
#include "core/seal_level.h"
#include "core/time.h"

namespace immbackup {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Time, FormatsAndParsesBack) {
    const std::map<std::string, long long> cases{
        {"1970-01-01T00:00:00.000Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-01-18T12:00:00.000Z", 1'768'737'600'000},
        {"2000-02-29T23:59:59.001Z", 951'868'799'001},
        {"2038-01-19T03:14:08.000Z", 2'147'483'648'000},
        {"0000-01-01T00:00:00.000Z", -62'167'219'200'000},
        {"9999-12-31T23:59:59.999Z", 253'402'300'799'999},
    };
    for (const auto& [text, since_epoch] : cases) {
        const Time time{milliseconds{since_epoch}};
        EXPECT_EQ(format_time(time), text);
        EXPECT_EQ(parse_time(text), time) << text;
    }
    EXPECT_EQ(parse_time("2026-01-18T12:00:00Z"), parse_time("2026-01-18T12:00:00.000Z"));
    EXPECT_TRUE(parse_time("2024-02-29T00:00:00Z"));
}

TEST(Time, OtherTextsAreNone) {
    for (const char* text : {
             "",
             "now",
             "2026-01-18",
             "2026-01-18T12:00:00",
             "2026-01-18 12:00:00Z",
             "2026-01-18t12:00:00z",
             "2026-01-18T12:00:00.0Z",
             "2026-01-18T12:00:00.000",
             "2026-01-18T12:00:00,000Z",
             "2026-01-18T12:00:00.0000Z",
             "2026-01-18T12:00:00.00xZ",
             "2026-01-18T12:00:00.-01Z",
             "2026-01-18T12:00:00+00:00",
             "2026-01-18T12-00-00Z",
             "2026/01/18T12:00:00Z",
             " 026-01-18T12:00:00Z",
             "-026-01-18T12:00:00Z",
             "+026-01-18T12:00:00Z",
             "2026-00-18T12:00:00Z",
             "2026-13-18T12:00:00Z",
             "2026-01-00T12:00:00Z",
             "2026-01-32T12:00:00Z",
             "2026-02-29T12:00:00Z",
             "2100-02-29T12:00:00Z",
             "2026-04-31T12:00:00Z",
             "2026-01-18T24:00:00Z",
             "2026-01-18T12:60:00Z",
             "2026-01-18T12:00:60Z",
         }) {
        EXPECT_FALSE(parse_time(text)) << text;
    }
}

TEST(RunId, FormatsAndParsesBack) {
    const Time time = *parse_time("2026-01-18T12:34:56.789Z");
    EXPECT_EQ(run_id_at(time), "20260118T123456Z");
    EXPECT_EQ(parse_run_id("20260118T123456Z"), time - milliseconds{789});
    EXPECT_EQ(run_id_at(*parse_time("1969-12-31T23:59:59.999Z")), "19691231T235959Z");
    for (const char* text :
         {"", "20260118T123456", "20260118T123456z", "20260118 123456Z", "20260118T123456ZZ",
          "2026118T1234567Z", "20261318T123456Z", "20260132T123456Z", "20260229T123456Z",
          "20260118T240000Z", "20260118T126000Z", "20260118T120060Z", "2026011 T123456Z",
          "../../../etc/pas"}) {
        EXPECT_FALSE(parse_run_id(text)) << text;
    }
}

TEST(RunId, TheNextIsGreaterWhateverTheClockSays) {
    struct Case {
        const char* now;
        const char* last;
        const char* next;
    };
    for (const auto& [now, last, next] : std::vector<Case>{
             {"2026-01-18T12:00:00.999Z", "", "20260118T120000Z"},
             {"2026-01-18T12:00:00.999Z", "no id", "20260118T120000Z"},
             {"2026-01-18T12:00:00.000Z", "20260118T115959Z", "20260118T120000Z"},
             {"2026-01-18T12:00:00.999Z", "20260118T120000Z", "20260118T120001Z"},
             {"2026-01-18T12:00:01.000Z", "20260118T120000Z", "20260118T120001Z"},
             // The clock was set back.
             {"2026-01-18T11:00:00.000Z", "20260118T120000Z", "20260118T120001Z"},
             {"2020-01-01T00:00:00.000Z", "20251231T235959Z", "20260101T000000Z"},
         }) {
        EXPECT_EQ(next_run_id(*parse_time(now), last), next) << now << " after " << last;
        EXPECT_GT(std::string(next), std::string(last) == "no id" ? "" : last);
    }
}

TEST(Names, PercentEncoding) {
    const std::map<std::string, std::string> cases{
        {"", ""},
        {"shop", "shop"},
        {"AZaz09_-", "AZaz09_-"},
        {"a b", "a%20b"},
        {"..", "%2E%2E"},
        {"a/../b", "a%2F%2E%2E%2Fb"},
        {"50%", "50%25"},
        {"\xc3\xbc", "%C3%BC"},
        {"a\nb\t", "a%0Ab%09"},
        {"$(id)`~*?", "%24%28id%29%60%7E%2A%3F"},
    };
    for (const auto& [name, encoded] : cases) {
        EXPECT_EQ(percent_encode(name), encoded);
        EXPECT_EQ(percent_decode(encoded), name);
    }
    for (int byte = 0; byte < 256; ++byte) {
        const std::string name(1, static_cast<char>(byte));
        const std::string encoded = percent_encode("x" + name);
        EXPECT_EQ(percent_decode(encoded), "x" + name) << byte;
        EXPECT_LE(encoded.size(), 4U);
        EXPECT_EQ(encoded.find_first_of("./\\ \n\t*'\"", 0, 9), std::string::npos) << byte;
    }
    // One text for each name: what percent_encode would not write is refused.
    for (const char* text :
         {"%", "%2", "a%", "a%2", "%2f", "%zz", "%41", "%5F", "%2D", "a b", "a.b", "a/b",
          "\xc3\xbc", "%%20", "%67lobal", "x%67lobals", "%67lobalsx"}) {
        EXPECT_FALSE(percent_decode(text)) << text;
    }
}

TEST(Names, StemsAreReadBack) {
    const std::string run = "20260118T120000Z";
    EXPECT_EQ(database_stem(run, "shop", true), run);
    EXPECT_EQ(database_stem(run, "shop", false), run + ".shop");
    EXPECT_EQ(database_stem(run, "a.b/c", false), run + ".a%2Eb%2Fc");
    EXPECT_EQ(globals_stem(run), run + ".globals");
    EXPECT_EQ(database_stem(run, "globals", false), run + ".%67lobals");
    std::set<std::string> stems{globals_stem(run)};
    for (const std::string database :
         {"shop", "globals", "Globals", "%67lobals", "global", "a.sql.gz", ".", "..", "a/b", "a\nb",
          "\xf0\x9f\x98\x80", "20260118T120000Z", "-", " "}) {
        const std::string stem = database_stem(run, database, false);
        EXPECT_TRUE(stems.insert(stem).second) << stem << " is of two";
        EXPECT_EQ(stem.find('/'), std::string::npos);
        const auto parts = parse_stem(stem);
        ASSERT_TRUE(parts) << stem;
        EXPECT_EQ(parts->run_id, run);
        EXPECT_EQ(parts->database, database);
        EXPECT_FALSE(parts->globals);
    }
    const auto sole = parse_stem(run);
    ASSERT_TRUE(sole);
    EXPECT_FALSE(sole->database);
    EXPECT_FALSE(sole->globals);
    const auto globals = parse_stem(run + ".globals");
    ASSERT_TRUE(globals);
    EXPECT_TRUE(globals->globals);
    EXPECT_FALSE(globals->database);
}

// The longest name of a database, 63 bytes none of which is plain, is still a file name.
TEST(Names, TheLongestFileNameFits) {
    const std::string stem = database_stem("20260118T120000Z", std::string(63, '/'), false);
    for (const DumpFormat format : kDumpFormats) {
        EXPECT_LE(manifest_file(stem, format).size() + std::string_view(".part").size(), 255U);
        EXPECT_TRUE(stem_of_file(manifest_file(stem, format)));
    }
}

TEST(Names, OtherTextsAreNoStems) {
    for (const char* stem :
         {"", "shop", "20260118T120000Z.", "20260118T120000Zshop", "20260118T120000Z/shop",
          "20260118T120000Z.a.b", "20260118T120000Z.a b", "20260118T120000Z..",
          "20260118T120000Z.%2e", "20261318T120000Z.shop", " 20260118T120000Z", "../x",
          "20260118T120000Z.globals.sql"}) {
        EXPECT_FALSE(parse_stem(stem)) << stem;
    }
}

TEST(Names, FilesOfAnArtifact) {
    for (const std::string stem : {"20260118T120000Z", "20260118T120000Z.shop",
                                   "20260118T120000Z.globals", "20260118T120000Z.a%2Esql%2Egz"}) {
        for (const auto& [format, suffix] :
             {std::pair(DumpFormat::gzip, ".sql.gz"), {DumpFormat::zstd, ".sql.zst"}}) {
            EXPECT_EQ(artifact_suffix(format), suffix);
            EXPECT_EQ(artifact_file(stem, format), stem + suffix);
            EXPECT_EQ(digest_file(stem, format), stem + suffix + ".sha256");
            EXPECT_EQ(manifest_file(stem, format), stem + suffix + ".manifest.json");
            for (const auto& file : artifact_files(stem, format)) {
                EXPECT_EQ(stem_of_file(file), stem) << file;
            }
        }
    }
    for (const char* file :
         {"", ".sql.gz", "20260118T120000Z", "20260118T120000Z.sql", "20260118T120000Z.gz",
          "20260118T120000Z.sha256", "20260118T120000Z.manifest.json", "shop.sql.gz",
          "20260118T120000Z.sql.gz.", "20260118T120000Z.sql.gz.sha256.manifest.json",
          "20260118T120000Z.sql.gz.sql.gz", "20260118T120000Z.sql.zst.sql.gz",
          "20260118T120000Z.sql.zstd", "20260118T120000Z.sql.zst.part", "20260118T120000Z.sql.xz",
          "20260118T120000Z..sql.gz", "./20260118T120000Z.sql.gz",
          "20260118T120000Z.sql.gz.sha256~", ".20260118T120000Z.sql.gz"}) {
        EXPECT_FALSE(stem_of_file(file)) << file;
    }
}

// Exit codes are part of the interface.
TEST(ErrorCodes, NamesAndNumbers) {
    const std::map<int, std::string> codes{
        {0, "ok"},       {1, "failed"},     {2, "usage"},       {10, "config"},
        {11, "busy"},    {12, "connect"},   {13, "dump"},       {14, "incomplete"},
        {15, "io"},      {16, "no_space"},  {17, "corrupt"},    {18, "not_found"},
        {19, "audit"},   {20, "cancelled"}, {21, "timeout"},    {22, "version"},
        {23, "restore"}, {24, "exists"},    {25, "permission"}, {26, "internal"},
        {27, "rejected"}};
    for (int number = 0; number < 256; ++number) {
        const auto code = error_code_from_exit(number);
        const auto known = codes.find(number);
        if (known == codes.end()) {
            EXPECT_EQ(code, ErrorCode::failed) << number;
        } else {
            EXPECT_EQ(static_cast<int>(code), number);
            EXPECT_EQ(error_code_name(code), known->second);
            EXPECT_EQ(error_code_from_name(known->second), code);
            EXPECT_EQ(Error(code, "m").exit_code(), number);
        }
    }
    for (const char* name : {"", "nonsense", "OK", "io "}) {
        EXPECT_EQ(error_code_from_name(name), ErrorCode::failed) << name;
    }
}

TEST(ErrorCodes, OfTheSystem) {
    const std::map<int, ErrorCode> codes{
        {ENOSPC, ErrorCode::no_space},   {EDQUOT, ErrorCode::no_space},
        {EACCES, ErrorCode::permission}, {EPERM, ErrorCode::permission},
        {ENOENT, ErrorCode::not_found},  {EIO, ErrorCode::io},
        {EROFS, ErrorCode::permission}};
    for (const auto& [number, code] : codes) {
        const Error error = system_error(number, "open", "/a b");
        EXPECT_EQ(error.code(), code) << number;
        EXPECT_TRUE(error.message().starts_with("could not open \"/a b\": ")) << error.message();
        EXPECT_STREQ(error.what(), error.message().c_str());
    }
    EXPECT_TRUE(system_error(EIO, "fork").message().starts_with("could not fork: "));
}

TEST(SealLevels, Names) {
    for (const char* name : {"none", "readonly", "immutable", "vault-dac", "vault"}) {
        const auto level = seal_level_from_name(name);
        ASSERT_TRUE(level) << name;
        EXPECT_EQ(seal_level_name(*level), name);
    }
    EXPECT_LT(SealLevel::none, SealLevel::readonly);
    EXPECT_LT(SealLevel::readonly, SealLevel::immutable);
    EXPECT_LT(SealLevel::immutable, SealLevel::vault_dac);
    EXPECT_LT(SealLevel::vault_dac, SealLevel::vault);
    EXPECT_FALSE(seal_level_from_name("Immutable"));
    EXPECT_FALSE(seal_level_from_name(""));
}

// FIPS 180-2, appendix B.
TEST(Digest, Sha256) {
    const std::map<std::string, std::string> cases{
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {std::string(1'000'000, 'a'),
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
    for (const auto& [text, hex] : cases) {
        EXPECT_EQ(sha256_hex(text), hex);
        Sha256 pieces;
        for (std::size_t at = 0; at < text.size(); at += 997) {
            EXPECT_TRUE(is_sha256_hex(pieces.hex())) << "asked in between, and fed on";
            pieces.update(std::string_view(text).substr(at, 997));
        }
        EXPECT_EQ(pieces.hex(), hex);
    }
    EXPECT_FALSE(is_sha256_hex(""));
    EXPECT_FALSE(is_sha256_hex(std::string(63, 'a')));
    EXPECT_FALSE(is_sha256_hex(std::string(65, 'a')));
    EXPECT_FALSE(is_sha256_hex(std::string(64, 'A')));
    EXPECT_FALSE(is_sha256_hex(std::string(64, 'g')));
}

}  // namespace
}  // namespace immbackup
