// <stem>.receipt.json: what somebody who has nothing but the bucket needs to know of an artifact:
// which versions of its objects count, and what they are. docs/formats.md describes the document.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/manifest.h"
#include "core/names.h"
#include "core/time.h"

namespace immbackup {

inline constexpr int kReceiptFormat = 1;
inline constexpr std::size_t kMaxReceiptSize = 64 * 1024;
inline constexpr std::string_view kReceiptSuffix = ".receipt.json";

struct ReceiptObject {
    std::string key;
    std::string version_id;
    std::uint64_t size = 0;
    std::string checksum_sha256;  // base64; of a dump in parts: of the parts' digests
    std::string state;            // of its lock, when it was read back
    std::string mode;
    std::string until;
    std::string content;  // what of the content the store vouched for: checksum, etag, size
    std::string how;      // written with the object, or added
};

struct Receipt {
    std::string artifact;
    std::string instance;
    bool globals = false;
    std::string database;  // empty for globals
    std::string sha256;    // of the artifact
    std::uint64_t size = 0;
    std::uint64_t sql_size = 0;
    std::uint64_t rows = 0;
    std::string tier;
    Time taken{};
    Time retain_until{};
    Time written{};
    // So that the store's checksum of a dump in parts can be computed again.
    std::uint64_t parts = 0;
    std::uint64_t first_part = 0;
    std::uint64_t doubles_after = 0;
    std::map<std::string, ReceiptObject> objects;  // by file name

    const ReceiptObject& dump() const;
};

// Of the objects of an artifact, by file name: how its dump is compressed. Nothing where none of
// them is a dump.
std::optional<DumpFormat> format_among(const std::map<std::string, ReceiptObject>& objects,
                                       std::string_view stem);

std::string receipt_to_json(const Receipt& receipt);
// Error(corrupt) that names the member, Error(version) for a newer format. The three files of the
// artifact are among the objects, each with key and version, each key in the same folder as
// `receipt_key` and named after the artifact: a receipt cannot lead anywhere else.
Receipt receipt_from_json(std::string_view text, std::string_view receipt_key);
// Do both name the same bytes, and say the same of them? Two receipts of one artifact do, where an
// upload was repeated: only when they were written may differ, and what the store said then.
bool same_artifact(const Receipt& a, const Receipt& b);
// The manifest is among the bytes that a receipt names: what both say must agree. Error(corrupt)
// that names what does not.
void require_agreement(const Receipt& receipt, const Manifest& manifest);

}  // namespace immbackup
