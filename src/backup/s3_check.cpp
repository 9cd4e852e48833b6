#include "backup/s3_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "backup/bodies.h"
#include "backup/remote.h"
#include "core/events.h"
#include "io/clock.h"

namespace immbackup {

namespace {

// Of the last two weeks: what is made in a day stays under lock for so many days.
s3::CheckRow steady_state(const Catalog& catalog, int lock_days) {
    constexpr auto kWindow = std::chrono::days(14);
    constexpr int kObjects = 4;  // dump, checksum file, manifest, receipt
    const Time time = now();
    Time first = time;
    double artifacts = 0;
    double bytes = 0;
    for (const auto& [stem, entry] : catalog.artifacts) {
        const auto taken = parse_time(entry.taken);
        if (taken && *taken > time - kWindow) {
            first = std::min(first, *taken);
            artifacts += 1;
            bytes += static_cast<double>(entry.size);
        }
    }
    const double days = std::max(1.0, static_cast<double>((time - first).count()) / 86'400'000.0);
    return {
        "locked objects in the long run", s3::Answer3::unknown,
        fmt::format("about {:.0f} objects with {:.0f} bytes, locked for {} days each",
                    artifacts / days * lock_days * kObjects, bytes / days * lock_days, lock_days),
        s3::Answer3::unknown, false};
}

s3::CheckRow storage_class(const std::string& name) {
    constexpr std::array<std::string_view, 2> kThawed{"GLACIER", "DEEP_ARCHIVE"};
    const bool thaw = std::find(kThawed.begin(), kThawed.end(), name) != kThawed.end();
    return {"storage class can be read at once", thaw ? s3::Answer3::no : s3::Answer3::yes,
            thaw ? name + " must be thawed before a restore, which takes hours"
                 : (name.empty() ? "the bucket's default" : name),
            s3::Answer3::yes, false};
}

}  // namespace

std::vector<s3::CheckRow> check_s3(const Settings& settings, AuditLog& audit, s3::Depth depth,
                                   const CancelToken& cancel) {
    const auto remote = Remote::open(settings, audit, cancel);
    if (!remote) {
        throw Error(ErrorCode::config, "no bucket is set", {},
                    "Set immbackup.s3_bucket (S3_BUCKET).");
    }
    auto rows = s3::preflight(remote->client(), depth);
    rows.push_back(storage_class(settings.s3.storage_class));
    rows.push_back(steady_state(audit.catalog(), remote->lock_days(audit.catalog())));
    Body list = Body::array();
    for (const auto& row : rows) {
        list.push_back({{"check", row.check},
                        {"verdict", s3::answer_name(row.verdict)},
                        {"detail", bounded_text(row.detail, 2000)},
                        {"finding", row.finding()}});
    }
    audit.append(event::kS3Checked, body_text({{"rows", std::move(list)}}));
    return rows;
}

}  // namespace immbackup
