#include "restore/bucket_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/names.h"

namespace immbackup {

namespace {

// "20260118T120000Z.shop" of "20260118T120000Z.shop~1a2b": what stands beside a key that was taken.
std::string_view without_nonce(std::string_view stem) {
    return stem.substr(0, stem.find('~'));
}

// The stem that an object's name belongs to; nothing for what is none of an artifact's objects.
std::optional<std::string> stem_of_name(std::string_view name) {
    if (name.ends_with(kReceiptSuffix)) {
        const auto stem = without_nonce(name.substr(0, name.size() - kReceiptSuffix.size()));
        return parse_stem(stem) ? std::optional(std::string(stem)) : std::nullopt;
    }
    const auto nonce = name.find('~');
    if (nonce == std::string_view::npos) {
        return stem_of_file(name);
    }
    std::string plain(name.substr(0, nonce));
    plain += name.substr(std::min(name.find('.', nonce), name.size()));
    return stem_of_file(plain);
}

}  // namespace

BucketUrl parse_bucket_url(std::string_view text) {
    constexpr std::string_view kScheme = "s3://";
    const std::string_view rest = text.starts_with(kScheme) ? text.substr(kScheme.size()) : "";
    const auto slash = rest.find('/');
    BucketUrl out{std::string(rest.substr(0, slash)), {}};
    if (slash != std::string_view::npos) {
        std::string_view prefix = rest.substr(slash + 1);
        while (prefix.ends_with('/')) {
            prefix.remove_suffix(1);
        }
        out.prefix = prefix;
    }
    if (out.bucket.empty() || out.prefix.starts_with('/')) {
        throw Error(ErrorCode::usage, fmt::format("\"{}\" does not name a bucket", text), {},
                    "Write s3://BUCKET/PREFIX, with the prefix of immbackup.s3_prefix.");
    }
    return out;
}

std::string_view attestation_name(Attestation attestation) {
    constexpr std::array<std::string_view, 4> kNames{"attested", "ambiguous", "unattested",
                                                     "incomplete"};
    return kNames.at(static_cast<std::size_t>(attestation));
}

BucketSource::BucketSource(s3::Client& client, BucketChoice choice)
    : client_(client), choice_(std::move(choice)) {
    const std::string folder = client_.key_of("");
    std::map<std::string, BucketEntry> entries;
    std::vector<s3::ListedVersion> receipts;
    Versions versions;
    for (const auto& version : client_.list_versions(folder)) {
        const std::string_view name = std::string_view(version.key).substr(folder.size());
        const auto stem =
            name.find('/') == std::string_view::npos ? stem_of_name(name) : std::nullopt;
        if (!stem || version.delete_marker) {
            continue;  // a delete marker hides a version, and takes nothing away
        }
        BucketEntry& entry = entries[*stem];
        entry.artifact = *stem;
        if (name.ends_with(kReceiptSuffix)) {
            receipts.push_back(version);
        }
        versions.emplace(version.key, version);
    }
    for (auto version = receipts.rbegin(); version != receipts.rend(); ++version) {
        read_receipt(
            *version,
            entries.at(*stem_of_name(std::string_view(version->key).substr(folder.size()))));
    }
    for (auto& [stem, entry] : entries) {
        judge(entry, versions);
        entries_.push_back(std::move(entry));
    }
}

// One that cannot be read is told, and does not count against those that can: anybody who may
// write could put it there.
void BucketSource::read_receipt(const s3::ListedVersion& version, BucketEntry& entry) {
    try {
        Receipt receipt = receipt_from_json(
            client_.get_text(version.key, version.version_id, kMaxReceiptSize), version.key);
        if (receipt.artifact != entry.artifact) {
            throw Error(ErrorCode::corrupt,
                        fmt::format("it is a receipt of \"{}\"", receipt.artifact));
        }
        entry.receipts.emplace_back(version.version_id, std::move(receipt));
    } catch (const Error& error) {
        // What is wrong with this one alone: also a storage class that must be thawed first.
        if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::connect ||
            error.code() == ErrorCode::timeout || error.code() == ErrorCode::config) {
            throw;
        }
        entry.state = Attestation::incomplete;
        entry.problem = fmt::format("Version {} of \"{}\" is no usable receipt: {}.",
                                    version.version_id, version.key, error.message());
    }
}

