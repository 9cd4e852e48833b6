// What a run dumps, and whether there is room for it.
#include "backup/plan.h"

#include "store_fixture.h"

namespace immbackup {
namespace {

using test::throws_error;
using Names = std::vector<std::string>;

std::string described(const std::vector<DumpItem>& items) {
    std::string out;
    for (const auto& item : items) {
        out += (out.empty() ? "" : ", ") + item.title();
    }
    return out;
}

TEST(PlanRun, TheRunsListBeforeTheSettingsBeforeTheServers) {
    const Names existing{"a", "b"};
    struct {
        GlobalsMode globals;
        Names setting, asked;
        const char* expected;
    } const cases[] = {
        {GlobalsMode::automatic, {}, {}, R"(database "a", database "b", the globals)"},
        {GlobalsMode::automatic, {"b"}, {}, R"(database "b")"},
        {GlobalsMode::automatic, {}, {"c"}, R"(database "c")"},
        {GlobalsMode::automatic, {"b"}, {"c"}, R"(database "c")"},
        {GlobalsMode::on, {"b"}, {}, R"(database "b", the globals)"},
        {GlobalsMode::on, {}, {"c"}, R"(database "c", the globals)"},
        {GlobalsMode::off, {}, {}, R"(database "a", database "b")"},
    };
    for (const auto& c : cases) {
        Settings settings;
        settings.dump_globals = c.globals;
        settings.databases = c.setting;
        EXPECT_EQ(described(plan_run(settings, c.asked, existing)), c.expected);
    }
    EXPECT_TRUE(
        throws_error(ErrorCode::not_found, "no database", [] { plan_run(Settings(), {}, {}); }));
}

TEST(CheckNames, RefusesWhatCannotBeADatabaseOrAFile) {
    struct {
        Names names;
        const char* problem;  // nullptr: none
    } const cases[] = {
        {{}, nullptr},
        {{"a", "A", "globals", "sp ace", "größe"}, nullptr},
        {{std::string(70, 'x')}, nullptr},
        {{std::string(71, 'x')}, "too long"},
        {{"a", ""}, "is empty"},
        {{std::string("a\0b", 3)}, "zero byte"},
        {{"a", "b", "a"}, "\"a\" is given twice"},
    };
    for (const auto& c : cases) {
        const auto check = [&c] { check_names(c.names); };
        if (c.problem != nullptr) {
            EXPECT_TRUE(throws_error(ErrorCode::usage, c.problem, check));
        } else {
            EXPECT_NO_THROW(check());
        }
    }
}

TEST(CheckSeal, TheReasonIsInTheDetail) {
    EXPECT_NO_THROW(check_seal(SealLevel::vault, SealLevel::vault, ""));
    EXPECT_NO_THROW(check_seal(SealLevel::vault_dac, SealLevel::immutable, ""));
    EXPECT_NO_THROW(check_seal(SealLevel::readonly, SealLevel::readonly, ""));
    try {
        check_seal(SealLevel::vault_dac, SealLevel::vault, "The capability is missing.");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::permission);
        EXPECT_NE(error.message().find("as \"vault-dac\" only"), std::string::npos);
        EXPECT_EQ(error.detail(), "The capability is missing.");
    }
    EXPECT_THROW(check_seal(SealLevel::none, SealLevel::readonly, "x"), Error);
}

TEST(EstimateSize, OfTheNewestGoodArtifactOfTheSameDatabase) {
    Catalog catalog;
    const auto add = [&catalog](const char* stem, const char* database, bool globals,
                                std::uint64_t size, std::uint64_t seq, const char* state) {
        ArtifactEntry entry;
        entry.database = database;
        entry.globals = globals;
        entry.size = size;
        entry.sql_size = size * 5;
        entry.seq = seq;
        entry.state = state;
        catalog.artifacts[stem] = entry;
    };
    add("1", "shop", false, 1000, 9, "good");
    add("2", "shop", false, 2000, 3, "good");
    add("3", "shop", false, 7000, 10, "corrupt");
    add("4", "other", false, 9000, 11, "good");
    add("5", "", true, 500, 12, "good");

    const SizeEstimate shop = estimate_size(catalog, {"shop", false}, 1);
    EXPECT_EQ(shop.bytes, 1100U);
    EXPECT_EQ(shop.sql_bytes, 5000U);
    EXPECT_EQ(estimate_size(catalog, {"", true}, 0).bytes, 550U);

    const SizeEstimate unknown = estimate_size(catalog, {"new", false}, 8'000'000);
    EXPECT_EQ(unknown.bytes, 2'000'000U);
    EXPECT_EQ(unknown.sql_bytes, 8'000'000U);
    EXPECT_EQ(unknown.reason, "The database has 8.0 MB.");
}

TEST(CheckSpace, FitsToTheByteWithTheReserve) {
    constexpr std::uint64_t kReserve = 16ULL << 20;
    const DumpItem item{"shop", false};
    const SizeEstimate estimate{1'000'000, 0, "Its last artifact has 1.0 MB."};
    EXPECT_NO_THROW(check_space(item, estimate, 1'000'000 + kReserve, 0, "/backups"));
    EXPECT_TRUE(throws_error(
        ErrorCode::no_space, "not enough space to dump database \"shop\"",
        [&] { check_space(item, estimate, 1'000'000 + kReserve - 1, 0, "/backups"); }));
    try {
        check_space(item, estimate, 5'000'000, 0, "/backups");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.detail(),
                  "About 17.8 MB are needed, 16.8 MB of them as a reserve, and 5.0 MB are "
                  "available in \"/backups\". Its last artifact has 1.0 MB.");
    }
}

}  // namespace
}  // namespace immbackup
