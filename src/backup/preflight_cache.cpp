#include "backup/preflight_cache.h"

#include <fcntl.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"
#include "io/file.h"

namespace immbackup {

namespace {

constexpr auto kCountsFor = std::chrono::hours(1);
constexpr std::size_t kMaxSize = 4096;

std::string digest_of(const s3::S3Options& options, const std::string& access_key) {
    const Json all{options.bucket,
                   options.prefix,
                   options.region,
                   options.endpoint_url,
                   static_cast<int>(options.addressing),
                   options.ca_file,
                   static_cast<int>(options.lock_mode),
                   options.lock_days,
                   options.storage_class,
                   options.kms_key_id,
                   options.clock_acknowledged,
                   access_key};
    return sha256_hex(all.dump(-1, ' ', true, Json::error_handler_t::replace));
}

}  // namespace

PreflightCache::PreflightCache(const Layout& layout, const s3::S3Options& options,
                               const std::string& access_key)
    : path_(layout.preflight_cache()), for_(digest_of(options, access_key)) {}

bool PreflightCache::is_fresh(Time now) const {
    try {
        const auto json = Json::parse(read_file(path_, kMaxSize), nullptr, false);
        if (!json.is_object() || json.value("for", "") != for_) {
            return false;
        }
        const auto looked = parse_time(json.value("looked", ""));
        return looked && *looked <= now && now - *looked < kCountsFor;
    } catch (const std::exception&) {
        return false;
    }
}

// Not synced: losing it costs a few requests.
void PreflightCache::remember(Time now) const noexcept {
    try {
        const Fd file = open_file(path_, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        give_to_owner_of(path_.parent_path(), file, path_);
        write_all(file, Json{{"for", for_}, {"looked", format_time(now)}}.dump() + "\n", path_);
    } catch (const std::exception&) {
        return;
    }
}

void PreflightCache::forget(const Layout& layout) noexcept {
    try {
        remove_file(layout.preflight_cache());
    } catch (const std::exception&) {
        return;
    }
}

}  // namespace immbackup
