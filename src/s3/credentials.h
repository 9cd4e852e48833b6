// Where the keys come from, in the order of AWS's own tools: environment, web identity file (STS),
// shared config and credentials files (static keys, role_arn with source_profile,
// credential_process), container endpoint, IMDSv2. What is not supported (SSO, mfa_serial) is
// refused by name, never skipped. No secret is ever part of an error.
// Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; STS API
// Reference; EC2 User Guide, "Use IMDSv2".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/time.h"
#include "io/cancel.h"
#include "s3/sigv4.h"

namespace immbackup::s3 {

struct Credentials {
    SigningKeys keys;
    std::optional<Time> expiry;  // none: they do not expire
    std::string source;          // "environment", "profile \"backup\"", for `check`
};

// A request of the chain to STS or to a metadata endpoint.
struct PlainRequest {
    std::string method;
    std::string url;
    Headers headers;
    std::string body;
    bool local = false;  // a metadata endpoint: no proxy, short time-out
};
struct PlainAnswer {
    int status = 0;  // 0: no answer
    std::string body;
    std::string failure;
};

// What the chain needs from outside, so that tests can give it anything.
struct CredentialInputs {
    // getenv; an empty variable is an unset one.
    std::function<const char*(const char*)> environment;
    std::string home;  // for ~/.aws; empty: HOME
    std::string region;
    std::string ca_file;  // for STS; empty: the system's
    std::function<PlainAnswer(const PlainRequest&)> fetch;
    std::function<Time()> clock;
    // Runs a credential_process; an argument vector, never a shell. Its stdout; Error where it
    // fails.
    std::function<std::string(const std::vector<std::string>&)> run;
};
// The real ones: getenv, libcurl, the system's clock, a child process.
CredentialInputs system_credential_inputs(const std::string& region, const std::string& ca_file,
                                          const CancelToken& cancel);

// Sections of an INI file as AWS's tools read it: "[profile x]", "[default]", "key = value",
// comments with # and ;, nested values (indented lines) left out.
using Profile = std::map<std::string, std::string, std::less<>>;
using Profiles = std::map<std::string, Profile, std::less<>>;
// In a config file the section of profile x is "profile x", in a credentials file "x".
Profiles parse_profiles(std::string_view text, bool config_file);

class CredentialChain {
  public:
    explicit CredentialChain(CredentialInputs inputs) : inputs_(std::move(inputs)) {}
    // Cached, and renewed five minutes before they expire. Safe from any thread. Error(config)
    // where there are none, or what is there is not supported; Error(permission) where the source
    // refuses; Error(connect) where it does not answer. While the old ones are still valid a
    // failed renewal does no harm.
    Credentials get();
    // The store says that these have expired: the next get() asks the source again, unless
    // somebody else already did.
    void expired(const Credentials& credentials);

  private:
    CredentialInputs inputs_;
    std::mutex mutex_;
    std::optional<Credentials> cached_;
};

// One walk along the chain, without the cache.
Credentials find_credentials(const CredentialInputs& inputs);

}  // namespace immbackup::s3
