// What comes over the wire, in pieces of every size.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "vault/channel.h"
#include "vault/failure.h"

namespace immbackup::vault {
namespace {

Channel::Read pieces(std::string text, std::size_t step) {
    return [text = std::move(text), step, at = std::size_t{0}](std::span<char> out) mutable {
        const std::size_t count = std::min({step, out.size(), text.size() - at});
        std::memcpy(out.data(), text.data() + at, count);
        at += count;
        return count;
    };
}

std::string frame(char kind, const std::string& body, std::uint32_t length) {
    std::string out(1, kind);
    for (int shift = 24; shift >= 0; shift -= 8) {
        out += static_cast<char>(length >> shift);
    }
    return out + body;
}
std::string data(const std::string& body) {
    return frame('D', body, static_cast<std::uint32_t>(body.size()));
}
std::string commit(const std::string& all, std::uint64_t size) {
    std::string body;
    for (int shift = 56; shift >= 0; shift -= 8) {
        body += static_cast<char>(size >> shift);
    }
    Sha256 sha;
    sha.update(all);
    for (const unsigned char byte : sha.finish()) {
        body += static_cast<char>(byte);
    }
    return frame('C', body, 40);
}

Code code_of(const std::string& line) {
    try {
        parse_request(line);
    } catch (const Failure& failure) {
        return failure.code;
    }
    return Code::internal;
}

TEST(VaultRequest, Verbs) {
    const Request put = parse_request(
        "put retain_until=2026-01-18T12:00:00.000Z stem=20260118T120000Z.a%2520b database=a%2520b");
    EXPECT_EQ(put.verb->name, "put");
    EXPECT_EQ(put.get("stem"), "20260118T120000Z.a%20b");
    EXPECT_EQ(put.get("reader"), "");
    EXPECT_EQ(parse_request("status").verb->name, "status");
    EXPECT_EQ(parse_request("accept-clock actor=me reason=a%20b%5Cu00e4").get("reason"),
              "a b\\u00e4");
}

TEST(VaultRequest, WhatIsNoRequest) {
    for (const char* bad : {"",
                            " ",
                            "status ",
                            " status",
                            "status  full=1",
                            "STATUS",
                            "status full=0",
                            "status full=",
                            "status full",
                            "status =1",
                            "status colour=1",
                            "status full=1 full=1",
                            "put",
                            "put stem=20260118T120000Z",
                            "purge stem=../../etc/passwd",
                            "purge stem=20260118T120000Z%2F",
                            "purge stem=20260118T120000Z%00",
                            "purge stem=20260118T120000Z.a%2F",
                            "purge stem=20260118T120000",
                            "put stem=20260118T120000Z database=a retain_until=tomorrow",
                            "append event=x origin=vault",
                            "append event=vault_sealed origin=job",
                            "append event=log_adopted origin=job",
                            "append event=log_torn origin=job",
                            "append event=X origin=job",
                            "append event=x",
                            "hold stem=20260118T120000Z",
                            "hold stem=20260118T120000Z actor=%FF",
                            "hold stem=20260118T120000Z actor=%C3%A4",
                            "hold stem=20260118T120000Z actor=%22",
                            "hold stem=20260118T120000Z actor=a%22,%22b%22:%22c",
                            "hold stem=20260118T120000Z actor=%5C",
                            "hold stem=20260118T120000Z actor=%5Cx",
                            "hold stem=20260118T120000Z actor=%0A",
                            "status\r",
                            "release stem=20260118T120000Z actor=a reason=%"}) {
        EXPECT_EQ(code_of(bad), Code::usage) << bad;
    }
    EXPECT_EQ(code_of("hold stem=20260118T120000Z actor=" + std::string(769, 'a')), Code::usage);
    EXPECT_EQ(code_of("hold stem=20260118T120000Z actor=a reason=" + std::string(3073, 'a')),
              Code::usage);
}

TEST(VaultChannel, RequestsAndContentInPiecesOfAnySize) {
    const std::string body = std::string(5000, 'x') + "y";
    const std::string stream = "status\n" + data(body.substr(0, 4000)) + data(body.substr(4000)) +
                               commit(body, body.size()) + "list\n";
    for (const std::size_t step : {1U, 3U, 4096U, 100'000U}) {
        Channel channel(pieces(stream, step));
        EXPECT_EQ(channel.read_request(), "status");
        std::string read;
        const Commit got = channel.read_content(
            [&](std::span<const char> block) { read.append(block.data(), block.size()); });
        EXPECT_EQ(read, body);
        EXPECT_EQ(got.size, body.size());
        EXPECT_EQ(channel.read_request(), "list");
        EXPECT_FALSE(channel.read_request());
        EXPECT_EQ(channel.contents_begun(), 1U);
    }
}

// How a content ends: its code, or "hangup", or "published".
std::string end_of(const std::string& stream) {
    Channel channel(pieces(stream, 11));
    try {
        channel.read_content([](std::span<const char>) {});
    } catch (const Failure& failure) {
        return code_name(failure.code);
    } catch (const Hangup&) {
        return "hangup";
    }
    return "published";
}

TEST(VaultChannel, OnlyACommitThatFitsPublishes) {
    const std::string whole = data("abc") + commit("abc", 3);
    EXPECT_EQ(end_of(whole), "published");
    EXPECT_EQ(end_of(commit("", 0)), "published");
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        EXPECT_EQ(end_of(whole.substr(0, cut)), "hangup") << cut;
    }
    EXPECT_EQ(end_of(data("abc") + commit("abc", 4)), "corrupt");
    EXPECT_EQ(end_of(data("abc") + commit("abd", 3)), "corrupt");
    EXPECT_EQ(end_of(data("abc") + frame('X', "", 0)), "cancelled");
    EXPECT_EQ(end_of(frame('D', "", 0)), "usage");
    EXPECT_EQ(end_of(frame('D', "", kMaxFrame + 1)), "usage");
    EXPECT_EQ(end_of(frame('D', "", 0xFFFFFFFF)), "usage");
    EXPECT_EQ(end_of(frame('C', "", 39)), "usage");
    EXPECT_EQ(end_of(frame('X', "", 1)), "usage");
    EXPECT_EQ(end_of(frame('E', "a", 1)), "usage");
    EXPECT_EQ(end_of("put stem=x\n"), "usage");
}

TEST(VaultChannel, WhatNobodyGoesOnWithEnds) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    Channel channel(reader_of(ends[0], 50));
    ASSERT_EQ(::write(ends[1], "status\nput", 10), 10);
    EXPECT_EQ(channel.read_request(), "status");
    EXPECT_THROW(channel.read_request(), Hangup);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(VaultChannel, LongAndCutRequests) {
    Channel longest(pieces(std::string(kMaxRequest - 1, 'a') + '\n', 1000));
    EXPECT_EQ(longest.read_request()->size(), kMaxRequest - 1);
    Channel too_long(pieces(std::string(kMaxRequest, 'a') + '\n', 1000));
    EXPECT_THROW(too_long.read_request(), Failure);
    Channel cut(pieces("statu", 10));
    EXPECT_THROW(cut.read_request(), Hangup);
}

}  // namespace
}  // namespace immbackup::vault
