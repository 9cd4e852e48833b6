#include "core/receipt.h"

#include <tuple>

#include "core/digest.h"
#include "core/json_reader.h"
#include "core/names.h"

namespace immbackup {

namespace {

constexpr const char* kReceiptDocument = "receipt";

ReceiptObject read_object(const JsonReader& in) {
    ReceiptObject out;
    in.get("key", out.key);
    in.get("version_id", out.version_id);
    in.get("size", out.size);
    in.get("checksum_sha256", out.checksum_sha256);
    in.get("state", out.state);
    in.get("mode", out.mode);
    in.get("until", out.until);
    in.get("content", out.content);
    in.get("how", out.how);
    return out;
}

// "backups/" of "backups/x".
std::string_view folder_of(std::string_view key) {
    const auto slash = key.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : key.substr(0, slash + 1);
}

}  // namespace

std::string receipt_to_json(const Receipt& receipt) {
    Json objects = Json::object();
    for (const auto& [file, object] : receipt.objects) {
        objects[file] = {{"key", object.key},     {"version_id", object.version_id},
                         {"size", object.size},   {"checksum_sha256", object.checksum_sha256},
                         {"state", object.state}, {"mode", object.mode},
                         {"until", object.until}, {"content", object.content},
                         {"how", object.how}};
    }
    const Json json{
        {"format", kReceiptFormat},
        {"artifact", receipt.artifact},
        {"instance", receipt.instance},
        {"globals", receipt.globals},
        {"database", receipt.globals ? Json(nullptr) : Json(receipt.database)},
        {"sha256", receipt.sha256},
        {"size", receipt.size},
        {"sql_size", receipt.sql_size},
        {"rows", receipt.rows},
        {"tier", receipt.tier},
        {"taken", format_time(receipt.taken)},
        {"retain_until", format_time(receipt.retain_until)},
        {"written", format_time(receipt.written)},
        {"parts",
         {{"count", receipt.parts},
          {"first", receipt.first_part},
          {"doubles_after", receipt.doubles_after}}},
        {"objects", std::move(objects)},
    };
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Receipt receipt_from_json(std::string_view text, std::string_view receipt_key) {
    const Json json = parse_bounded(kReceiptDocument, text, kMaxReceiptSize);
    const JsonReader in(kReceiptDocument, json);
    int format = 0;
    in.get("format", format);
    if (format > kReceiptFormat) {
        throw Error(ErrorCode::version,
                    fmt::format("the receipt has format {}, newer than this version reads", format),
                    {}, "Use the version of immbackup that wrote it, or a newer one.");
    }
    Receipt out;
    in.get("artifact", out.artifact);
    in.get("instance", out.instance);
    in.get("globals", out.globals);
    if (!out.globals) {
        in.get("database", out.database);
    }
    in.get("sha256", out.sha256);
    in.get("size", out.size);
    in.get("sql_size", out.sql_size);
    in.get("rows", out.rows);
    in.get("tier", out.tier);
    in.get("taken", out.taken);
    in.get("retain_until", out.retain_until);
    in.get("written", out.written);
    const JsonReader parts = in.object("parts");
    parts.get("count", out.parts);
    parts.get("first", out.first_part);
    parts.get("doubles_after", out.doubles_after);
    if (!parse_stem(out.artifact)) {
        throw in.bad("\"artifact\"", "is not the name of an artifact");
    }
    if (!is_sha256_hex(out.sha256)) {
        throw in.bad("\"sha256\"", "is not a SHA-256 digest");
    }
    const JsonReader objects = in.object("objects");
    const std::string start = std::string(folder_of(receipt_key)) + out.artifact;
    const DumpFormat dump = objects.has(artifact_file(out.artifact, DumpFormat::zstd).c_str())
                                ? DumpFormat::zstd
                                : DumpFormat::gzip;
    for (const auto& file : artifact_files(out.artifact, dump)) {
        ReceiptObject object = read_object(objects.object(file.c_str()));
        if (!object.key.starts_with(start) || folder_of(object.key) != folder_of(receipt_key)) {
            throw in.bad("\"objects." + file + ".key\"", "is not a key of this artifact");
        }
        out.objects[file] = std::move(object);
    }
    return out;
}

std::optional<DumpFormat> format_among(const std::map<std::string, ReceiptObject>& objects,
                                       std::string_view stem) {
    for (const DumpFormat format : kDumpFormats) {
        if (objects.contains(artifact_file(stem, format))) {
            return format;
        }
    }
    return std::nullopt;
}

const ReceiptObject& Receipt::dump() const {
    return objects.at(
        artifact_file(artifact, format_among(objects, artifact).value_or(DumpFormat::gzip)));
}

bool same_artifact(const Receipt& a, const Receipt& b) {
    const auto said = [](const Receipt& r) {
        return std::tie(r.artifact, r.instance, r.globals, r.database, r.sha256, r.size, r.sql_size,
                        r.rows, r.tier, r.taken, r.retain_until);
    };
    if (said(a) != said(b) || a.objects.size() != b.objects.size()) {
        return false;
    }
    for (const auto& [file, object] : a.objects) {
        const auto other = b.objects.find(file);
        if (other == b.objects.end() || other->second.key != object.key ||
            other->second.version_id != object.version_id) {
            return false;
        }
    }
    return true;
}

void require_agreement(const Receipt& receipt, const Manifest& manifest) {
    const auto check = [&](bool same, const char* what) {
        if (!same) {
            throw Error(ErrorCode::corrupt,
                        fmt::format("manifest and receipt of \"{}\" do not agree about its {}",
                                    receipt.artifact, what),
                        {}, "Use another artifact, or another copy of this one.");
        }
    };
    check(manifest.artifact == receipt.artifact, "name");
    check(manifest.sha256 == receipt.sha256, "digest");
    check(manifest.size == receipt.size, "size");
    check(manifest.sql_size == receipt.sql_size, "uncompressed size");
    check(manifest.rows == receipt.rows, "rows");
    check(manifest.instance == receipt.instance, "instance");
    check(manifest.globals == receipt.globals, "kind");
    check(manifest.database.name == receipt.database, "database");
    check(manifest.snapshot_before == receipt.taken, "time");
    check(manifest.tier == receipt.tier, "tier");
}

}  // namespace immbackup
