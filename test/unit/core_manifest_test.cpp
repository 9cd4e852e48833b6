// The manifest: what is written is read back, and whatever is wrong is refused by the member's
// name.
#include "core/manifest.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"

namespace immbackup {
namespace {

Manifest full_manifest() {
    Manifest m;
    m.artifact = "20260118T120000Z.shop";
    m.run = "20260118T120000Z";
    m.database = {"shop",    "owner \"x\"",
                  "UTF8",    "icu",
                  "C",       "C.UTF-8",
                  "de-AT",   "&a < b",
                  123456789, 50,
                  "it's",    {{"", "search_path=a, b"}, {"röle", "x=y"}},
                  true,      {{"", "CONNECT", false}, {"röle", "TEMPORARY", true}}};
    m.server = {"15.18 (Debian)", 150018, "7312345678901234567", "/tmp", "5432", true};
    m.pg_dump_version = "pg_dump (PostgreSQL) 15.18";
    m.pg_dump_arguments = {"--verbose", "--exclude-table=a b"};
    m.psql_required = "15";
    m.started = *parse_time("2026-01-18T12:00:00.123Z");
    m.finished = *parse_time("2026-01-18T12:34:56.789Z");
    m.snapshot_after = m.started;
    m.snapshot_before = *parse_time("2026-01-18T12:00:01.000Z");
    m.size = 18'446'744'073'709'551'615ULL;
    m.sql_size = 9;
    m.sha256 = std::string(64, 'a');
    m.compression = "gzip:1";
    m.compressor = "isa-l 2.30";
    m.tables = {{"public.\"odd \n name\"", 3, 4}, {"public.leer", 0, 0}};
    m.rows = 3;
    m.large_objects = 2;
    m.large_object_bytes = 77;
    m.role_passwords = false;
    m.tier = "hourly";
    m.retain_until = *parse_time("2026-01-20T12:00:00.000Z");
    m.seal = "immutable";
    m.audit_seq = 42;
    m.audit_hash = std::string(64, 'b');
    m.instance = "11111111-2222-3333-4444-555555555555";
    m.immbackup_version = "0.1.0";
    m.warnings = {"pg_dump: warning: ü"};
    return m;
}

std::string problem_of(const std::string& text) {
    try {
        manifest_from_json(text);
    } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::version);
        return error.message();
    }
    return "";
}

TEST(Manifest, RoundTrip) {
    const std::string text = manifest_to_json(full_manifest());
    EXPECT_EQ(text.back(), '\n');
    const Manifest read = manifest_from_json(text);
    EXPECT_EQ(manifest_to_json(read), text);
    EXPECT_EQ(read.size, full_manifest().size);
    EXPECT_EQ(read.database.settings[1].role, "röle");
    EXPECT_EQ(read.database.grants.size(), 2U);
    EXPECT_EQ(read.tables[0].name, "public.\"odd \n name\"");
    EXPECT_EQ(read.finished, full_manifest().finished);
    EXPECT_FALSE(read.role_passwords);
}

TEST(Manifest, DefaultGrantsAreNotNoGrants) {
    Manifest m = full_manifest();
    m.database.has_grants = true;
    m.database.grants.clear();
    EXPECT_TRUE(manifest_from_json(manifest_to_json(m)).database.has_grants);
    m.database.has_grants = false;
    EXPECT_FALSE(manifest_from_json(manifest_to_json(m)).database.has_grants);
}

TEST(Manifest, GlobalsHaveNoDatabase) {
    Manifest m = full_manifest();
    m.globals = true;
    m.artifact = "20260118T120000Z.globals";
    const std::string text = manifest_to_json(m);
    EXPECT_TRUE(Json::parse(text)["database"].is_null());
    EXPECT_TRUE(manifest_from_json(text).globals);
}

TEST(Manifest, NamesThatAreNotUtf8AreReplacedAndNeverFatal) {
    Manifest m = full_manifest();
    m.tables[0].name = "public.\"\xff\xfe\"";
    EXPECT_NO_THROW(manifest_from_json(manifest_to_json(m)));
}

