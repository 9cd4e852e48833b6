// Retention, legal hold, and what the bucket says of itself.
#include <fmt/format.h>

#include "core/error.h"
#include "s3/client.h"

namespace immbackup::s3 {

namespace {

Query version_query(const char* what, const std::string& version) {
    Query query{{what, ""}};
    if (!version.empty()) {
        query.push_back({"versionId", version});
    }
    return query;
}

std::string retention_body(const LockTerms& terms) {
    return fmt::format(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>"
        "<RetainUntilDate>{}</RetainUntilDate></Retention>",
        lock_mode_name(terms.mode), format_time(terms.until));
}

// What an answer that is no success says about a lock. "There is none" has one status, and as many
// codes as there are stores: NoSuchObjectLockConfiguration, ObjectLockConfigurationNotFoundError,
// InvalidRequest for a bucket without locks. "There is no such version" is another matter.
Reading reading_of(const StoreError& error) {
    if (error.status == 404) {
        const bool no_object = error.code == "NoSuchKey" || error.code == "NoSuchVersion" ||
                               error.code == "NoSuchBucket" || error.code == "NotFound";
        return no_object ? Reading::failed : Reading::none;
    }
    if (error.status == 400 && error.code == "InvalidRequest") {
        return Reading::none;
    }
    const bool denied =
        error.status == 401 || error.status == 403 || error.status == 405 || error.status == 501;
    return denied ? Reading::denied : Reading::failed;
}

}  // namespace

void Client::read_retention(const std::string& key, const std::string& version, LockReading& out) {
    Operation operation{"GET", key, version_query("retention", version)};
    operation.xml_answer = true;
    const Answer answer = perform(operation);
    if (!answer.good()) {
        out.retention = reading_of(answer.error);
        return;
    }
    try {
        const Retention retention = parse_retention(answer.http.body);
        out.retention = retention.mode == LockMode::none ? Reading::none : Reading::held;
        out.mode = retention.mode;
        out.until = retention.until;
    } catch (const Error&) {
        out.retention = Reading::failed;
    }
}

void Client::read_legal_hold(const std::string& key, const std::string& version, LockReading& out) {
    Operation operation{"GET", key, version_query("legal-hold", version)};
    operation.xml_answer = true;
    const Answer answer = perform(operation);
    if (!answer.good()) {
        out.legal_hold = reading_of(answer.error);
        return;
    }
    try {
        out.legal_hold = parse_legal_hold(answer.http.body) ? Reading::held : Reading::none;
    } catch (const Error&) {
        out.legal_hold = Reading::failed;
    }
}

LockReading Client::read_lock(const std::string& key, const std::string& version) {
    LockReading out;
    read_retention(key, version, out);
    read_legal_hold(key, version, out);
    return out;
}

void Client::put_retention(const std::string& key, const std::string& version,
                           const LockTerms& terms) {
    const Body body = text_body(retention_body(terms));
    require({"PUT",
             key,
             version_query("retention", version),
             {{"content-type", "application/xml"}},
             &body});
}

void Client::put_legal_hold(const std::string& key, const std::string& version, bool on) {
    const Body body = text_body(
        fmt::format("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{}"
                    "</Status></LegalHold>",
                    on ? "ON" : "OFF"));
    require({"PUT",
             key,
             version_query("legal-hold", version),
             {{"content-type", "application/xml"}},
             &body});
}

LockConfiguration Client::lock_configuration() {
    Operation operation{"GET", {}, {{"object-lock", ""}}};
    operation.xml_answer = true;
    const Answer answer = perform(operation);
    if (!answer.good()) {
        if (reading_of(answer.error) == Reading::none) {
            return {};
        }
        throw failure(operation, answer);
    }
    return parse_lock_configuration(answer.http.body);
}

std::string Client::versioning() {
    Operation operation{"GET", {}, {{"versioning", ""}}};
    operation.xml_answer = true;
    return parse_versioning(require(operation).http.body);
}

std::vector<LifecycleRule> Client::lifecycle() {
    Operation operation{"GET", {}, {{"lifecycle", ""}}};
    operation.xml_answer = true;
    const Answer answer = perform(operation);
    if (answer.error.status == 404 && answer.error.code != "NoSuchBucket") {
        return {};
    }
    if (!answer.good()) {
        throw failure(operation, answer);
    }
    return parse_lifecycle(answer.http.body);
}

StoreError Client::try_delete(const std::string& key, const std::string& version,
                              bool bypass_governance) {
    if (version.empty()) {
        // Without a version it would only hide the object behind a delete marker.
        throw Error(ErrorCode::internal, "an object is never deleted without its version");
    }
    Operation operation{"DELETE", key, {{"versionId", version}}};
    if (bypass_governance) {
        operation.headers["x-amz-bypass-governance-retention"] = "true";
    }
    return perform(operation).error;
}

StoreError Client::try_head_bucket() {
    const Operation operation{"HEAD", {}, {}};
    Answer answer = perform(operation);
    if (!answer.http.complete) {
        answer.error.message = failure(operation, answer).message();
    }
    return answer.error;
}

StoreError Client::try_lock_configuration() {
    const Body body = text_body("<ObjectLockConfiguration/>");
    return perform({"PUT", {}, {{"object-lock", ""}}, {{"content-type", "application/xml"}}, &body})
        .error;
}

StoreError Client::try_bypass(const std::string& key, const std::string& version) {
    const Body body = text_body("<Retention/>");
    return perform({"PUT",
                    key,
                    version_query("retention", version),
                    {{"content-type", "application/xml"},
                     {"x-amz-bypass-governance-retention", "true"}},
                    &body})
        .error;
}

}  // namespace immbackup::s3
