// One exchange: stopped at once, bounded, http alone; and bytes a second that are shared.
#include "s3/http.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "io/fd.h"
#include "unit/local_listener.h"

namespace immbackup::s3::test {
namespace {

// Listens, and never answers; or answers one connection with a text.
class Listener {
  public:
    std::string url() const { return listener_.url() + "/"; }
    void answer(const std::string& text) {
        thread_ = std::thread([this, text] {
            const Fd peer = listener_.accept();
            char request[4096];
            EXPECT_GT(::recv(peer.get(), request, sizeof request, 0), 0);
            ::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
            // Until the client has gone, so that nothing is lost by closing first.
            while (::recv(peer.get(), request, sizeof request, 0) > 0) {
            }
        });
    }
    ~Listener() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

  private:
    immbackup::test::LocalListener listener_;
    std::thread thread_;
};

HttpRequest get(const std::string& url) {
    HttpRequest request;
    request.method = "GET";
    request.url = url;
    return request;
}

HttpAnswer answer_to(const std::string& text, const HttpRequest& request_template) {
    Listener listener;
    listener.answer(text);
    HttpRequest request = request_template;
    request.url = listener.url();
    const CancelToken cancel;
    HttpHandle handle({});
    return handle.perform(request, cancel);
}

TEST(S3Http, IsStoppedWhileItWaits) {
    const Listener silent;
    CancelToken cancel;
    HttpHandle handle({});
    std::thread other([&] { cancel.cancel(Error(ErrorCode::cancelled, "enough")); });
    try {
        handle.perform(get(silent.url()), cancel);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.message(), "enough");
    }
    other.join();
    EXPECT_THROW(handle.perform(get(silent.url()), cancel), Error);
}

TEST(S3Http, SpeaksHttpAlone) {
    const CancelToken cancel;
    HttpHandle handle({});
    for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"}) {
        const HttpAnswer answer = handle.perform(get(url), cancel);
        EXPECT_FALSE(answer.complete) << url;
        EXPECT_EQ(answer.body, "");
        EXPECT_NE(answer.failure, "");
    }
}

TEST(S3Http, Answers) {
    const HttpAnswer good = answer_to(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amz-A:  b \r\nConnection: close\r\n\r\nok",
        get(""));
    EXPECT_TRUE(good.complete);
    EXPECT_EQ(good.status, 200);
    EXPECT_EQ(good.header("x-amz-a"), "b");
    EXPECT_EQ(good.header("none"), "");
    EXPECT_EQ(good.body, "ok");
    EXPECT_TRUE(good.maybe_sent);

    HttpRequest bounded = get("");
    bounded.answer_limit = 1;
    const HttpAnswer large =
        answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", bounded);
    EXPECT_FALSE(large.complete);
    EXPECT_EQ(large.failure, "the answer is too large");

    // A redirect is an answer, and nobody goes there.
    const HttpAnswer moved = answer_to(
        "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: "
        "close\r\n\r\n",
        get(""));
    EXPECT_TRUE(moved.complete);
    EXPECT_EQ(moved.status, 301);

    // What the sink gets is a 2xx body alone; an error's is collected.
    std::string sunk;
    HttpRequest sink = get("");
    sink.sink = [&](std::span<const std::byte> bytes) {
        sunk.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    EXPECT_EQ(
        answer_to("HTTP/1.1 404 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", sink).body,
        "no");
    EXPECT_EQ(
        answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", sink).body,
        "");
    EXPECT_EQ(sunk, "ok");
    sink.sink = [](std::span<const std::byte>) { throw Error(ErrorCode::no_space, "full"); };
    EXPECT_THROW(
        answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", sink),
        Error);
}

TEST(S3Throttle, GrantsASliceAtATime) {
    Throttle none(0);
    EXPECT_EQ(none.take(1U << 30), 1U << 30);
    Throttle limited(16U << 20);
    EXPECT_EQ(limited.take(1U << 30), 1U << 20);
    EXPECT_EQ(limited.take(10), 10U);
    Throttle slow(1);
    EXPECT_EQ(slow.take(10), 1U);
}

TEST(S3Throttle, IsNeverFasterThanItsRate) {
    Throttle limited(500'000);
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t sent = 0; sent < 1'000'000;) {
        sent += limited.take(1'000'000 - sent);
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(1500));
}

}  // namespace
}  // namespace immbackup::s3::test
