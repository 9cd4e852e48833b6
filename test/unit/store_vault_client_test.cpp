// The client of the vault's helper, against helpers that do everything wrong: each call ends in
// time with a clear error.
#include "store/vault_client.h"

#include <thread>

#include "core/digest.h"
#include "unit/bytes.h"
#include "unit/fake_vault.h"

namespace immbackup::test {
namespace {

TEST(VaultAnswers, AreParsed) {
    const VaultAnswer answer =
        parse_vault_answer("ok stem=20260118T120000Z.a%2520b size=18446744073709551615 x=%FF");
    EXPECT_EQ(answer.text("stem"), "20260118T120000Z.a%20b");
    EXPECT_EQ(answer.number("size"), 18446744073709551615ULL);
    EXPECT_EQ(answer.text("x"), "\xFF");
    EXPECT_FALSE(answer.has("y"));
    EXPECT_TRUE(parse_vault_answer("ok").fields.empty());
    EXPECT_TRUE(throws_error(ErrorCode::version, "left out \"y\"", [&] { answer.text("y"); }));
    EXPECT_TRUE(throws_error(ErrorCode::version, "none", [&] { answer.number("stem"); }));
}

TEST(VaultAnswers, ErrorsAreThrownWithTheirHint) {
    try {
        parse_vault_answer("error permission it%20is%20held Ask%20an%20operator.");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::permission);
        EXPECT_EQ(error.message(), "it is held");
        EXPECT_EQ(error.hint(), "Ask an operator.");
    }
}

TEST(VaultAnswers, AnythingElseIsNone) {
    for (const char* line :
         {"", "OK", "okay", "ok x", "ok =1", "ok x=1 x=2", "ok x=%", "ok x=%4", "ok x=%4g",
          "ok  x=1", "error", "error permission", "error ok fine", "error wax x", "error io a b c",
          "error io %zz", "warning", "\x1b[2J"}) {
        EXPECT_TRUE(throws_error(ErrorCode::version, "none", [&] { parse_vault_answer(line); }))
            << line;
    }
}

TEST(VaultAnswers, WordsAreEncoded) {
    EXPECT_EQ(vault_word("a b%\n\xC3\xA4"), "a%20b%25%0A%C3%A4");
    EXPECT_EQ(vault_text_field("reason", "a \"b\"\\\n\xC3\xA4\xF0\x9F\x98\x80\xFF"),
              " reason=a%20%5C%22b%5C%22%5C%5C%5Cn%5Cu00e4%5Cud83d%5Cude00%5Cufffd");
    EXPECT_EQ(vault_text_field("reason", ""), "");
    EXPECT_EQ(vault_field("reason", ""), "");
    EXPECT_EQ(vault_field("stem", "20260118T120000Z.a%20b"), " stem=20260118T120000Z.a%2520b");
}

// A program that is started, as the set-uid one is.
class Program : public testing::Test {
  protected:
    // A shell script as the helper.
    std::string helper(const std::string& script) {
        const fs::path path = directory_.path() / "helper";
        put(path, "#!/bin/sh\n" + script + "\n", 0755);
        return path.string();
    }
    TemporaryDirectory directory_;
};

TEST_F(Program, AnswersRequestsOneAfterTheOther) {
    VaultClient client(helper(R"(printf 'immbackup-vault 1 0.1.0 more\n'
        while read -r verb rest; do printf 'ok verb=%s\n' "$verb"; done)"));
    EXPECT_EQ(client.greeting(), "0.1.0 more");
    EXPECT_EQ(client.ask("status").text("verb"), "status");
    EXPECT_EQ(client.ask("list full=1").text("verb"), "list");
    EXPECT_TRUE(client.usable());
}

TEST_F(Program, GetsNothingOfOurEnvironment) {
    ::setenv("AWS_SECRET_ACCESS_KEY", "very secret", 1);
    VaultClient client(helper(R"(printf 'immbackup-vault 1 0.1.0\n'
        read -r line; printf 'ok key=%s\n' "${AWS_SECRET_ACCESS_KEY-none}")"));
    EXPECT_EQ(client.ask("status").text("key"), "none");
    ::unsetenv("AWS_SECRET_ACCESS_KEY");
}

TEST_F(Program, ErrorsLeaveItUsable) {
    VaultClient client(helper(R"(printf 'immbackup-vault 1 0.1.0\n'
        read -r line; printf 'error not_found there%%20is%%20none\n'
        read -r line; printf 'ok\n'; read -r line)"));
    EXPECT_TRUE(throws_error(ErrorCode::not_found, "there is none", [&] { client.ask("hold"); }));
    EXPECT_TRUE(client.usable());
    EXPECT_TRUE(client.ask("status").fields.empty());
}

TEST_F(Program, IsMissing) {
    EXPECT_TRUE(throws_error(ErrorCode::config, "helper",
                             [&] { VaultClient client((directory_.path() / "none").string()); }));
    EXPECT_TRUE(throws_error(ErrorCode::config, "is not known", [&] { VaultClient client(""); }));
    put(directory_.path() / "text", "no program", 0644);
    EXPECT_TRUE(throws_error(ErrorCode::config, "text",
                             [&] { VaultClient client((directory_.path() / "text").string()); }));
}

TEST_F(Program, SpeaksAnotherVersion) {
    EXPECT_TRUE(throws_error(ErrorCode::version, "version 2", [&] {
        VaultClient client(helper("printf 'immbackup-vault 2 9.0.0\\n'; read -r line"));
    }));
}

TEST_F(Program, SpeaksGarbage) {
    EXPECT_TRUE(throws_error(ErrorCode::version, "none", [&] {
        VaultClient client(helper("printf 'usage: vault\\n'; read -r line"));
    }));
    // Without end.
    EXPECT_TRUE(throws_error(ErrorCode::version, "none",
                             [&] { VaultClient client(helper("exec cat /dev/zero")); }));
}

TEST_F(Program, EndsAtOnce) {
    try {
        VaultClient client(helper("exit 3"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::io);
        EXPECT_NE(error.detail().find("exit code 3"), std::string::npos) << error.detail();
    }
}

TEST_F(Program, DiesInTheMiddle) {
    VaultClient client(helper(R"(printf 'immbackup-vault 1 0.1.0\n'; read -r line
        printf 'ok ver'; kill -9 $$)"));
    try {
        client.ask("status");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::io);
        EXPECT_NE(error.detail().find("signal 9"), std::string::npos) << error.detail();
    }
    EXPECT_FALSE(client.usable());
    EXPECT_TRUE(throws_error(ErrorCode::io, "any more", [&] { client.ask("status"); }));
}

TEST_F(Program, Hangs) {
    const std::uint64_t begun = monotonic_ms();
    {
        EXPECT_TRUE(throws_error(ErrorCode::timeout, "does not answer", [&] {
            VaultClient client(helper("exec sleep 60 2>/dev/null"), 50);
        }));
    }
    {
        // It reads its requests and goes on when they end.
        VaultClient client(helper(
            R"(printf 'immbackup-vault 1 0.1.0\n'; read -r line; exec sleep 60 2>/dev/null)"));
        EXPECT_TRUE(
            throws_error(ErrorCode::timeout, "does not answer", [&] { client.ask("status", 50); }));
    }
    EXPECT_LT(monotonic_ms() - begun, 20'000U);
}

// A service behind a socket.
TEST(Service, TakesContentAndAnswers) {
    std::string got;
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("ok\n");
        got = peer.content().value_or("(cut off)");
        peer.say("ok size=" + std::to_string(got.size()) + "\n");
    });
    VaultClient client(vault.path());
    client.ask("append event=x origin=job");
    const std::string content(3'000'000, 'x');
    client.write_content(bytes_of(content));
    client.commit(content.size(), sha256_hex(content));
    EXPECT_EQ(client.read_answer().number("size"), content.size());
    EXPECT_EQ(got, content);
}

TEST(Service, PassesADescriptor) {
    TemporaryDirectory directory;
    put(directory.path() / "file", "grows");
    const Fd file(::open((directory.path() / "file").c_str(), O_RDONLY | O_CLOEXEC));
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say_with("ok level=vault\n", file.get());
        peer.line();
    });
    VaultClient client(vault.path());
    const VaultAnswer answer = client.ask("put");
    ASSERT_TRUE(answer.descriptor);
    EXPECT_NE(::fcntl(answer.descriptor.get(), F_GETFD) & FD_CLOEXEC, 0);
    char buffer[8]{};
    EXPECT_EQ(::pread(answer.descriptor.get(), buffer, sizeof buffer, 0), 5);
    EXPECT_STREQ(buffer, "grows");
}

TEST(Service, RefusesInTheMiddleOfContent) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("ok\n");
        peer.line();
        peer.say("error no_space the%20quota%20is%20used%20up\n");
    });
    VaultClient client(vault.path());
    client.ask("put");
    const std::string content(64 * 1024, '\n');
    EXPECT_TRUE(throws_error(ErrorCode::no_space, "the quota is used up", [&] {
        for (int i = 0; i < 1000; ++i) {
            client.write_content(bytes_of(content));
        }
        client.read_answer();
    }));
    EXPECT_FALSE(client.usable());
}