void BucketSource::judge(BucketEntry& entry, const Versions& versions) {
    if (!entry.receipts.empty()) {
        judge_receipts(entry, versions);
    } else {
        judge_names(entry, versions);
    }
}

void BucketSource::judge_receipts(BucketEntry& entry, const Versions& versions) {
    const auto wanted =
        std::find_if(entry.receipts.begin(), entry.receipts.end(),
                     [this](const auto& item) { return item.first == choice_.receipt_version; });
    const Receipt& first = entry.receipts.front().second;
    const bool agree =
        std::all_of(entry.receipts.begin(), entry.receipts.end(),
                    [&](const auto& item) { return same_artifact(item.second, first); });
    if (!agree && wanted == entry.receipts.end()) {
        entry.state = Attestation::ambiguous;
        entry.problem =
            fmt::format("{} receipts name different objects: somebody else writes here, or wrote.",
                        entry.receipts.size());
        return;
    }
    const Receipt& receipt = wanted == entry.receipts.end() ? first : wanted->second;
    for (const auto& [file, object] : receipt.objects) {
        const auto [begin, end] = versions.equal_range(object.key);
        if (std::none_of(begin, end, [&object = object](const auto& item) {
                return item.second.version_id == object.version_id;
            })) {
            entry.state = Attestation::incomplete;
            entry.problem = fmt::format("Version {} of \"{}\" is not in the bucket.",
                                        object.version_id, object.key);
            return;
        }
    }
    entry.state = agree ? Attestation::attested : Attestation::ambiguous;
    chosen_[entry.artifact] = {receipt, receipt.objects};
}

// Without a receipt only names are left; they are good for something where there is no choice.
void BucketSource::judge_names(BucketEntry& entry, const Versions& versions) {
    const bool zstd =
        versions.contains(client_.key_of(manifest_file(entry.artifact, DumpFormat::zstd)));
    const bool gzip =
        versions.contains(client_.key_of(manifest_file(entry.artifact, DumpFormat::gzip)));
    if (zstd && gzip) {
        entry.state = Attestation::incomplete;
        entry.problem = "There is no receipt, and there are a gzip and a zstd dump of this name.";
        return;
    }
    Chosen chosen;
    for (const auto& file :
         artifact_files(entry.artifact, zstd ? DumpFormat::zstd : DumpFormat::gzip)) {
        const std::string key = client_.key_of(file);
        const auto count = versions.count(key);
        if (count != 1) {
            entry.state = Attestation::incomplete;
            entry.problem += fmt::format("{}There is no receipt, and \"{}\" has {} versions.",
                                         entry.problem.empty() ? "" : " ", key, count);
            return;
        }
        const s3::ListedVersion& version = versions.find(key)->second;
        chosen.objects[file].key = key;
        chosen.objects[file].version_id = version.version_id;
        chosen.objects[file].size = version.size;
    }
    entry.state = Attestation::unattested;
    if (choice_.unattested) {
        chosen_[entry.artifact] = std::move(chosen);
    }
}

std::string BucketSource::latest(const std::string& database) const {
    const Receipt* newest = nullptr;
    for (const auto& entry : entries_) {
        const Receipt* candidate =
            entry.state == Attestation::attested ? receipt(entry.artifact) : nullptr;
        if (candidate != nullptr && !candidate->globals && candidate->database == database &&
            (newest == nullptr || candidate->taken > newest->taken)) {
            newest = candidate;
        }
    }
    if (newest == nullptr) {
        throw Error(ErrorCode::not_found,
                    fmt::format("there is no attested artifact of database \"{}\"", database), {},
                    "`immbackup list --from` shows the artifacts there are.");
    }
    return newest->artifact;
}

