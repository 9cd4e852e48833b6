#include "s3/credentials.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <sstream>

#include "core/error.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/process.h"
#include "s3/credential_sources.h"
#include "s3/http.h"

namespace immbackup::s3 {

namespace {

constexpr std::chrono::minutes kRenewBefore{5};
constexpr std::size_t kProfileLimit = 1 << 20;
constexpr unsigned kMaxRoles = 5;  // source_profile of source_profile of ...

std::string member(const Profile& profile, std::string_view name) {
    const auto found = profile.find(name);
    return found == profile.end() ? std::string() : found->second;
}

// Of both files; for keys that both have, the credentials file wins, as in AWS's tools.
Profiles shared_profiles(const CredentialInputs& inputs) {
    std::string home = inputs.home;
    if (home.empty()) {
        home = variable(inputs, "HOME");
    }
    const auto read = [&](const char* name, const char* file, bool config_file) {
        std::string path = variable(inputs, name);
        if (path.empty()) {
            if (home.empty()) {
                return Profiles();
            }
            path = home + "/.aws/" + file;
        } else if (path.substr(0, 2) == "~/") {
            path = home + path.substr(1);
        }
        try {
            return parse_profiles(read_named_file(path, kProfileLimit), config_file);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::not_found) {
                return Profiles();
            }
            throw;
        }
    };
    Profiles out = read("AWS_CONFIG_FILE", "config", true);
    for (auto& [name, profile] : read("AWS_SHARED_CREDENTIALS_FILE", "credentials", false)) {
        for (const auto& [key, value] : profile) {
            out[name][key] = value;
        }
    }
    return out;
}

std::optional<Credentials> from_environment(const CredentialInputs& inputs) {
    Credentials out;
    out.source = "the environment";
    out.keys = {variable(inputs, "AWS_ACCESS_KEY_ID"), variable(inputs, "AWS_SECRET_ACCESS_KEY"),
                variable(inputs, "AWS_SESSION_TOKEN")};
    if (out.keys.access_key.empty() && out.keys.secret_key.empty()) {
        return std::nullopt;
    }
    if (out.keys.access_key.empty() || out.keys.secret_key.empty()) {
        throw Error(ErrorCode::config,
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set both, or neither");
    }
    return out;
}

// Whether the profile signs in by single sign-on.
bool wants_sso(const Profile& profile) {
    for (const char* name : {"sso_session", "sso_start_url", "sso_account_id", "sso_role_name"}) {
        if (profile.contains(name)) {
            return true;
        }
    }
    return false;
}

std::optional<Credentials> of_profile(const CredentialInputs& inputs, const Profiles& profiles,
                                      const std::string& name, unsigned depth);

// Whose keys ask for the role.
Credentials role_source(const CredentialInputs& inputs, const Profiles& profiles,
                        const std::string& name, const Profile& profile, unsigned depth) {
    const std::string source = member(profile, "source_profile");
    const std::string other = member(profile, "credential_source");
    std::optional<Credentials> out;
    if (source == name) {
        // A profile that names itself has the keys to ask with.
        Profiles keys_only = profiles;
        keys_only[name].erase("role_arn");
        out = of_profile(inputs, keys_only, name, depth + 1);
    } else if (!source.empty()) {
        out = of_profile(inputs, profiles, source, depth + 1);
    } else if (other == "Environment") {
        out = from_environment(inputs);
    } else if (other == "EcsContainer") {
        out = from_container(inputs);
    } else if (other == "Ec2InstanceMetadata") {
        out = from_instance(inputs);
    } else {
        throw Error(ErrorCode::config,
                    fmt::format("profile \"{}\" has role_arn, but neither source_profile nor a "
                                "credential_source that is known",
                                name));
    }
    if (!out) {
        throw Error(
            ErrorCode::config,
            fmt::format("there are no credentials to assume the role of profile \"{}\"", name));
    }
    return *out;
}

std::optional<Credentials> of_profile(const CredentialInputs& inputs, const Profiles& profiles,
                                      const std::string& name, unsigned depth) {
    const auto found = profiles.find(name);
    if (found == profiles.end()) {
        return std::nullopt;
    }
    if (depth > kMaxRoles) {
        throw Error(ErrorCode::config, "the source_profile of a profile leads back to itself");
    }
    const Profile& profile = found->second;
    const std::string role = member(profile, "role_arn");
    if (!role.empty()) {
        if (profile.contains("mfa_serial")) {
            throw Error(ErrorCode::config,
                        fmt::format("profile \"{}\" has mfa_serial, which is not supported", name),
                        "A backup at night has nobody who could type a code.",
                        "Use a role that needs no second factor.");
        }
        CredentialInputs own = inputs;
        if (own.region.empty()) {
            own.region = member(profile, "region");
        }
        const std::string token_file = member(profile, "web_identity_token_file");
        if (!token_file.empty()) {
            return from_web_identity(own, {token_file, role, member(profile, "role_session_name")});
        }
        return from_role(own,
                         {role, member(profile, "role_session_name"),
                          member(profile, "external_id"), member(profile, "duration_seconds")},
                         role_source(inputs, profiles, name, profile, depth));
    }
    Credentials out;
    out.source = fmt::format("profile \"{}\"", name);
    out.keys = {member(profile, "aws_access_key_id"), member(profile, "aws_secret_access_key"),
                member(profile, "aws_session_token")};
    if (!out.keys.access_key.empty() && !out.keys.secret_key.empty()) {
        return out;
    }
    const std::string process = member(profile, "credential_process");
    if (!process.empty()) {
        return from_process(inputs, process);
    }
    if (wants_sso(profile)) {
        throw Error(ErrorCode::config,
                    fmt::format("profile \"{}\" uses SSO, which is not supported", name),
                    "A backup at night has nobody who could sign in.",
                    "Use a role, or keys of their own for backups.");
    }
    return std::nullopt;
}

std::string run_process(const std::vector<std::string>& command, const CancelToken& cancel) {
    SpawnOptions options;
    options.program = command.front();
    if (options.program.find('/') == std::string::npos) {
        std::istringstream path(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
        for (std::string folder; std::getline(path, folder, ':');) {
            if (!folder.empty() && folder.front() == '/' &&
                ::access((folder + "/" + command.front()).c_str(), X_OK) == 0) {
                options.program = folder + "/" + command.front();
                break;
            }
        }
    }
    options.arguments.assign(command.begin() + 1, command.end());
    const Output output = run_program(options, cancel);
    if (!output.status.success()) {
        // What it says on stderr is left out: it may be about secrets.
        throw Error(ErrorCode::config, fmt::format("credential_process \"{}\" failed with {}",
                                                   command.front(), output.status.text()));
    }
    return output.out;
}

}  // namespace

Profiles parse_profiles(std::string_view text, bool config_file) {
    Profiles out;
    Profile* current = nullptr;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view raw = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::string_view line = trimmed(raw);
        if (line.empty() || line.front() == '#' || line.front() == ';') {
            continue;
        }
        if (line.front() == '[') {
            std::string_view name = trimmed(line.substr(1, line.find(']') - 1));
            const bool prefixed = name.substr(0, 8) == "profile ";
            if (prefixed && config_file) {
                name = trimmed(name.substr(8));
            }
            // Other sections of a config file ("[sso-session x]", "[services x]") are no profiles.
            const bool known = !config_file || prefixed || name == "default";
            current = known && !name.empty() ? &out[std::string(name)] : nullptr;
            continue;
        }
        const std::size_t equals = line.find('=');
        const bool nested = raw.front() == ' ' || raw.front() == '\t';
        if (current != nullptr && !nested && equals != std::string_view::npos) {
            (*current)[std::string(trimmed(line.substr(0, equals)))] =
                std::string(trimmed(line.substr(equals + 1)));
        }
    }
    return out;
}

Credentials find_credentials(const CredentialInputs& inputs) {
    if (auto found = from_environment(inputs)) {
        return *found;
    }
    const std::string token_file = variable(inputs, "AWS_WEB_IDENTITY_TOKEN_FILE");
    const std::string role = variable(inputs, "AWS_ROLE_ARN");
    if (!token_file.empty() && !role.empty()) {
        return from_web_identity(inputs,
                                 {token_file, role, variable(inputs, "AWS_ROLE_SESSION_NAME")});
    }
    std::string name = variable(inputs, "AWS_PROFILE");
    const Profiles profiles = shared_profiles(inputs);
    if (!name.empty() && !profiles.contains(name)) {
        throw Error(ErrorCode::config,
                    fmt::format("AWS_PROFILE names \"{}\", which neither the config nor the "
                                "credentials file has",
                                name));
    }
    if (auto found = of_profile(inputs, profiles, name.empty() ? "default" : name, 0)) {
        return *found;
    }
    if (!variable(inputs, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").empty() ||
        !variable(inputs, "AWS_CONTAINER_CREDENTIALS_FULL_URI").empty()) {
        return from_container(inputs);
    }
    if (variable(inputs, "AWS_EC2_METADATA_DISABLED") != "true") {
        if (auto found = from_instance(inputs)) {
            return *found;
        }
    }
    throw Error(ErrorCode::config, "there are no S3 credentials",
                "Neither the environment, nor a web identity, nor ~/.aws, nor a container's or an "
                "instance's metadata service has any.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the server's environment, or "
                "write ~/.aws/credentials of the server's user.");
}

Credentials CredentialChain::get() {
    const std::lock_guard lock(mutex_);
    const Time now = inputs_.clock();
    if (cached_ && (!cached_->expiry || *cached_->expiry - now > kRenewBefore)) {
        return *cached_;
    }
    try {
        cached_ = find_credentials(inputs_);
    } catch (const Error&) {
        if (!cached_ || (cached_->expiry && *cached_->expiry <= now)) {
            throw;
        }
    }
    return *cached_;
}

void CredentialChain::expired(const Credentials& credentials) {
    const std::lock_guard lock(mutex_);
    if (cached_ && cached_->keys.access_key == credentials.keys.access_key &&
        cached_->keys.session_token == credentials.keys.session_token) {
        cached_.reset();
    }
}

CredentialInputs system_credential_inputs(const std::string& region, const std::string& ca_file,
                                          const CancelToken& cancel) {
    CredentialInputs out;
    out.environment = [](const char* name) -> const char* { return std::getenv(name); };
    out.region = region;
    out.ca_file = ca_file;
    out.clock = [] { return now(); };
    out.run = [&cancel](const auto& command) { return run_process(command, cancel); };
    out.fetch = [ca_file, &cancel](const PlainRequest& plain) {
        HttpOptions options;
        options.ca_file = ca_file;
        options.proxy = !plain.local;
        options.connect_timeout = std::chrono::seconds(plain.local ? 1 : 10);
        HttpRequest request;
        request.method = plain.method;
        request.url = plain.url;
        request.headers = plain.headers;
        request.body_size = plain.body.size();
        request.body = [&](std::uint64_t offset, std::span<std::byte> bytes) {
            plain.body.copy(reinterpret_cast<char*>(bytes.data()), bytes.size(),
                            static_cast<std::size_t>(offset));
        };
        request.answer_limit = 1 << 20;
        request.time_limit = std::chrono::seconds(plain.local ? 5 : 30);
        const HttpAnswer answer = HttpHandle(options).perform(request, cancel);
        return PlainAnswer{answer.complete ? answer.status : 0, answer.body, answer.failure};
    };
    return out;
}

}  // namespace immbackup::s3
