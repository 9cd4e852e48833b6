#include "s3/credential_sources.h"

#include <fmt/format.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"
#include "core/settings.h"
#include "io/file.h"
#include "s3/http.h"
#include "s3/lock_terms.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace immbackup::s3 {

namespace {

constexpr std::size_t kTokenLimit = 64 << 10;

Error not_usable(const std::string& source, const std::string& why) {
    return {ErrorCode::config,
            fmt::format("could not get S3 credentials from {}: {}", source, why)};
}

// What is wrong with an answer of a metadata endpoint or of STS, without its body but for the
// error's code: a body may hold secrets.
Error refused(const std::string& source, const PlainAnswer& answer, const std::string& code = {}) {
    if (answer.status == 0) {
        return {ErrorCode::connect,
                fmt::format("could not get S3 credentials from {}: {}", source, answer.failure)};
    }
    return {ErrorCode::permission,
            fmt::format("could not get S3 credentials from {}: it answered {}{}", source,
                        answer.status, code.empty() ? "" : " " + code)};
}

// The JSON that container endpoint, IMDS and credential_process answer alike, up to the name of
// the token.
Credentials from_json(const std::string& source, const std::string& text, const char* token_name) {
    const auto json = Json::parse(text, nullptr, false);
    Credentials out;
    out.source = source;
    if (!json.is_object()) {
        throw not_usable(source, "its answer is not a JSON object");
    }
    const auto text_of = [&](const char* name) {
        const auto found = json.find(name);
        return found != json.end() && found->is_string() ? found->get<std::string>()
                                                         : std::string();
    };
    out.keys = {text_of("AccessKeyId"), text_of("SecretAccessKey"), text_of(token_name)};
    if (out.keys.access_key.empty() || out.keys.secret_key.empty()) {
        throw not_usable(source, "its answer has no AccessKeyId or no SecretAccessKey");
    }
    const std::string expiry = text_of("Expiration");
    if (!expiry.empty()) {
        out.expiry = parse_store_time(expiry);
        if (!out.expiry) {
            throw not_usable(source, "its Expiration is not a time");
        }
    }
    return out;
}

// As S3 has it where none is named.
std::string sts_region(const CredentialInputs& inputs) {
    return inputs.region.empty() ? "us-east-1" : inputs.region;
}

std::string sts_url(const CredentialInputs& inputs) {
    const std::string own = variable(inputs, "AWS_ENDPOINT_URL_STS");
    if (!own.empty()) {
        return own;
    }
    const std::string region = sts_region(inputs);
    return fmt::format("https://sts.{}.amazonaws.com{}", region,
                       region.substr(0, 3) == "cn-" ? ".cn" : "");
}

// POSTs a form to STS, signed where there are keys; takes <Credentials> out of the answer.
Credentials ask_sts(const CredentialInputs& inputs, const std::string& source, const Query& form,
                    const SigningKeys* keys) {
    const Endpoint endpoint = parse_endpoint(sts_url(inputs));
    const Address address = address_of(endpoint, false, "", "");
    Signable signable{"POST", endpoint.base + "/", {}, {}, {}};
    PlainRequest request{"POST", {}, {}, canonical_query(form), false};
    signable.headers = {{"content-type", "application/x-www-form-urlencoded"}};
    signable.payload_hash = sha256_hex(request.body);
    signable.headers["host"] = address.host;
    if (keys != nullptr) {
        sign(signable, *keys, {inputs.clock(), sts_region(inputs), "sts"});
    }
    request.headers = signable.headers;
    request.url = address.origin + signable.path;
    const PlainAnswer answer = inputs.fetch(request);
    Credentials out;
    out.source = source;
    try {
        const XmlDocument document = XmlDocument::parse(answer.body);
        if (answer.status != 200) {
            const auto error = document.root().child("Error");
            throw refused(source, answer, error ? error->value("Code") : std::string());
        }
        // <AssumeRoleResponse><AssumeRoleResult><Credentials>, and likewise for web identities.
        for (const char* result : {"AssumeRoleResult", "AssumeRoleWithWebIdentityResult"}) {
            const auto node = document.root().child(result);
            const auto found = node ? node->child("Credentials") : std::nullopt;
            if (found) {
                out.keys = {found->value("AccessKeyId"), found->value("SecretAccessKey"),
                            found->value("SessionToken")};
                out.expiry = parse_store_time(found->value("Expiration"));
            }
        }
    } catch (const Error& error) {
        throw error.code() == ErrorCode::corrupt ? refused(source, answer) : error;
    }
    if (out.keys.access_key.empty() || out.keys.secret_key.empty() || !out.expiry) {
        throw not_usable(source, "its answer holds no credentials");
    }
    return out;
}

}  // namespace