const std::map<std::string, ReceiptObject>& BucketSource::objects(const std::string& stem) const {
    if (const auto found = chosen_.find(stem); found != chosen_.end()) {
        return found->second.objects;
    }
    const BucketEntry* entry = doubtful(stem);
    if (entry == nullptr) {
        throw Error(ErrorCode::not_found, fmt::format("there is no artifact \"{}\"", stem), {},
                    "`immbackup list --from` shows the artifacts there are.");
    }
    const char* hint = "`immbackup show --from` shows its versions.";
    if (entry->state == Attestation::ambiguous) {
        hint = "`immbackup show --from` shows its receipts; choose one by --receipt VERSION.";
    } else if (entry->state == Attestation::unattested) {
        hint = "Say --unattested to use it all the same.";
    }
    throw Error(ErrorCode::corrupt,
                fmt::format("artifact \"{}\" is {}", stem, attestation_name(entry->state)),
                entry->problem, hint);
}

const BucketEntry* BucketSource::doubtful(const std::string& stem) const {
    const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const auto& e) { return e.artifact == stem; });
    return entry == entries_.end() || chosen_.contains(stem) ? nullptr : &*entry;
}

const Receipt* BucketSource::receipt(const std::string& stem) const {
    const auto found = chosen_.find(stem);
    return found != chosen_.end() && found->second.receipt ? &*found->second.receipt : nullptr;
}

std::string BucketSource::lock_now(const std::string& stem) const {
    std::optional<Time> until;
    s3::LockMode mode = s3::LockMode::compliance;
    bool held = true;
    bool known = true;
    for (const auto& [file, object] : objects(stem)) {
        const s3::LockReading reading = client_.read_lock(object.key, object.version_id);
        held = held && reading.legal_hold == s3::Reading::held;
        if (reading.retention == s3::Reading::denied || reading.retention == s3::Reading::failed) {
            known = false;
        } else {
            mode = std::min(mode, reading.until ? reading.mode : s3::LockMode::none);
            until = std::min(reading.until.value_or(Time{}), until.value_or(Time::max()));
        }
    }
    const char* hold = held ? ", legal hold" : "";
    if (!known) {
        return std::string("unknown") + hold;
    }
    return mode == s3::LockMode::none
               ? std::string("not locked") + hold
               : fmt::format("{} until {}{}", s3::lock_mode_name(mode), format_time(*until), hold);
}

const ReceiptObject& BucketSource::object(const std::string& stem, FileName& file) const {
    const auto& all = objects(stem);
    return all.at(file(stem, format_among(all, stem).value_or(DumpFormat::gzip)));
}

std::string BucketSource::text(const std::string& stem, FileName& file, std::size_t limit) const {
    const ReceiptObject& o = object(stem, file);
    return client_.get_text(o.key, o.version_id, limit);
}

std::vector<std::string> BucketSource::list() const {
    std::vector<std::string> stems;
    for (const auto& [stem, chosen] : chosen_) {
        stems.push_back(stem);
    }
    return stems;
}

// Receipt and manifest must say the same.
std::string BucketSource::manifest_text(const std::string& stem) const {
    std::string out = text(stem, manifest_file, kMaxManifestSize);
    const Receipt* attested = receipt(stem);
    if (attested != nullptr) {
        require_agreement(*attested, manifest_from_json(out));
    }
    return out;
}

std::string BucketSource::digest_text(const std::string& stem) const {
    return text(stem, digest_file, kMaxDigestFile);
}

std::uint64_t BucketSource::artifact_size(const std::string& stem) const {
    const ReceiptObject& o = object(stem, artifact_file);
    const auto info = client_.head(o.key, o.version_id);
    if (!info) {
        throw Error(ErrorCode::not_found,
                    fmt::format("version {} of \"{}\" is not in the bucket", o.version_id, o.key));
    }
    return info->size;
}

void BucketSource::read_artifact(
    const std::string& stem, const std::function<void(std::span<const std::byte>)>& sink) const {
    const ReceiptObject& o = object(stem, artifact_file);
    client_.get(o.key, o.version_id, sink);
}

}  // namespace immbackup
