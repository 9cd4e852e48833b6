#include "backup/remote.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/bodies.h"
#include "backup/preflight_cache.h"
#include "core/events.h"
#include "io/clock.h"
#include "s3/lock_proof.h"
#include "s3/uploader.h"

namespace immbackup {

namespace {

constexpr const char* kMarker = "immbackup-instance.json";
constexpr std::size_t kMaxMarker = 4096;

s3::Addressing addressing_of(const std::string& text) {
    return text == "path"      ? s3::Addressing::path
           : text == "virtual" ? s3::Addressing::virtual_host
                               : s3::Addressing::automatic;
}

std::string instance_in(const std::string& text) {
    const auto json = Json::parse(text, nullptr, false);
    return json.is_object() && json.contains("instance") && json["instance"].is_string()
               ? json["instance"].get<std::string>()
               : "(unreadable)";
}

s3::S3Options with_clock(s3::S3Options options, bool acknowledged) {
    options.clock_acknowledged = acknowledged;
    return options;
}

}  // namespace

s3::S3Options s3_options(const S3Settings& settings) {
    s3::S3Options out;
    out.bucket = settings.bucket;
    out.prefix = settings.prefix;
    out.region = settings.region;
    out.endpoint_url = settings.endpoint_url;
    out.addressing = addressing_of(settings.addressing);
    out.ca_file = settings.ca_file;
    out.lock_mode =
        s3::parse_lock_mode(settings.object_lock_mode).value_or(s3::LockMode::compliance);
    out.lock_days = settings.object_lock_days;
    out.storage_class = settings.storage_class;
    out.kms_key_id = settings.kms_key_id;
    out.max_parts = static_cast<std::uint32_t>(settings.max_parts);
    out.concurrency = static_cast<unsigned>(settings.concurrency);
    out.bandwidth_limit = static_cast<std::uint64_t>(settings.bandwidth_limit) * 1000;
    out.connect_timeout = std::chrono::seconds(std::max(settings.connect_timeout, 1));
    out.stall_timeout = std::chrono::seconds(std::max(settings.stall_timeout, 1));
    out.deadline = std::chrono::seconds(settings.retry_timeout);
    s3::require_sound(out);
    return out;
}

DirectoryLock acquire_upload_lock(const Layout& layout, const char* what, int seconds,
                                  const CancelToken& cancel) {
    constexpr int kStepMs = 200;
    for (int waited = 0;; waited += kStepMs) {
        cancel.check();
        try {
            return DirectoryLock::acquire(layout.upload_lock_file(), what, kStepMs);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::busy || waited >= seconds * 1000) {
                throw;
            }
        }
    }
}

std::unique_ptr<Remote> Remote::open(const Settings& settings, const AuditLog& audit,
                                     const CancelToken& cancel) {
    if (settings.s3.bucket.empty()) {
        return nullptr;
    }
    constexpr auto kAcknowledgedFor = std::chrono::hours(24);
    const auto acknowledged = [&] {
        const auto still = audit.hold_still();
        return parse_time(audit.catalog().clock_acknowledged);
    }();
    const bool counts = acknowledged && now() - *acknowledged < kAcknowledgedFor;
    return std::unique_ptr<Remote>(new Remote(settings, counts, cancel));
}

Remote::Remote(const Settings& settings, bool clock_acknowledged, const CancelToken& cancel)
    : settings_(settings.s3),
      client_(with_clock(s3_options(settings.s3), clock_acknowledged),
              s3::system_credential_inputs(settings.s3.region, settings.s3.ca_file, cancel),
              cancel) {}

int lock_days(const Catalog& catalog, const S3Settings& settings) {
    const auto acknowledged = static_cast<int>(std::min<std::uint64_t>(catalog.lock_days, 36500));
    return acknowledged == 0 ? settings.object_lock_days
                             : std::min(acknowledged, settings.object_lock_days);
}

void Remote::prepare(AuditLog& audit) {
    const PreflightCache cache(audit.layout(), client_.options(),
                               client_.credentials().keys.access_key);
    if (!cache.is_fresh(now())) {
        s3::require_usable(s3::preflight(client_, s3::Depth::quick));
        cache.remember(now());
    }
    check_marker(audit);
    confirm_clock(audit);
}

