#include "s3/client.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <random>

#include "core/error.h"
#include "io/clock.h"
#include "s3/retry.h"

namespace immbackup::s3 {

namespace {

using std::chrono::milliseconds;

// Beyond this, stores refuse a signature (15 minutes at AWS).
constexpr std::chrono::minutes kSkewWorthCorrecting{5};
constexpr std::chrono::seconds kLongestRetryAfter{60};

double random_fraction() {
    thread_local std::mt19937_64 engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
}

thread_local const CancelToken* scope_token = nullptr;

ErrorCode code_of(const StoreError& error) {
    if (error.status == 401 || error.status == 403) {
        return ErrorCode::permission;
    }
    if (error.status == 404) {
        return ErrorCode::not_found;
    }
    if (error.status == 412) {
        return ErrorCode::exists;
    }
    if (error.status == 413 || error.code == "EntityTooLarge" || error.code == "KeyTooLongError" ||
        error.code == "MetadataTooLarge") {
        return ErrorCode::rejected;
    }
    if (error.code == "BadDigest" || error.code == "XAmzContentSHA256Mismatch" ||
        error.code == "XAmzContentChecksumMismatch") {
        return ErrorCode::corrupt;
    }
    if (error.status == 0 || error.status == 408 || error.status == 429 || error.status >= 500) {
        return ErrorCode::connect;
    }
    return ErrorCode::failed;
}

std::string hint_of(const StoreError& error) {
    if (error.code == "RequestTimeTooSkewed") {
        return "Set the clock of this server.";
    }
    if (error.code == "InvalidAccessKeyId" || error.code == "SignatureDoesNotMatch") {
        return "Check the credentials, and that nothing between this server and the store changes "
               "requests.";
    }
    if (error.status == 403) {
        return "Give these credentials the right, or see which right is missing with "
               "\"immbackup check --s3\".";
    }
    if (error.status >= 300 && error.status < 400) {
        return "Set immbackup.s3_region, or immbackup.s3_endpoint_url, to where the bucket is.";
    }
    return {};
}

}  // namespace

void require_sound(const S3Options& options) {
    const auto bad = [](const char* what) { return Error(ErrorCode::config, what); };
    if (!is_bucket_name(options.bucket)) {
        throw bad("the name of the S3 bucket is not one");
    }
    if (!options.prefix.empty() && (options.prefix.front() == '/' || options.prefix.back() == '/' ||
                                    options.prefix.size() > 512)) {
        throw bad("the S3 prefix must neither begin nor end with a slash, nor be too long");
    }
    if (options.max_parts < 1 || options.max_parts > kMaxParts || options.concurrency < 1 ||
        options.concurrency > 64 || options.lock_days < 0 || options.lock_days > 36500) {
        throw bad("an S3 setting is out of range");
    }
}

Client::Client(S3Options options, CredentialInputs inputs, const CancelToken& cancel)
    : options_(std::move(options)),
      cancel_(cancel),
      chain_(std::move(inputs)),
      throttle_(options_.bandwidth_limit),
      region_(options_.region.empty() ? "us-east-1" : options_.region) {
    require_sound(options_);
    endpoint_ = options_.endpoint_url.empty() ? aws_endpoint(region_)
                                              : parse_endpoint(options_.endpoint_url);
}

Client::~Client() = default;

Client::Scope::Scope(const CancelToken& token) : before_(std::exchange(scope_token, &token)) {}

Client::Scope::~Scope() {
    scope_token = before_;
}

const CancelToken& Client::cancel() const {
    return scope_token == nullptr ? cancel_ : *scope_token;
}

// A connection for the time of one request.
class Client::Borrowed {
  public:
    explicit Borrowed(Client& client) : client_(client) {
        {
            const std::lock_guard lock(client_.mutex_);
            if (!client_.idle_.empty()) {
                handle_ = std::move(client_.idle_.back());
                client_.idle_.pop_back();
            }
        }
        if (!handle_) {
            HttpOptions http;
            http.ca_file = client_.options_.ca_file;
            http.connect_timeout = client_.options_.connect_timeout;
            http.stall_timeout = client_.options_.stall_timeout;
            http.throttle = &client_.throttle_;
            handle_ = std::make_unique<HttpHandle>(http);
        }
    }
    ~Borrowed() {
        const std::lock_guard lock(client_.mutex_);
        client_.idle_.push_back(std::move(handle_));
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    HttpHandle& operator*() { return *handle_; }

  private:
    Client& client_;
    std::unique_ptr<HttpHandle> handle_;
};

std::string Client::key_of(std::string_view name) const {
    return options_.prefix.empty() ? std::string(name) : options_.prefix + "/" + std::string(name);
}

std::optional<milliseconds> Client::clock_difference() const {
    const std::lock_guard lock(mutex_);
    return difference_;
}

std::string Client::region() const {
    const std::lock_guard lock(mutex_);
    return region_;
}

LockTerms Client::lock_terms(int days) {
    if (options_.lock_mode == LockMode::none) {
        return {};
    }
    const Operation operation{"HEAD", {}, {}};
    const Answer answer = perform(operation);
    if (!answer.http.complete) {
        throw failure(operation, answer);
    }
    const Time ours = now();
    std::optional<Time> stores;
    if (const auto difference = clock_difference()) {
        stores = ours - *difference;
    }
    return {options_.lock_mode, retain_until(ours, stores, days, options_.clock_acknowledged)};
}

void Client::add_body_headers(Headers& headers, const Body& body, bool checksum) {
    if (!body.digests.md5.empty()) {
        headers["content-md5"] = base64(body.digests.md5);
    }
    if (checksum) {
        headers["x-amz-checksum-sha256"] = base64(body.digests.sha256);
        headers["x-amz-sdk-checksum-algorithm"] = "SHA256";
    }
}

Client::Answer Client::attempt(const Operation& operation, const Credentials& credentials) {
    Endpoint endpoint;
    SigningScope scope;
    {
        const std::lock_guard lock(mutex_);
        endpoint = endpoint_;
        scope.region = region_;
        scope.time = now() - signing_correction_;
    }
    const bool in_host =
        bucket_in_host(options_.addressing, !options_.endpoint_url.empty(), options_.bucket);
    const Address address = address_of(endpoint, in_host, options_.bucket, operation.key);

    Signable signable{operation.method, address.path, operation.query, operation.headers,
                      std::string(kEmptyPayloadHash)};
    signable.headers["host"] = address.host;
    HttpRequest request;
    if (operation.body != nullptr) {
        add_body_headers(signable.headers, *operation.body, !operation.completes);
        signable.payload_hash = to_hex(operation.body->digests.sha256);
        request.body_size = operation.body->size;
        request.body = operation.body->read;
    }
    sign(signable, credentials.keys, scope);

    const std::string query = canonical_query(operation.query);
    request.method = operation.method;
    request.url = address.origin + address.path + (query.empty() ? "" : "?" + query);
    request.headers = std::move(signable.headers);
    request.answer_limit = operation.answer_limit;
    Answer answer;
    {
        Borrowed handle(*this);
        answer.http = (*handle).perform(request, cancel());
    }
    if (const auto date = parse_http_date(answer.http.header("date"))) {
        const std::lock_guard lock(mutex_);
        difference_ = now() - *date;
    }
    read_error(operation, answer, credentials);
    return answer;
}

void Client::read_error(const Operation& operation, Answer& answer,
                        const Credentials& credentials) {
    const HttpAnswer& http = answer.http;
    const bool good = http.status >= 200 && http.status < 300;
    if (http.complete && (!good || operation.xml_answer)) {
        if (auto error = parse_error(
                http.body, {credentials.keys.secret_key, credentials.keys.session_token})) {
            answer.error = std::move(*error);
        }
    }
    answer.error.status = http.complete ? http.status : 0;
    if (answer.error.region.empty()) {
        answer.error.region = http.header("x-amz-bucket-region");
    }
    if (answer.error.request_id.empty()) {
        answer.error.request_id = http.header("x-amz-request-id");
    }
}

struct Client::Tries {
    bool clock = false;
    bool credentials = false;
    bool region = false;
};

// Takes the region that the store named. False where it named none, or the one we already used.
bool Client::move_to(const Answer& answer) {
    const std::lock_guard lock(mutex_);
    if (answer.error.region.empty() || answer.error.region == region_) {
        return false;
    }
    region_ = answer.error.region;
    if (options_.endpoint_url.empty()) {
        endpoint_ = aws_endpoint(region_);
    }
    return true;
}

// Whether the request is worth sending again at once, since something was put right.
bool Client::try_otherwise(Tries& tries, const Answer& answer, const Credentials& credentials) {
    const int status = answer.error.status;
    Verdict verdict = judge({answer.http.complete, status, answer.error.code});
    const bool mute = answer.error.code.empty();  // as every HEAD is
    if (mute && verdict == Verdict::give_up && status == 403) {
        const std::lock_guard lock(mutex_);
        if (difference_ &&
            std::chrono::abs(*difference_ - signing_correction_) > kSkewWorthCorrecting) {
            verdict = Verdict::clock;
        }
    }
    if (mute && status == 400) {
        const bool elsewhere = !answer.error.region.empty() && answer.error.region != region();
        verdict = elsewhere ? Verdict::elsewhere : Verdict::credentials;
    }
    switch (verdict) {
        case Verdict::clock: {
            const std::lock_guard lock(mutex_);
            if (tries.clock || !difference_) {
                return false;
            }
            signing_correction_ = *difference_;
            return tries.clock = true;
        }
        case Verdict::credentials:
            if (tries.credentials || (mute && credentials.keys.session_token.empty())) {
                return false;
            }
            chain_.expired(credentials);
            return tries.credentials = true;
        case Verdict::elsewhere:
            return !std::exchange(tries.region, true) && move_to(answer);
        default:
            return false;
    }
}

void Client::wait(milliseconds pause) const {
    pollfd stop{cancel().fd(), POLLIN, 0};
    ::poll(&stop, 1, static_cast<int>(pause.count()));
    cancel().check();
}

Client::Answer Client::perform(const Operation& operation) {
    const Deadline deadline =
        operation.deadline.value_or(std::chrono::steady_clock::now() + options_.deadline);
    Tries tries;
    for (unsigned repetition = 1;; ++repetition) {
        const Credentials credentials = chain_.get();
        Answer answer = attempt(operation, credentials);
        answer.deadline = deadline;
        if (try_otherwise(tries, answer, credentials)) {
            continue;
        }
        if (judge({answer.http.complete, answer.error.status, answer.error.code}) !=
            Verdict::again) {
            return answer;
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            return answer;
        }
        // Before a write is repeated: the answer may be lost, and the write done. Within the same
        // time: whoever tries again later looks for himself.
        if (operation.happened && answer.http.maybe_sent && operation.happened(deadline)) {
            answer.happened = true;
            return answer;
        }
        if (answer.http.too_large) {
            return answer;  // it will not be smaller
        }
        milliseconds pause = pause_before(repetition, random_fraction());
        const int retry_after = std::atoi(answer.http.header("retry-after").c_str());
        if (retry_after > 0) {
            pause = std::max<milliseconds>(
                pause, std::min<std::chrono::seconds>(std::chrono::seconds(retry_after),
                                                      kLongestRetryAfter));
        }
        if (std::chrono::steady_clock::now() + pause > deadline) {
            return answer;
        }
        wait(pause);
    }
}

Client::Answer Client::require(const Operation& operation) {
    Answer answer = perform(operation);
    if (!answer.good()) {
        throw failure(operation, answer);
    }
    return answer;
}

std::string Client::redacted(std::string text) {
    const Credentials credentials = chain_.get();
    redact(text, credentials.keys.secret_key);
    redact(text, credentials.keys.session_token);
    return text;
}

Error Client::failure(const Operation& operation, const Answer& answer) {
    std::string what = fmt::format("could not {} s3://{}", operation.method, options_.bucket);
    if (!operation.key.empty()) {
        what += "/" + operation.key;
    }
    for (const auto& parameter : operation.query) {
        // Which subresource: "?retention".
        if (parameter.value.empty() && parameter.name != "prefix") {
            what += "?" + parameter.name;
        }
    }
    if (answer.http.too_large) {
        return {ErrorCode::corrupt, redacted(what + ": " + answer.http.failure)};
    }
    if (!answer.http.complete) {
        return {ErrorCode::connect,
                redacted(what + ": " + answer.http.failure),
                {},
                "Check the network, and immbackup.s3_endpoint_url."};
    }
    const StoreError& error = answer.error;
    what += fmt::format(": the store answered {}", error.status);
    if (!error.code.empty()) {
        what += " " + error.code;
    }
    if (!error.message.empty()) {
        what += ": " + error.message;
    }
    std::string detail;
    if (!error.request_id.empty()) {
        detail = fmt::format("The request's id is {}.", error.request_id);
    }
    return {code_of(error), redacted(what), detail, hint_of(error)};
}

}  // namespace immbackup::s3
