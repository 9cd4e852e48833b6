#include "s3/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <set>
#include <thread>

namespace immbackup::s3 {

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

std::string_view trimmed(std::string_view text) {
    constexpr const char* kBlanks = " \t\r\n";
    const std::size_t first = text.find_first_not_of(kBlanks);
    return first == std::string_view::npos
               ? std::string_view()
               : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

namespace {

void prepare_curl() {
    static std::once_flag once;
    std::call_once(once, [] {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
            throw Error(ErrorCode::internal, "libcurl could not be set up");
        }
    });
}

template <typename T>
void set(CURL* easy, CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(easy, option, value);
    if (code != CURLE_OK) {
        throw Error(ErrorCode::internal,
                    std::string("libcurl refused an option: ") + curl_easy_strerror(code));
    }
}

struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) {
        throw std::bad_alloc();
    }
    list.release();
    list.reset(longer);
}

}  // namespace

std::size_t Throttle::take(std::size_t wanted) {
    if (rate_ == 0) {
        return wanted;
    }
    const std::size_t granted = std::min<std::size_t>(
        wanted, std::max<std::size_t>(1, static_cast<std::size_t>(rate_ / 16)));
    const auto cost = std::chrono::nanoseconds(
        static_cast<std::int64_t>(1e9 * static_cast<double>(granted) / static_cast<double>(rate_)));
    std::chrono::steady_clock::time_point turn;
    {
        const std::lock_guard lock(mutex_);
        turn = std::max(next_, std::chrono::steady_clock::now());
        next_ = turn + cost;
    }
    std::this_thread::sleep_until(turn);
    return granted;
}

const std::string& HttpAnswer::header(std::string_view name) const {
    static const std::string kNone;
    const auto found = headers.find(name);
    return found == headers.end() ? kNone : found->second;
}

// What the callbacks of one request share.
struct HttpHandle::Exchange {
    const HttpRequest& request;
    Throttle* throttle;
    std::set<curl_socket_t>& sockets;  // of the handle's connections
    HttpAnswer answer{};
    List headers{};
    std::uint64_t sent = 0;
    bool too_large = false;
    std::exception_ptr thrown{};
    std::array<char, CURL_ERROR_SIZE> reason{};

    static std::size_t read(char* buffer, std::size_t size, std::size_t count, void* self);
    static int seek(void* self, curl_off_t offset, int origin);
    static std::size_t write(char* data, std::size_t size, std::size_t count, void* self);
    static std::size_t header(char* data, std::size_t size, std::size_t count, void* self);
    void acknowledge() const;
};

std::size_t HttpHandle::Exchange::read(char* buffer, std::size_t size, std::size_t count,
                                       void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    std::size_t length = static_cast<std::size_t>(
        std::min<std::uint64_t>(size * count, exchange.request.body_size - exchange.sent));
    if (length == 0) {
        return 0;
    }
    try {
        if (exchange.throttle != nullptr) {
            length = exchange.throttle->take(length);
        }
        exchange.request.body(exchange.sent, std::as_writable_bytes(std::span(buffer, length)));
    } catch (...) {
        exchange.thrown = std::current_exception();
        return CURL_READFUNC_ABORT;
    }
    exchange.sent += length;
    return length;
}

// curl would like to repeat a request by itself where a connection that it used before breaks. A
// write whose answer may be lost is repeated by the caller alone, who first looks whether it
// happened.
int HttpHandle::Exchange::seek(void* /*self*/, curl_off_t /*offset*/, int /*origin*/) {
    return CURL_SEEKFUNC_FAIL;
}

std::size_t HttpHandle::Exchange::write(char* data, std::size_t size, std::size_t count,
                                        void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const std::size_t length = size * count;
    try {
        const bool good = exchange.answer.status >= 200 && exchange.answer.status < 300;
        if (exchange.request.sink && good) {
            exchange.request.sink(std::as_bytes(std::span(data, length)));
            return length;
        }
        if (exchange.answer.body.size() + length > exchange.request.answer_limit) {
            exchange.too_large = true;
            return 0;
        }
        exchange.answer.body.append(data, length);
        return length;
    } catch (...) {
        exchange.thrown = std::current_exception();
        return 0;
    }
}

