// Where the program takes its settings from.
#include "cli/options.h"

#include "store_fixture.h"

namespace immbackup {
namespace {

using test::throws_error;

// The environment without a setting of ours, put back at the end.
class CliOptions : public testing::Test {
  protected:
    void SetUp() override {
        for (const auto& definition : setting_definitions()) {
            std::string_view names = definition.environment;
            while (!names.empty()) {
                const auto comma = std::min(names.find(','), names.size());
                ::unsetenv(std::string(names.substr(0, comma)).c_str());
                names.remove_prefix(std::min(comma + 1, names.size()));
            }
        }
    }
    void parse(const std::vector<std::string>& arguments) {
        CLI::App app;
        CLI::App* command = app.add_subcommand("test");
        add_setting_options(*command, context_, {"nice", "password_file"});
        add_connection_options(*command, context_);
        add_json_option(*command, context_);
        add_quiet_option(*command, context_);
        auto reversed = std::vector<std::string>(arguments.rbegin(), arguments.rend());
        reversed.emplace_back("test");
        app.parse(reversed);
    }
    std::string origin(const char* name) const {
        const Context::Origin found = context_.setting_origins().at(name);
        return found.text + " from " + found.from;
    }

    Context context_;
};

TEST_F(CliOptions, FlagsBeforeEnvironmentBeforeDefault) {
    EXPECT_EQ(origin("nice"), "10 from default");
    ::setenv("BACKUP_NICE", "", 1);
    EXPECT_EQ(origin("nice"), "10 from default");
    ::setenv("BACKUP_NICE", "7", 1);
    EXPECT_EQ(origin("nice"), "7 from environment variable BACKUP_NICE");
    EXPECT_EQ(context_.settings().nice, 7);
    parse({"--nice", "9"});
    EXPECT_EQ(origin("nice"), "9 from command line");
    EXPECT_EQ(context_.settings().nice, 9);
}

TEST_F(CliOptions, FlagsAreNamedAsTheSettings) {
    parse({"--password-file", "/p", "--host", "h", "--port", "1", "--username", "u", "--directory",
           "/d", "--bindir", "/b", "--json", "--quiet"});
    EXPECT_EQ(context_.flags, (SettingTexts{{"password_file", "/p"},
                                            {"host", "h"},
                                            {"port", "1"},
                                            {"username", "u"},
                                            {"directory", "/d"}}));
    EXPECT_EQ(context_.bindir, "/b");
    EXPECT_TRUE(context_.json);
    EXPECT_TRUE(context_.quiet);
    EXPECT_THROW(parse({"--schedule", "x"}), CLI::ParseError) << "this command has no such flag";
    EXPECT_THROW(parse({"--password_file", "/p"}), CLI::ParseError);
}

TEST_F(CliOptions, AnUnknownSettingIsABugOfOurs) {
    CLI::App app;
    EXPECT_TRUE(throws_error(ErrorCode::internal, "no setting \"x\"",
                             [&] { add_setting_options(app, context_, {"x"}); }));
}

TEST_F(CliOptions, OnlyTheDirectoryCountsWhereNothingElseIsNeeded) {
    ::setenv("BACKUP_NICE", "much", 1);
    ::setenv("BACKUP_DIR", "/somewhere", 1);
    EXPECT_TRUE(throws_error(ErrorCode::config, "immbackup.nice", [&] { context_.settings(); }));
    EXPECT_EQ(context_.directory(), "/somewhere");
    ::setenv("BACKUP_DIR", "relative", 1);
    EXPECT_TRUE(throws_error(ErrorCode::config, "directory", [&] { context_.directory(); }));
}

TEST_F(CliOptions, NoAuditLogIsMadeInAPlaceThatHasNone) {
    const test::TemporaryDirectory directory;
    const auto store = open_local_store(directory.path());
    fs::remove(store->layout().audit_log());
    EXPECT_TRUE(throws_error(ErrorCode::audit, "no audit log",
                             [&] { static_cast<void>(context_.open_audit(*store)); }));
    EXPECT_FALSE(fs::exists(store->layout().audit_log()));
}

}  // namespace
}  // namespace immbackup
