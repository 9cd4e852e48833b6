#include "s3/answers.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace immbackup::s3 {

namespace {

constexpr std::size_t kMessageLimit = 300;

// A whole number of zero or more; nothing for any other text.
template <typename T>
std::optional<T> number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < T{}) {
        return std::nullopt;
    }
    return value;
}

std::string unquoted(std::string text) {
    text.erase(std::remove(text.begin(), text.end(), '"'), text.end());
    return text;
}

// What a stranger says goes to a log: one line, bounded.
std::string tamed(std::string text) {
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7F'; }, ' ');
    if (text.size() > kMessageLimit) {
        text.resize(kMessageLimit);
        text += "...";
    }
    return text;
}

XmlDocument parse_as(std::string_view body, std::string_view name) {
    XmlDocument document = XmlDocument::parse(body);
    if (document.root().name() != name) {
        throw Error(ErrorCode::corrupt, "the store's answer is not the expected <" +
                                            std::string(name) + ">, but <" +
                                            tamed(document.root().name()) + ">");
    }
    return document;
}

std::uint64_t size_of(const XmlNode& node) {
    const auto size = number<std::uint64_t>(node.value("Size"));
    if (!size) {
        throw Error(ErrorCode::corrupt, "the store's list has an entry without a size");
    }
    return *size;
}

// Keys come percent-encoded where we asked for it, since XML cannot hold every character.
struct KeyReader {
    bool encoded;
    explicit KeyReader(const XmlNode& root) : encoded(root.value("EncodingType") == "url") {}
    std::string operator()(const XmlNode& node, const char* name) const {
        std::string text = node.value(name);
        if (encoded) {
            std::replace(text.begin(), text.end(), '+', ' ');
            text = decode(text);
        }
        return text;
    }
};

bool truncated(const XmlNode& root) {
    return root.value("IsTruncated") == "true";
}

}  // namespace

void redact(std::string& text, std::string_view secret) {
    constexpr std::size_t kShortest = 4;
    if (secret.size() < kShortest) {
        return;
    }
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
        text.replace(at, secret.size(), "<redacted>");
    }
}

std::optional<StoreError> parse_error(std::string_view body,
                                      std::initializer_list<std::string_view> secrets) {
    const auto said = [&secrets](std::string text) {
        for (const auto& secret : secrets) {
            redact(text, secret);
        }
        return tamed(std::move(text));
    };
    try {
        const XmlDocument document = XmlDocument::parse(body);
        const XmlNode root = document.root();
        if (root.name() != "Error") {
            return std::nullopt;
        }
        StoreError out;
        out.code = said(root.value("Code"));
        out.message = said(root.value("Message"));
        out.region = said(root.value("Region"));
        out.request_id = said(root.value("RequestId"));
        if (out.code.empty()) {
            out.code = "Error";
        }
        return out;
    } catch (const Error&) {
        return std::nullopt;
    }
}

ObjectInfo parse_object_headers(const Headers& headers) {
    const auto header = [&](std::string_view name) {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string() : found->second;
    };
    ObjectInfo out;
    const auto size = number<std::uint64_t>(header("content-length"));
    if (!size) {
        throw Error(ErrorCode::corrupt, "the store's answer does not say how large the object is");
    }
    out.size = *size;
    out.version_id = header("x-amz-version-id");
    out.etag = unquoted(header("etag"));
    out.sha256 = header("x-amz-checksum-sha256");
    out.storage_class = header("x-amz-storage-class");
    out.kms = header("x-amz-server-side-encryption").substr(0, 7) == "aws:kms";
    out.legal_hold = header("x-amz-object-lock-legal-hold") == "ON";
    out.mode = parse_lock_mode(header("x-amz-object-lock-mode")).value_or(LockMode::none);
    out.until = parse_store_time(header("x-amz-object-lock-retain-until-date"));
    constexpr std::string_view kMeta = "x-amz-meta-";
    for (const auto& [name, value] : headers) {
        if (name.substr(0, kMeta.size()) == kMeta) {
            out.metadata[name.substr(kMeta.size())] = value;
        }
    }
    return out;
}