TEST(Service, GoesAwayInTheMiddleOfContent) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("ok\n");
    });
    VaultClient client(vault.path());
    client.ask("put");
    const std::string content(64 * 1024, 'x');
    EXPECT_TRUE(throws_error(ErrorCode::io, "ended without an answer", [&] {
        for (int i = 0; i < 1000; ++i) {
            client.write_content(bytes_of(content));
        }
        client.read_answer();
    }));
}

TEST(Service, TakesNothingUntilCancelled) {
    std::atomic<bool> over{false};
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        while (!over) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    });
    CancelToken cancel;
    VaultClient client(vault.path());
    client.watch(&cancel);
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        cancel.cancel(Error(ErrorCode::cancelled, "enough"));
    });
    const std::string content(16 * 1024 * 1024, 'x');
    EXPECT_TRUE(throws_error(ErrorCode::cancelled, "enough",
                             [&] { client.write_content(bytes_of(content)); }));
    canceller.join();
    over = true;
    EXPECT_FALSE(client.usable());
}

TEST(Service, IsNotThere) {
    TemporaryDirectory directory;
    const fs::path path = directory.path() / "socket";
    {
        const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    EXPECT_TRUE(
        throws_error(ErrorCode::config, "connect", [&] { VaultClient client(path.string()); }));
}

TEST(Service, ClosesBetweenRequests) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("ok\n");
    });
    VaultClient client(vault.path());
    client.ask("status");
    for (int i = 0; i < 1000 && client.usable(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_FALSE(client.usable());
}

TEST(Service, ListsItems) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("artifact stem=a state=sealed\nforeign file=active/x%20y\nok count=1\n");
        peer.line();
    });
    VaultClient client(vault.path());
    std::vector<std::string> seen;
    const VaultAnswer end =
        client.ask("list", [&](std::string_view kind, const VaultAnswer& fields) {
            seen.push_back(std::string(kind) + " " + fields.fields.rbegin()->second);
        });
    EXPECT_EQ(end.number("count"), 1U);
    EXPECT_EQ(seen, (std::vector<std::string>{"artifact a", "foreign active/x y"}));
}

}  // namespace
}  // namespace immbackup::test
