// What records say of the bucket: uploads, locks and their proof, anchors.

#include "core/catalog_fold.h"
#include "core/events.h"

namespace immbackup::fold {

namespace {

void take_lock(ArtifactEntry& entry, const RecordJson& body) {
    entry.upload = text(body, "state");
    entry.upload_error = text(body, "reason");
    entry.lock_mode = text(body, "mode");
    entry.locked_until = text(body, "locked_until");
}

}  // namespace

void upload(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    const std::string& event = record.event;
    const std::string id = text(body, "upload_id");
    if (event == event::kUploadBegun) {
        catalog.open_uploads[id] = {text(body, "artifact"), text(body, "key")};
        return;
    }
    catalog.open_uploads.erase(id);
    const auto found = catalog.artifacts.find(text(body, "artifact"));
    if (found == catalog.artifacts.end()) {
        return;
    }
    ArtifactEntry& entry = found->second;
    if (event == event::kArtifactUploaded) {
        take_lock(entry, body);
        entry.upload_tried = record.time;
        const auto objects = body.find("objects");
        entry.objects = objects != body.end() && objects->is_object()
                            ? objects->dump(-1, ' ', true, RecordJson::error_handler_t::replace)
                            : std::string();
    } else if (event == event::kUploadFailed) {
        entry.upload = text(body, "state") == "failed" ? "failed" : "pending";
        const auto error = error_of(body);
        entry.upload_error = error ? error->message : std::string();
        entry.upload_tried = record.time;
        ++entry.upload_tries;
    } else if (event == event::kLockProven) {
        take_lock(entry, body);
    } else if (event == event::kLockExtended) {
        raise_time(entry.locked_until, text(body, "locked_until"));
    } else if (event == event::kLegalHoldChanged) {
        entry.legal_hold = flag(body, "on");
    } else if (event == event::kObjectsDeleted) {
        entry.objects.clear();
    }
}

void anchor(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    catalog.anchored = record.time;
    catalog.anchor_state = text(body, "state");
    // What nobody has seen held may be gone tomorrow.
    if (catalog.anchor_state == "locked") {
        catalog.anchored_seq = std::max(catalog.anchored_seq, number(body, "last"));
    }
}

void locks_tried(Catalog& catalog, const AuditRecord& record, const RecordJson& body) {
    catalog.lock_problem = text(body, "problem");
    catalog.locks_tried = catalog.lock_problem.empty() ? std::string() : record.time;
}

}  // namespace immbackup::fold
