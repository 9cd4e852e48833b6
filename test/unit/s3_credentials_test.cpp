// The chain of credentials: its order, each source, what is refused by name, and renewal. The
// world is given to it: variables, answers, a clock.
#include "s3/credentials.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "s3/lock_terms.h"
#include "unit/store_fixture.h"

namespace immbackup::s3::test {
namespace {

constexpr const char* kSecret = "theSecretKey0000";

class CredentialsTest : public testing::Test {
  protected:
    CredentialInputs inputs() {
        CredentialInputs out;
        out.environment = [this](const char* name) -> const char* {
            const auto found = variables_.find(name);
            return found == variables_.end() ? nullptr : found->second.c_str();
        };
        out.home = directory_.path();
        out.region = "eu-west-1";
        out.clock = [this] { return now_; };
        out.fetch = [this](const PlainRequest& request) {
            asked_.push_back(request);
            const auto found = answers_.find(request.method + " " + request.url);
            return found == answers_.end() ? PlainAnswer{0, "", "refused"} : found->second;
        };
        out.run = [this](const std::vector<std::string>& command) {
            command_ = command;
            return output_;
        };
        return out;
    }
    void file(const char* name, const std::string& text) {
        std::filesystem::create_directories(directory_.path() / ".aws");
        std::ofstream(directory_.path() / ".aws" / name) << text;
    }
    std::string path(const char* name) { return directory_.path() / ".aws" / name; }
    std::string source() { return find_credentials(inputs()).source; }
    // The message of what is thrown, which must not hold a secret.
    std::string refusal() {
        try {
            find_credentials(inputs());
        } catch (const Error& error) {
            const std::string all = error.message() + error.detail() + error.hint();
            EXPECT_EQ(all.find(kSecret), std::string::npos);
            return error.message();
        }
        return "found";
    }
    static std::string json(const char* token_name, const char* expiration) {
        return std::string(R"({"Version":1,"AccessKeyId":"AK","SecretAccessKey":")") + kSecret +
               "\",\"" + token_name + "\":\"T\",\"Expiration\":\"" + expiration + "\"}";
    }
    static std::string sts(const char* action) {
        return std::string("<") + action +
               "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" + action +
               "Result><Credentials><AccessKeyId>RK</AccessKeyId><SecretAccessKey>" + kSecret +
               "</SecretAccessKey><SessionToken>RT</SessionToken><Expiration>2026-01-18T13:00:00Z</"
               "Expiration>"
               "</Credentials></" +
               action + "Result></" + action + "Response>";
    }