Page<ListedObject> parse_objects(std::string_view body) {
    const XmlDocument document = parse_as(body, "ListBucketResult");
    const XmlNode root = document.root();
    const KeyReader key(root);
    Page<ListedObject> out;
    for (const auto& node : root.children("Contents")) {
        out.rows.push_back({key(node, "Key"), size_of(node), unquoted(node.value("ETag")),
                            parse_store_time(node.value("LastModified"))});
    }
    if (truncated(root)) {
        out.next = root.value("NextContinuationToken");
    }
    return out;
}

Page<ListedVersion> parse_versions(std::string_view body) {
    const XmlDocument document = parse_as(body, "ListVersionsResult");
    const XmlNode root = document.root();
    const KeyReader key(root);
    Page<ListedVersion> out;
    for (const char* kind : {"Version", "DeleteMarker"}) {
        for (const auto& node : root.children(kind)) {
            const bool marker = std::string_view(kind) == "DeleteMarker";
            out.rows.push_back(
                {key(node, "Key"), node.value("VersionId"), node.value("IsLatest") == "true",
                 marker, marker ? 0 : size_of(node), parse_store_time(node.value("LastModified"))});
        }
    }
    if (truncated(root)) {
        out.next = key(root, "NextKeyMarker");
        out.next_marker = root.value("NextVersionIdMarker");
    }
    return out;
}

Page<ListedUpload> parse_uploads(std::string_view body) {
    const XmlDocument document = parse_as(body, "ListMultipartUploadsResult");
    const XmlNode root = document.root();
    const KeyReader key(root);
    Page<ListedUpload> out;
    for (const auto& node : root.children("Upload")) {
        out.rows.push_back(
            {key(node, "Key"), node.value("UploadId"), parse_store_time(node.value("Initiated"))});
    }
    if (truncated(root)) {
        out.next = key(root, "NextKeyMarker");
        out.next_marker = root.value("NextUploadIdMarker");
    }
    return out;
}

std::string parse_upload_id(std::string_view body) {
    const XmlDocument document = parse_as(body, "InitiateMultipartUploadResult");
    std::string id = document.root().value("UploadId");
    if (id.empty()) {
        throw Error(ErrorCode::corrupt, "the store began an upload, but gave it no id");
    }
    return id;
}

std::string parse_completed(std::string_view body) {
    return unquoted(parse_as(body, "CompleteMultipartUploadResult").root().value("ETag"));
}

Retention parse_retention(std::string_view body) {
    const XmlDocument document = parse_as(body, "Retention");
    return {parse_lock_mode(document.root().value("Mode")).value_or(LockMode::none),
            parse_store_time(document.root().value("RetainUntilDate"))};
}

bool parse_legal_hold(std::string_view body) {
    return parse_as(body, "LegalHold").root().value("Status") == "ON";
}

LockConfiguration parse_lock_configuration(std::string_view body) {
    const XmlDocument document = parse_as(body, "ObjectLockConfiguration");
    LockConfiguration out;
    out.enabled = document.root().value("ObjectLockEnabled") == "Enabled";
    const auto rule = document.root().child("Rule");
    const auto retention = rule ? rule->child("DefaultRetention") : std::nullopt;
    if (retention) {
        out.default_mode = parse_lock_mode(retention->value("Mode")).value_or(LockMode::none);
        out.default_days = number<int>(retention->value("Days")).value_or(0) +
                           365 * std::min(100, number<int>(retention->value("Years")).value_or(0));
    }
    return out;
}

std::string parse_versioning(std::string_view body) {
    return tamed(parse_as(body, "VersioningConfiguration").root().value("Status"));
}

std::vector<LifecycleRule> parse_lifecycle(std::string_view body) {
    const XmlDocument document = parse_as(body, "LifecycleConfiguration");
    std::vector<LifecycleRule> out;
    for (const auto& node : document.root().children("Rule")) {
        LifecycleRule rule;
        rule.enabled = node.value("Status") == "Enabled";
        rule.prefix = node.value("Prefix");
        if (const auto filter = node.child("Filter")) {
            const auto both = filter->child("And");
            rule.prefix = both ? both->value("Prefix") : filter->value("Prefix");
        }
        if (const auto incomplete = node.child("AbortIncompleteMultipartUpload")) {
            rule.abort_after_days =
                number<int>(incomplete->value("DaysAfterInitiation")).value_or(0);
        }
        rule.expires = node.child("Expiration").has_value();
        rule.expires_noncurrent = node.child("NoncurrentVersionExpiration").has_value();
        out.push_back(std::move(rule));
    }
    return out;
}

}  // namespace immbackup::s3