// Every member: missing, null, of each wrong type. The message names it.
TEST(Manifest, EveryMemberIsDemandedByName) {
    const Json good = Json::parse(manifest_to_json(full_manifest()));
    const auto check = [](const Json& json, const std::string& name, const char* what) {
        const std::string problem = problem_of(json.dump());
        ASSERT_NE(problem, "") << name << " " << what;
        ASSERT_NE(problem.find(name), std::string::npos) << problem;
    };
    const auto spoil = [&](const Json::json_pointer& parent, const std::string& key,
                           const std::string& name) {
        Json without = good;
        without[parent].erase(key);
        if (key != "anomaly") {  // may be absent
            check(without, name, "missing");
        }
        for (const Json& wrong :
             {Json(nullptr), Json::object(), Json("x"), Json(-1.5), Json(true)}) {
            Json bad = good;
            const Json& was = good[parent][key];
            const bool fits = (wrong.is_string() && was.is_string() && key != "sha256" &&
                               key != "artifact" && !parse_time(was.get<std::string>())) ||
                              (wrong.is_boolean() && was.is_boolean()) ||
                              (wrong.is_null() && key == "grants");
            if (!fits) {
                bad[parent][key] = wrong;
                check(bad, name, wrong.dump().c_str());
            }
        }
    };
    for (const auto& [key, value] : good.items()) {
        spoil(Json::json_pointer(""), key, key);
        if (key == "database" || key == "server") {
            for (const auto& [inner, ignored] : value.items()) {
                spoil(Json::json_pointer("/" + key), inner, key + "." + inner);
            }
        }
    }
    for (const auto* member : {"name", "rows", "bytes"}) {
        spoil(Json::json_pointer("/tables/1"), member, "tables");
    }
}