    immbackup::test::TemporaryDirectory directory_;
    std::map<std::string, std::string> variables_;
    std::map<std::string, PlainAnswer> answers_;
    std::vector<PlainRequest> asked_;
    std::vector<std::string> command_;
    std::string output_;
    Time now_ = *parse_store_time("2026-01-18T12:00:00Z");
};

TEST_F(CredentialsTest, EachSourceComesBeforeTheNext) {
    // Everything is there; one after the other is taken away.
    variables_ = {{"AWS_ACCESS_KEY_ID", "AK"},
                  {"AWS_SECRET_ACCESS_KEY", kSecret},
                  {"AWS_WEB_IDENTITY_TOKEN_FILE", path("token")},
                  {"AWS_ROLE_ARN", "arn:role"},
                  {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/creds"}};
    file("token", "web-token\n");
    file("credentials",
         "[default]\naws_access_key_id = AK\naws_secret_access_key = theSecretKey0000\n");
    answers_["POST https://sts.eu-west-1.amazonaws.com/"] = {200, sts("AssumeRoleWithWebIdentity"),
                                                             ""};
    answers_["GET http://169.254.170.2/creds"] = {200, json("Token", "2026-01-18T13:00:00Z"), ""};
    answers_["PUT http://169.254.169.254/latest/api/token"] = {200, "imds-token", ""};
    const std::string roles =
        "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/";
    answers_[roles] = {200, "the-role", ""};
    answers_[roles + "the-role"] = {200, json("Token", "2026-01-18T13:00:00Z"), ""};

    EXPECT_EQ(source(), "the environment");
    variables_["AWS_ACCESS_KEY_ID"] = variables_["AWS_SECRET_ACCESS_KEY"] = "";
    EXPECT_EQ(source(), "STS (web identity)");
    EXPECT_NE(asked_.back().body.find("WebIdentityToken=web-token"), std::string::npos);
    EXPECT_FALSE(asked_.back().headers.contains("authorization"));
    variables_["AWS_ROLE_ARN"] = "";
    EXPECT_EQ(source(), "profile \"default\"");
    file("credentials", "");
    EXPECT_EQ(source(), "the container's endpoint");
    EXPECT_TRUE(asked_.back().local);
    variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "";
    EXPECT_EQ(source(), "the instance's metadata service");
    EXPECT_EQ(asked_.back().headers.at("x-aws-ec2-metadata-token"), "imds-token");
    variables_["AWS_EC2_METADATA_DISABLED"] = "true";
    EXPECT_EQ(refusal(), "there are no S3 credentials");
    variables_["AWS_EC2_METADATA_DISABLED"] = "";
    answers_.erase("PUT http://169.254.169.254/latest/api/token");  // IMDSv1 alone is not asked
    EXPECT_EQ(refusal(), "there are no S3 credentials");
}

TEST_F(CredentialsTest, ProfilesOfBothFiles) {
    file("config",
         "# comment\n[default]\nregion = x\naws_access_key_id = WRONG\n"
         "[profile backup]\n aws_access_key_id = NESTED\ncredential_process = /bin/keys \"a b\" "
         "$HOME\n"
         "s3 =\n  max = 3\n[sso-session backup]\naws_access_key_id = NOT_A_PROFILE\n");
    file("credentials",
         "[default]\r\naws_access_key_id=AK\r\naws_secret_access_key=theSecretKey0000\r\n"
         "aws_session_token = ST\r\n");
    const Credentials found = find_credentials(inputs());
    EXPECT_EQ(found.keys.access_key, "AK");
    EXPECT_EQ(found.keys.secret_key, kSecret);
    EXPECT_EQ(found.keys.session_token, "ST");
    EXPECT_FALSE(found.expiry);
    variables_["AWS_PROFILE"] = "backup";
    output_ = json("SessionToken", "2026-01-18T13:00:00Z");
    const Credentials process = find_credentials(inputs());
    EXPECT_EQ(process.source, "credential_process");
    EXPECT_EQ(command_, (std::vector<std::string>{"/bin/keys", "a b", "$HOME"}));
    EXPECT_EQ(process.expiry, parse_store_time("2026-01-18T13:00:00Z"));
    variables_["AWS_PROFILE"] = "nobody";
    EXPECT_NE(refusal().find("AWS_PROFILE names \"nobody\""), std::string::npos);
    variables_["AWS_PROFILE"] = "";
    variables_["AWS_SHARED_CREDENTIALS_FILE"] = path("none");
    variables_["AWS_CONFIG_FILE"] = path("none");
    EXPECT_EQ(refusal(), "there are no S3 credentials");
}

// As secrets are mounted in containers, and as files are switched off by hand.
TEST_F(CredentialsTest, LinksAreFollowedAndNothingIsEmpty) {
    file("real", "[default]\naws_access_key_id=AK\naws_secret_access_key=theSecretKey0000\n");
    std::filesystem::create_symlink(path("real"), path("link"));
    variables_["AWS_SHARED_CREDENTIALS_FILE"] = path("link");
    variables_["AWS_CONFIG_FILE"] = "/dev/null";
    EXPECT_EQ(find_credentials(inputs()).keys.access_key, "AK");
}

// As S3 itself has it where no region is named; a profile's own counts before that.
TEST_F(CredentialsTest, TheRegionOfSts) {
    file("token", "t");
    file("config",
         "[profile own]\nregion = cn-north-1\nrole_arn = a\nweb_identity_token_file = " +
             path("token") +
             "\n[profile bare]\nrole_arn = a\nweb_identity_token_file = " + path("token") + "\n");
    variables_["AWS_CONFIG_FILE"] = path("config");
    const struct {
        const char* profile;
        const char* region;
        const char* url;
    } cases[] = {{"bare", "", "https://sts.us-east-1.amazonaws.com/"},
                 {"own", "", "https://sts.cn-north-1.amazonaws.com.cn/"},
                 {"own", "eu-west-1", "https://sts.eu-west-1.amazonaws.com/"}};
    for (const auto& c : cases) {
        variables_["AWS_PROFILE"] = c.profile;
        answers_.clear();
        answers_["POST " + std::string(c.url)] = {200, sts("AssumeRoleWithWebIdentity"), ""};
        CredentialInputs in = inputs();
        in.region = c.region;
        EXPECT_EQ(find_credentials(in).keys.session_token, "RT") << c.url;
    }
}

TEST_F(CredentialsTest, RolesOfProfiles) {
    file("config",
         "[default]\nrole_arn = arn:one\nsource_profile = middle\nexternal_id = e&x\n"
         "[profile middle]\nrole_arn = arn:two\nsource_profile = keys\n"
         "[profile keys]\naws_access_key_id = AK\naws_secret_access_key = theSecretKey0000\n"
         "[profile self]\nrole_arn = arn:self\nsource_profile = self\naws_access_key_id = AK\n"
         "aws_secret_access_key = theSecretKey0000\n"
         "[profile loop]\nrole_arn = a\nsource_profile = pool\n"
         "[profile pool]\nrole_arn = a\nsource_profile = loop\n"
         "[profile none]\nrole_arn = a\n"
         "[profile empty]\nrole_arn = a\nsource_profile = nobody\n"
         "[profile environment]\nrole_arn = arn:env\ncredential_source = Environment\n"
         "[profile web]\nrole_arn = arn:web\nweb_identity_token_file = " +
             path("token") + "\n");
    file("token", "t");
    answers_["POST http://127.0.0.1:9000/"] = {200, sts("AssumeRole"), ""};
    variables_["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:9000";
    const Credentials found = find_credentials(inputs());
    EXPECT_EQ(found.keys.session_token, "RT");
    EXPECT_EQ(found.source, "STS (role \"arn:one\")");
    ASSERT_EQ(asked_.size(), 2U);
    EXPECT_NE(asked_[0].body.find("RoleArn=arn%3Atwo"), std::string::npos);
    EXPECT_NE(asked_[1].body.find("ExternalId=e%26x"), std::string::npos);
    EXPECT_NE(asked_[0].headers.at("authorization").find("Credential=AK/20260118/eu-west-1/sts/"),
              std::string::npos);
    EXPECT_NE(asked_[1].headers.at("authorization").find("Credential=RK/"), std::string::npos);
    EXPECT_EQ(asked_[1].headers.at("x-amz-security-token"), "RT");
    const struct {
        const char* profile;
        const char* part;
    } cases[] = {
        {"self", "found"},
        {"loop", "leads back to itself"},
        {"none", "neither source_profile nor"},
        {"empty", "no credentials to assume the role of profile \"empty\""},
        {"environment", "no credentials to assume"},
        {"web", "holds no credentials"},  // AssumeRole's answer to another question
    };
    for (const auto& c : cases) {
        variables_["AWS_PROFILE"] = c.profile;
        if (std::string_view(c.profile) == "web") {
            answers_["POST http://127.0.0.1:9000/"].body = sts("SomethingElse");
        }
        EXPECT_NE(refusal().find(c.part), std::string::npos) << c.profile << ": " << refusal();
    }
}

TEST_F(CredentialsTest, WhatIsNotSupportedIsRefusedByName) {
    variables_["AWS_PROFILE"] = "p";
    const struct {
        const char* text;
        const char* part;
    } cases[] = {
        {"sso_session = s", "uses SSO"},
        {"sso_start_url = https://x", "uses SSO"},
        {"role_arn = a\nsource_profile = p\nmfa_serial = arn:mfa", "mfa_serial"},
        {"credential_process = \"open", "a quote in it is not closed"},
        {"credential_process = x", "not a JSON object of version 1"},
        {"region = x", "there are no S3 credentials"},
    };
    variables_["AWS_EC2_METADATA_DISABLED"] = "true";
    for (const auto& c : cases) {
        file("config", std::string("[profile p]\n") + c.text + "\n");
        EXPECT_NE(refusal().find(c.part), std::string::npos) << refusal();
    }
    variables_ = {{"AWS_ACCESS_KEY_ID", "AK"}};
    EXPECT_NE(refusal().find("both, or neither"), std::string::npos);
    variables_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x"}};
    EXPECT_NE(refusal().find("plain http"), std::string::npos);
    for (const char* uri : {"http://localhost:1/x", "http://127.0.0.1/x?y",
                            "http://169.254.170.23/v1", "https://example.com/x"}) {
        variables_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri},
                      {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "tok"}};
        answers_ = {{std::string("GET ") + uri, {200, json("Token", "2026-01-18T13:00:00Z"), ""}}};
        EXPECT_EQ(refusal(), "found") << uri;
        EXPECT_EQ(asked_.back().headers.at("authorization"), "tok");
    }
    variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\r\nb: c";
    EXPECT_NE(refusal().find("line break"), std::string::npos);
}

TEST_F(CredentialsTest, BadAnswersShowNoSecret) {
    variables_ = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c"}};
    auto& answer = answers_["GET http://169.254.170.2/c"];
    const struct {
        PlainAnswer answer;
        const char* part;
    } cases[] = {
        {{0, "", "timed out"}, "timed out"},
        {{403, kSecret, ""}, "answered 403"},
        {{200, kSecret, ""}, "not a JSON object"},
        {{200, std::string("{\"SecretAccessKey\":\"") + kSecret + "\"}", ""}, "no AccessKeyId"},
        {{200, json("Token", kSecret), ""}, "Expiration is not a time"},
    };
    for (const auto& c : cases) {
        answer = c.answer;
        EXPECT_NE(refusal().find(c.part), std::string::npos) << refusal();
    }
    variables_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", path("token")}, {"AWS_ROLE_ARN", "arn:role"}};
    file("token", kSecret);
    answers_["POST https://sts.eu-west-1.amazonaws.com/"] = {
        403,
        std::string("<ErrorResponse><Error><Code>AccessDenied</Code><Message>") + kSecret +
            "</Message></Error></ErrorResponse>",
        ""};
    EXPECT_NE(refusal().find("it answered 403 AccessDenied"), std::string::npos) << refusal();
}

TEST_F(CredentialsTest, RenewedBeforeTheyExpire) {
    variables_ = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c"}};
    auto& answer = answers_["GET http://169.254.170.2/c"];
    answer = {200, json("Token", "2026-01-18T13:00:00Z"), ""};
    CredentialChain chain(inputs());
    const Credentials first = chain.get();
    chain.get();
    EXPECT_EQ(asked_.size(), 1U);
    now_ = *parse_store_time("2026-01-18T12:54:59Z");
    chain.get();
    EXPECT_EQ(asked_.size(), 1U);
    now_ = *parse_store_time("2026-01-18T12:55:01Z");
    answer = {500, "", ""};
    EXPECT_EQ(chain.get().keys.access_key, "AK");  // still valid: a failed renewal does no harm
    EXPECT_EQ(asked_.size(), 2U);
    now_ = *parse_store_time("2026-01-18T13:00:00Z");
    EXPECT_THROW(chain.get(), Error);
    answer = {200, json("Token", "2026-01-18T14:00:00Z"), ""};
    chain.get();
    // The store says that they have expired.
    chain.expired(first);
    const std::size_t before = asked_.size();
    chain.get();
    EXPECT_EQ(asked_.size(), before + 1);
}

}  // namespace
}  // namespace immbackup::s3::test