// A store that sends head and body of an answer in two pieces waits with the second until the first
// is acknowledged (Nagle), which Linux likes to delay by 40 ms: in all a second a backup. So it is
// acknowledged at once. Source: tcp(7), TCP_QUICKACK.
void HttpHandle::Exchange::acknowledge() const {
    for (const curl_socket_t socket : sockets) {
        const int on = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

std::size_t HttpHandle::Exchange::header(char* data, std::size_t size, std::size_t count,
                                         void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const std::size_t length = size * count;
    try {
        const std::string_view line(data, length);
        if (line.substr(0, 5) == "HTTP/") {
            // A new answer begins: what a 100, or a proxy, said before does not count.
            exchange.answer.headers.clear();
            const std::size_t blank = line.find(' ');
            exchange.answer.status =
                blank == std::string_view::npos ? 0 : std::atoi(data + blank + 1);
        } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
            exchange.answer.headers[lower(line.substr(0, colon))] =
                std::string(trimmed(line.substr(colon + 1)));
        } else if (trimmed(line).empty()) {
            exchange.acknowledge();
        }
        return length;
    } catch (...) {
        exchange.thrown = std::current_exception();
        return 0;
    }
}

struct HttpHandle::State {
    CURL* easy = nullptr;
    CURLM* multi = nullptr;
    std::set<curl_socket_t> sockets;
    State() : easy(curl_easy_init()), multi(curl_multi_init()) {
        if (easy == nullptr || multi == nullptr) {
            throw std::bad_alloc();
        }
    }
    ~State() {
        curl_easy_cleanup(easy);
        curl_multi_cleanup(multi);
    }
    static int opened(void* self, curl_socket_t socket, curlsocktype /*purpose*/) {
        static_cast<State*>(self)->sockets.insert(socket);
        return CURL_SOCKOPT_OK;
    }
    static int closed(void* self, curl_socket_t socket) {
        static_cast<State*>(self)->sockets.erase(socket);
        return close(socket);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

HttpHandle::HttpHandle(const HttpOptions& options) : options_(options) {
    prepare_curl();
    state_ = std::make_unique<State>();
}

HttpHandle::~HttpHandle() = default;

void HttpHandle::set_options(const HttpRequest& request, Exchange& exchange) {
    CURL* easy = state_->easy;
    curl_easy_reset(easy);
    set(easy, CURLOPT_URL, request.url.c_str());
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    // Who is cancelled does not wait for a name server that does not answer.
    set(easy, CURLOPT_QUICK_EXIT, 1L);
    set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_timeout.count()));
    set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_timeout.count()));
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time_limit.count()));
    set(easy, CURLOPT_ERRORBUFFER, exchange.reason.data());
    if (!options_.ca_file.empty()) {
        set(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
    if (!options_.proxy) {
        set(easy, CURLOPT_PROXY, "");
    }
    set(easy, CURLOPT_SOCKOPTFUNCTION, &State::opened);
    set(easy, CURLOPT_SOCKOPTDATA, static_cast<void*>(state_.get()));
    set(easy, CURLOPT_CLOSESOCKETFUNCTION, &State::closed);
    set(easy, CURLOPT_CLOSESOCKETDATA, static_cast<void*>(state_.get()));
    set(easy, CURLOPT_WRITEFUNCTION, &Exchange::write);
    set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
    set(easy, CURLOPT_HEADERFUNCTION, &Exchange::header);
    set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
    if (request.method == "HEAD") {
        set(easy, CURLOPT_NOBODY, 1L);
    } else if (request.method == "PUT" || request.method == "POST") {
        set(easy, CURLOPT_UPLOAD, 1L);
        set(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
        set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_size));
        set(easy, CURLOPT_READFUNCTION, &Exchange::read);
        set(easy, CURLOPT_READDATA, static_cast<void*>(&exchange));
        set(easy, CURLOPT_SEEKFUNCTION, &Exchange::seek);
        set(easy, CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
        // The same for a write without a body, which nothing has to be rewound for.
        set(easy, CURLOPT_FRESH_CONNECT, request.body_size == 0 ? 1L : 0L);
    }
    set(easy, CURLOPT_CUSTOMREQUEST, request.method == "HEAD" ? nullptr : request.method.c_str());
    // What curl would add by itself, and nobody signed.
    append(exchange.headers, "Expect:");
    append(exchange.headers, "Accept:");
    append(exchange.headers, "User-Agent: immbackup");
    for (const auto& [name, value] : request.headers) {
        if (name != "host") {  // curl makes the same of the URL
            append(exchange.headers, name + (value.empty() ? ";" : ": " + value));
        }
    }
    set(easy, CURLOPT_HTTPHEADER, exchange.headers.get());
}

HttpAnswer HttpHandle::perform(const HttpRequest& request, const CancelToken& cancel) {
    cancel.check();
    Exchange exchange{request, options_.throttle, state_->sockets};
    set_options(request, exchange);
    CURL* easy = state_->easy;
    CURLM* multi = state_->multi;
    struct InMulti {
        CURLM* multi;
        CURL* easy;
        InMulti(CURLM* m, CURL* e) : multi(m), easy(e) { curl_multi_add_handle(multi, easy); }
        ~InMulti() { curl_multi_remove_handle(multi, easy); }
        InMulti(const InMulti&) = delete;
        InMulti& operator=(const InMulti&) = delete;
    };
    CURLcode result = CURLE_FAILED_INIT;
    {
        const InMulti added(multi, easy);
        int running = 1;
        while (running != 0) {
            cancel.check();
            curl_multi_perform(multi, &running);
            if (running != 0) {
                curl_waitfd stop{cancel.fd(), CURL_WAIT_POLLIN, 0};
                curl_multi_poll(multi, &stop, 1, 1000, nullptr);
            }
        }
        int left = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
            if (message->msg == CURLMSG_DONE) {
                result = message->data.result;
            }
        }
    }
    if (exchange.thrown) {
        std::rethrow_exception(exchange.thrown);
    }
    HttpAnswer& answer = exchange.answer;
    answer.complete = result == CURLE_OK && answer.status >= 200;
    answer.too_large = exchange.too_large;
    if (!answer.complete) {
        answer.failure = exchange.too_large           ? "the answer is too large"
                         : exchange.reason[0] != '\0' ? exchange.reason.data()
                                                      : curl_easy_strerror(result);
    }
    curl_off_t requested = 0;
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &requested);
    answer.maybe_sent = requested > 0;
    return std::move(exchange.answer);
}

}  // namespace immbackup::s3