TEST(Manifest, HostileTexts) {
    const Json good = Json::parse(manifest_to_json(full_manifest()));
    const auto changed = [&](const char* key, const Json& value) {
        Json bad = good;
        bad[key] = value;
        return problem_of(bad.dump());
    };
    EXPECT_NE(problem_of(""), "");
    EXPECT_NE(problem_of("[]"), "");
    EXPECT_NE(problem_of(good.dump().substr(0, 500)), "");
    EXPECT_NE(problem_of(std::string(100'000, '[')), "");
    EXPECT_NE(changed("artifact", "../../etc/passwd"), "");
    EXPECT_NE(changed("sha256", std::string(64, 'A')), "");
    EXPECT_NE(changed("size", -1), "");
    EXPECT_NE(changed("rows", 1e30), "");
    EXPECT_NE(changed("started", "2026-13-01T00:00:00.000Z"), "");
    EXPECT_NE(changed("format", 99).find("newer"), std::string::npos);
    EXPECT_EQ(changed("a member of the future", 1), "");
}

// Every number takes what its type holds, to the last one, and refuses the next.
TEST(Manifest, NumbersHaveLimits) {
    const std::string good = manifest_to_json(full_manifest());
    struct Limit {
        const char* pointer;
        const char* name;
        const char* most;
        const char* more;
        const char* least;
        const char* less;
    };
    std::vector<Limit> limits{
        {"/server/version_num", "server.version_num", "2147483647", "2147483648", "-2147483648",
         "-2147483649"},
        {"/database/connection_limit", "database.connection_limit", "2147483647", "2147483648",
         "-2147483648", "-2147483649"},
        {"/database/size", "database.size", "9223372036854775807", "9223372036854775808",
         "-9223372036854775808", "-9223372036854775809"},
    };
    for (const auto& [pointer, name] : std::vector<std::pair<const char*, const char*>>{
             {"/size", "size"},
             {"/sql_size", "sql_size"},
             {"/rows", "rows"},
             {"/large_objects", "large_objects"},
             {"/large_object_bytes", "large_object_bytes"},
             {"/audit_seq", "audit_seq"},
             {"/tables/0/rows", "tables.rows"},
             {"/tables/0/bytes", "tables.bytes"}}) {
        limits.push_back(
            {pointer, name, "18446744073709551615", "18446744073709551616", "0", "-1"});
    }
    const auto with = [&](const char* pointer, const std::string& number) {
        Json json = Json::parse(good);
        json[Json::json_pointer(pointer)] = Json::parse(number);
        return problem_of(json.dump());
    };
    for (const Limit& limit : limits) {
        EXPECT_EQ(with(limit.pointer, limit.most), "") << limit.name;
        EXPECT_EQ(with(limit.pointer, limit.least), "") << limit.name;
        for (const std::string bad :
             {limit.more, limit.less, "18446744073709551615.0", "1.5", "1e2", "\"1\"", "true"}) {
            const std::string problem = with(limit.pointer, bad);
            EXPECT_NE(problem.find('"' + std::string(limit.name) + '"'), std::string::npos)
                << limit.name << " " << bad << ": " << problem;
        }
    }
    EXPECT_NE(with("/format", "4294967297").find("\"format\""), std::string::npos);
}

TEST(Manifest, ElementsOfListsAreDemandedToo) {
    const Json good = Json::parse(manifest_to_json(full_manifest()));
    struct Bad {
        const char* pointer;
        Json value;
        const char* name;
    };
    for (const auto& [pointer, value, name] :
         std::vector<Bad>{{"/database/settings/0", 7, "database.settings"},
                          {"/database/settings/0/role", nullptr, "database.settings.role"},
                          {"/database/settings/1/setting", 1, "database.settings.setting"},
                          {"/database/grants/0", nullptr, "database.grants"},
                          {"/database/grants/0/grantee", 1, "database.grants.grantee"},
                          {"/database/grants/1/privilege", true, "database.grants.privilege"},
                          {"/database/grants/1/grantable", "yes", "database.grants.grantable"},
                          {"/tables/0", "public.t", "tables"},
                          {"/tables/1/name", 1, "tables.name"},
                          {"/pg_dump_arguments/0", 1, "pg_dump_arguments"},
                          {"/warnings/0", Json::object(), "warnings"}}) {
        Json bad = good;
        bad[Json::json_pointer(pointer)] = value;
        const std::string problem = problem_of(bad.dump());
        EXPECT_NE(problem.find('"' + std::string(name) + '"'), std::string::npos)
            << pointer << ": " << problem;
    }
}

TEST(Manifest, EveryMemberOfEveryListIsReadBack) {
    const Manifest read = manifest_from_json(manifest_to_json(full_manifest()));
    const Manifest want = full_manifest();
    EXPECT_EQ(read.database.grants[1].grantee, want.database.grants[1].grantee);
    EXPECT_EQ(read.database.grants[1].privilege, "TEMPORARY");
    EXPECT_TRUE(read.database.grants[1].grantable);
    EXPECT_EQ(read.database.settings[1].setting, "x=y");
    EXPECT_EQ(read.tables[0].rows, 3U);
    EXPECT_EQ(read.tables[0].bytes, 4U);
    EXPECT_EQ(read.pg_dump_arguments, want.pg_dump_arguments);
    EXPECT_EQ(read.warnings, want.warnings);
    EXPECT_EQ(read.snapshot_after, want.snapshot_after);
    EXPECT_EQ(read.snapshot_before, want.snapshot_before);
    EXPECT_EQ(read.retain_until, want.retain_until);
}

// The sentence says that it is this limit that refuses.
TEST(Manifest, BoundsOfDepthAndSize) {
    const std::string good = manifest_to_json(full_manifest());
    const std::string start = good.substr(0, good.rfind('}'));
    const auto nested = [&](std::size_t depth) {
        return start + ",\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
    };
    EXPECT_EQ(problem_of(nested(4)), "");
    for (const std::size_t depth : {20U, 10'000U, 1'000'000U}) {
        EXPECT_NE(problem_of(nested(depth)).find("nested too deeply"), std::string::npos) << depth;
    }
    EXPECT_NE(problem_of(std::string(1'000'000, '[')).find("nested too deeply"), std::string::npos);
    EXPECT_EQ(problem_of(good + std::string(kMaxManifestSize - good.size(), ' ')), "");
    EXPECT_NE(
        problem_of(good + std::string(kMaxManifestSize - good.size() + 1, ' ')).find("larger"),
        std::string::npos);
}

// However it is cut off or spoilt, it is a manifest or an Error, and never anything else.
TEST(Manifest, EveryTruncationIsRefused) {
    const std::string good = manifest_to_json(full_manifest());
    for (std::size_t length = 0; length + 2 <= good.size(); ++length) {
        ASSERT_NE(problem_of(good.substr(0, length)), "") << length;
    }
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const char byte : {'"', '-', '\xff'}) {
            std::string bad = good;
            bad[at] = byte;
            static_cast<void>(problem_of(bad));
        }
    }
}

}  // namespace
}  // namespace immbackup