std::string variable(const CredentialInputs& inputs, const char* name) {
    const char* value = inputs.environment(name);
    return value == nullptr ? "" : value;
}

Credentials from_web_identity(const CredentialInputs& inputs, const WebIdentity& identity) {
    const std::string token(trimmed(read_named_file(identity.token_file, kTokenLimit)));
    return ask_sts(
        inputs, "STS (web identity)",
        {{"Action", "AssumeRoleWithWebIdentity"},
         {"Version", "2011-06-15"},
         {"RoleArn", identity.role_arn},
         {"RoleSessionName", identity.session_name.empty() ? "immbackup" : identity.session_name},
         {"WebIdentityToken", token}},
        nullptr);
}

Credentials from_role(const CredentialInputs& inputs, const Role& role, const Credentials& source) {
    Query form{{"Action", "AssumeRole"},
               {"Version", "2011-06-15"},
               {"RoleArn", role.arn},
               {"RoleSessionName", role.session_name.empty() ? "immbackup" : role.session_name}};
    if (!role.external_id.empty()) {
        form.push_back({"ExternalId", role.external_id});
    }
    if (!role.duration_seconds.empty()) {
        form.push_back({"DurationSeconds", role.duration_seconds});
    }
    return ask_sts(inputs, fmt::format("STS (role \"{}\")", role.arn), form, &source.keys);
}

Credentials from_process(const CredentialInputs& inputs, const std::string& command) {
    const std::string source = "credential_process";
    const auto arguments = split_arguments(command);
    if (!arguments || arguments->empty()) {
        throw not_usable(source, "its command line is empty, or a quote in it is not closed");
    }
    const std::string out = inputs.run(*arguments);
    const auto json = Json::parse(out, nullptr, false);
    if (!json.is_object() || json.value("Version", Json()) != 1) {
        throw not_usable(source, "its output is not a JSON object of version 1");
    }
    return from_json(source, out, "SessionToken");
}

Credentials from_container(const CredentialInputs& inputs) {
    const std::string source = "the container's endpoint";
    const std::string relative = variable(inputs, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    PlainRequest request{"GET", {}, {}, {}, true};
    request.url = relative.empty() ? variable(inputs, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
                                   : "http://169.254.170.2" + relative;
    // Over plain http the token must not leave this host: loopback, ECS and EKS addresses alone.
    if (request.url.substr(0, 8) != "https://") {
        const std::string url = request.url.substr(0, request.url.find_first_of("?#"));
        const std::string host = parse_endpoint(url).host;
        if (host != "169.254.170.2" && host != "169.254.170.23" && host != "[fd00:ec2::23]" &&
            host != "localhost" && host != "[::1]" && host.substr(0, 4) != "127.") {
            throw not_usable(source, "its URI is plain http to a host that is not this one");
        }
    }
    std::string token = variable(inputs, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const std::string file = variable(inputs, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!file.empty()) {
        token = trimmed(read_named_file(file, kTokenLimit));
    }
    if (token.find_first_of("\r\n") != std::string::npos) {
        throw not_usable(source, "its authorization token has a line break");
    }
    if (!token.empty()) {
        request.headers["authorization"] = token;
    }
    const PlainAnswer answer = inputs.fetch(request);
    if (answer.status != 200) {
        throw refused(source, answer);
    }
    return from_json(source, answer.body, "Token");
}

std::optional<Credentials> from_instance(const CredentialInputs& inputs) {
    const std::string source = "the instance's metadata service";
    std::string base = variable(inputs, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (base.empty()) {
        base = "http://169.254.169.254";
    }
    while (base.back() == '/') {
        base.pop_back();
    }
    const PlainAnswer token = inputs.fetch({"PUT",
                                            base + "/latest/api/token",
                                            {{"x-aws-ec2-metadata-token-ttl-seconds", "21600"}},
                                            {},
                                            true});
    if (token.status != 200) {
        return std::nullopt;
    }
    const std::string roles = "/latest/meta-data/iam/security-credentials/";
    const Headers headers{{"x-aws-ec2-metadata-token", std::string(trimmed(token.body))}};
    const PlainAnswer role = inputs.fetch({"GET", base + roles, headers, {}, true});
    if (role.status != 200) {
        return std::nullopt;  // an instance without a role
    }
    const std::string name(trimmed(role.body.substr(0, role.body.find('\n'))));
    const PlainAnswer answer =
        inputs.fetch({"GET", base + roles + encode(name), headers, {}, true});
    if (answer.status != 200) {
        throw refused(source, answer);
    }
    return from_json(source, answer.body, "Token");
}

}  // namespace immbackup::s3