// Only a store that proved who it is says what time it is.
void Remote::confirm_clock(AuditLog& audit) {
    constexpr auto kAgree = std::chrono::minutes(2);
    const auto difference = client_.clock_difference();
    const bool authentic =
        settings_.endpoint_url.empty() || s3::parse_endpoint(settings_.endpoint_url).tls;
    if (!authentic || !difference || std::chrono::abs(*difference) > kAgree) {
        return;
    }
    const ClockSample sample{boot_id(), monotonic_ms(), now()};
    const bool waits = [&] {
        const auto still = audit.hold_still();
        return audit.catalog().clock.waits_after_restart(sample);
    }();
    if (waits) {
        audit.append(event::kClockConfirmed,
                     body_text({{"server", settings_.endpoint_url.empty()
                                               ? Body("AWS")
                                               : Body(bounded_text(settings_.endpoint_url, 400))},
                                {"difference_ms", difference->count()},
                                {"boot_id", sample.boot_id},
                                {"monotonic_ms", sample.monotonic_ms}}));
    }
}

std::chrono::milliseconds Remote::abort_time() const {
    constexpr std::chrono::milliseconds kAtShutdown{1500};
    if (abort_failed_.load()) {
        return std::chrono::milliseconds(0);
    }
    return client_.cancel().cancelled() ? kAtShutdown : s3::Uploader::kAbortTime;
}

// Every version counts: one that names another instance shows that somebody else writes here, or
// that somebody wants us to believe so.
bool Remote::is_marked(const std::string& instance) {
    const std::string key = client_.key_of(kMarker);
    bool marked = false;
    for (const auto& version : client_.list_versions(key, 1000)) {
        if (version.key != key || version.delete_marker) {
            continue;
        }
        const std::string found =
            instance_in(client_.get_text(key, version.version_id, kMaxMarker));
        if (found != instance) {
            throw Error(
                ErrorCode::config,
                fmt::format("the prefix \"{}\" of bucket \"{}\" belongs to another instance",
                            settings_.prefix, settings_.bucket),
                fmt::format("It is marked for instance {}; this backup directory is {}.", found,
                            instance),
                "Choose another immbackup.s3_prefix for this server.");
        }
        marked = true;
    }
    return marked;
}

void Remote::mark(AuditLog& audit, const std::string& instance, int days) {
    s3::ObjectSpec spec;
    spec.key = client_.key_of(kMarker);
    spec.lock = client_.lock_terms(days);
    spec.content_type = "application/json";
    spec.only_if_absent = true;
    const s3::Body body = s3::text_body(body_text({{"instance", instance}}) + "\n");
    s3::Written written;
    try {
        written = client_.put(spec, body);
    } catch (const Error& error) {
        // Another instance was quicker, or a delete marker was: the list tells.
        if (error.code() == ErrorCode::exists) {
            return;
        }
        throw;
    }
    const s3::LockProof proof =
        s3::prove_lock(client_, spec.key, written.version_id,
                       {body.size, s3::base64(body.digests.sha256), {}}, spec.lock);
    if (proof.state != s3::LockState::locked) {
        finding_ =
            fmt::format("the marker \"{}\" of the prefix is in the bucket, but its lock is {}: {}",
                        spec.key, s3::lock_state_name(proof.state), proof.reason);
    }
    audit.append(event::kPrefixMarked,
                 body_text({{"bucket", settings_.bucket},
                            {"prefix", settings_.prefix},
                            {"key", spec.key},
                            {"version_id", written.version_id},
                            {"state", s3::lock_state_name(proof.state)},
                            {"until", proof.until ? format_time(*proof.until) : ""}}));
}

void Remote::check_marker(AuditLog& audit) {
    const auto [instance, days] = [&] {
        const auto still = audit.hold_still();
        return std::pair(audit.catalog().instance, lock_days(audit.catalog()));
    }();
    if (is_marked(instance)) {
        return;
    }
    mark(audit, instance, days);
    // Two instances may have looked at the same time, and a store that does not know If-None-Match
    // takes both markers: then neither has the prefix.
    if (!is_marked(instance)) {
        throw Error(ErrorCode::failed,
                    fmt::format("the prefix \"{}\" of bucket \"{}\" could not be marked",
                                settings_.prefix, settings_.bucket),
                    "The marker that was written is not in the bucket's list.");
    }
}

}  // namespace immbackup
