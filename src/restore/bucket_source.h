// Artifacts read from the bucket alone: no directory, no audit log, no server is needed.
//
// Which version of a key counts is said by the receipt, never by order, date or name: whoever may
// write can make a version that is newer than ours, and a multipart upload is dated by its
// beginning, so also one that is older. Where receipts of one artifact disagree, a person must
// choose.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/receipt.h"
#include "s3/client.h"
#include "store/artifact_source.h"

namespace immbackup {

struct BucketUrl {
    std::string bucket;
    std::string prefix;  // without slashes at its ends; may be empty
};
// "s3://bucket/prefix"; Error(usage).
BucketUrl parse_bucket_url(std::string_view text);

enum class Attestation {
    attested,    // by a receipt; all receipts of it agree
    ambiguous,   // its receipts disagree
    unattested,  // three objects by their names, and no receipt
    incomplete,  // a version that the receipt names is not in the bucket, or the receipt cannot be
                 // read
};
std::string_view attestation_name(Attestation attestation);

struct BucketEntry {
    std::string artifact;
    Attestation state = Attestation::unattested;
    std::string problem;  // a sentence, where there is something to say
    // Versions of receipts that can be read, oldest first as the store lists them.
    std::vector<std::pair<std::string, Receipt>> receipts;
};

// What a person decided about artifacts whose receipts do not decide it.
struct BucketChoice {
    std::string receipt_version;  // the receipt that counts
    bool unattested = false;      // use objects that no receipt names
};

class BucketSource final : public ArtifactSource {
  public:
    // Reads the listing and every receipt. `client` outlives this, and its prefix is where it
    // looks.
    BucketSource(s3::Client& client, BucketChoice choice);

    const std::vector<BucketEntry>& entries() const { return entries_; }  // in order of name
    // The newest attested artifact of a database; Error(not_found).
    std::string latest(const std::string& database) const;
    // The objects that count, by file name. Error(not_found), Error(corrupt) where that is not
    // clear, with what to do about it as hint.
    const std::map<std::string, ReceiptObject>& objects(const std::string& stem) const;
    // Null where it may be used, or does not exist.
    const BucketEntry* doubtful(const std::string& stem) const;
    // Null where no receipt counts.
    const Receipt* receipt(const std::string& stem) const;
    // How the store holds the weakest of the three objects now: "COMPLIANCE until …", "GOVERNANCE
    // until …", "not locked", "unknown"; with a legal hold where there is one.
    std::string lock_now(const std::string& stem) const;

    std::vector<std::string> list() const override;
    std::string manifest_text(const std::string& stem) const override;
    std::string digest_text(const std::string& stem) const override;
    std::uint64_t artifact_size(const std::string& stem) const override;
    void read_artifact(const std::string& stem,
                       const std::function<void(std::span<const std::byte>)>& sink) const override;

  private:
    struct Chosen {
        std::optional<Receipt> receipt;
        std::map<std::string, ReceiptObject> objects;
    };
    using FileName = std::string(std::string_view stem, DumpFormat format);
    using Versions = std::multimap<std::string, s3::ListedVersion, std::less<>>;  // by key

    void read_receipt(const s3::ListedVersion& version, BucketEntry& entry);
    void judge(BucketEntry& entry, const Versions& versions);
    void judge_receipts(BucketEntry& entry, const Versions& versions);
    void judge_names(BucketEntry& entry, const Versions& versions);
    const ReceiptObject& object(const std::string& stem, FileName& file) const;
    std::string text(const std::string& stem, FileName& file, std::size_t limit) const;

    s3::Client& client_;
    const BucketChoice choice_;
    std::vector<BucketEntry> entries_;
    std::map<std::string, Chosen, std::less<>> chosen_;  // by stem: what may be used
};

}  // namespace immbackup
