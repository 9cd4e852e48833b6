// The statements that make a database again.
#include "restore/database_ddl.h"

#include "store_fixture.h"

namespace immbackup {
namespace {

using test::throws_error;

DatabaseProperties database(const char* provider) {
    DatabaseProperties out;
    out.encoding = "UTF8";
    out.locale_provider = provider;
    out.collate = "C.UTF-8";
    out.ctype = "de_AT.UTF-8";
    out.locale = std::string(provider) == "libc" ? "" : "und-x-icu";
    return out;
}

TEST(CreateDatabase, OptionsByProviderAndVersion) {
    const std::string begin =
        "CREATE DATABASE \"new\" WITH TEMPLATE = template0 OWNER = \"app\" ENCODING = 'UTF8' "
        "LC_COLLATE = 'C.UTF-8' LC_CTYPE = 'de_AT.UTF-8'";
    struct {
        const char* provider;
        int version;
        const char* end;  // nullptr: refused
    } const cases[] = {
        {"libc", 140019, ""},
        {"libc", 150018, " LOCALE_PROVIDER = libc"},
        {"icu", 140019, nullptr},
        {"icu", 150018, " LOCALE_PROVIDER = icu ICU_LOCALE = 'und-x-icu'"},
        {"builtin", 160010, nullptr},
        {"builtin", 170006, " LOCALE_PROVIDER = builtin BUILTIN_LOCALE = 'und-x-icu'"},
    };
    for (const auto& c : cases) {
        const auto make = [&c] {
            return create_database_statement(database(c.provider), "new", "app", c.version);
        };
        if (c.end != nullptr) {
            EXPECT_EQ(make(), begin + c.end) << c.provider << c.version;
        } else {
            EXPECT_TRUE(throws_error(ErrorCode::version, c.provider, make)) << c.version;
        }
    }
    DatabaseProperties rules = database("icu");
    rules.icu_rules = "&a < b";
    EXPECT_TRUE(
        create_database_statement(rules, "d", "", 160000).ends_with(" ICU_RULES = '&a < b'"));
    EXPECT_EQ(create_database_statement(rules, "d", "", 150000).find("RULES"), std::string::npos);
}

TEST(CreateDatabase, EveryNameIsQuoted) {
    DatabaseProperties odd;
    odd.encoding = "it's";
    EXPECT_EQ(create_database_statement(odd, "a\"b;c", "o\"x", 150000),
              "CREATE DATABASE \"a\"\"b;c\" WITH TEMPLATE = template0 OWNER = \"o\"\"x\" "
              "ENCODING = 'it''s'");
}

std::vector<std::string> statements(const DatabaseProperties& properties) {
    std::vector<std::string> out;
    for (const auto& statement : database_property_statements(properties, "d")) {
        out.push_back(statement.sql + (statement.role.empty() ? "" : " -- " + statement.role));
    }
    return out;
}

using Statements = std::vector<std::string>;

TEST(DatabaseProperties, NothingForADatabaseAsItIsMade) {
    EXPECT_EQ(statements(DatabaseProperties()), Statements{});
}

TEST(DatabaseProperties, LimitAndComment) {
    DatabaseProperties properties;
    properties.connection_limit = 0;
    properties.comment = "it's a \\ test";
    EXPECT_EQ(statements(properties),
              (Statements{"ALTER DATABASE \"d\" CONNECTION LIMIT 0",
                          "COMMENT ON DATABASE \"d\" IS E'it''s a \\\\ test'"}));
}

TEST(DatabaseProperties, SettingsMeanWhatTheyMeant) {
    struct {
        const char* setting;
        const char* clause;
    } const cases[] = {
        {"work_mem=4MB", R"("work_mem" TO '4MB')"},
        {"application_name=a=b", R"("application_name" TO 'a=b')"},
        {"myapp.key=x, y", R"("myapp"."key" TO 'x, y')"},
        {"DateStyle=ISO, DMY", R"("DateStyle" TO 'ISO, DMY')"},
        // Lists of names stay lists.
        {"search_path=app, public", R"("search_path" TO 'app', 'public')"},
        {R"(search_path="$user", "odd,""name")", R"("search_path" TO '$user', 'odd,"name')"},
        // What SET search_path = '' is stored as.
        {R"(search_path="")", R"("search_path" TO '')"},
        {R"(search_path="", app)", R"("search_path" TO '', 'app')"},
        {"temp_tablespaces=", R"("temp_tablespaces" TO '')"},
    };
    for (const auto& c : cases) {
        DatabaseProperties properties;
        properties.settings = {{"", c.setting}, {"app", c.setting}};
        EXPECT_EQ(statements(properties),
                  (Statements{std::string("ALTER DATABASE \"d\" SET ") + c.clause,
                              std::string("ALTER ROLE \"app\" IN DATABASE \"d\" SET ") + c.clause +
                                  " -- app"}));
    }
}

TEST(DatabaseProperties, GrantsBeginFromNothing) {
    DatabaseProperties properties;
    properties.grants = {{"app", "CONNECT", false}};
    EXPECT_EQ(statements(properties), Statements{}) << "the default privileges";
    properties.has_grants = true;
    properties.grants.push_back({"", "TEMPORARY", false});
    properties.grants.push_back({"o\"x", "CREATE", true});
    EXPECT_EQ(
        statements(properties),
        (Statements{"REVOKE ALL ON DATABASE \"d\" FROM PUBLIC",
                    "GRANT CONNECT ON DATABASE \"d\" TO \"app\" -- app",
                    "GRANT TEMPORARY ON DATABASE \"d\" TO PUBLIC",
                    "GRANT CREATE ON DATABASE \"d\" TO \"o\"\"x\" WITH GRANT OPTION -- o\"x"}));
    properties.grants = {{"app", "CONNECT ON DATABASE x TO y; --", false}};
    EXPECT_TRUE(throws_error(ErrorCode::corrupt, "privilege", [&] { statements(properties); }));
}

}  // namespace
}  // namespace immbackup
