// The single sources of the credential chain (credentials.h). Each answers with credentials, or
// throws; whether a source is configured at all is for the chain to decide.
#pragma once

#include <string>

#include "s3/credentials.h"

namespace immbackup::s3 {

// An environment variable; empty where unset.
std::string variable(const CredentialInputs& inputs, const char* name);

// STS, AssumeRoleWithWebIdentity: unsigned, the token in the file vouches.
struct WebIdentity {
    std::string token_file;
    std::string role_arn;
    std::string session_name;  // empty: "immbackup"
};
Credentials from_web_identity(const CredentialInputs& inputs, const WebIdentity& identity);

// STS, AssumeRole, signed with the keys of `source`.
struct Role {
    std::string arn;
    std::string session_name;
    std::string external_id;       // empty: none
    std::string duration_seconds;  // empty: STS's default
};
Credentials from_role(const CredentialInputs& inputs, const Role& role, const Credentials& source);

Credentials from_process(const CredentialInputs& inputs, const std::string& command);
// AWS_CONTAINER_CREDENTIALS_{RELATIVE,FULL}_URI.
Credentials from_container(const CredentialInputs& inputs);
// IMDSv2 alone: a session token first. Nothing where no such service answers.
std::optional<Credentials> from_instance(const CredentialInputs& inputs);

}  // namespace immbackup::s3
