// The audit log in the vault: read like any other, written by the helper, which makes sequence,
// time and chain itself.

#include <fmt/format.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/events.h"
#include "io/clock.h"
#include "io/file.h"
#include "store/audit_log.h"
#include "store/audit_writer.h"
#include "store/line_reader.h"
#include "store/vault_client.h"
#include "store/vault_store.h"

namespace immbackup {

namespace {

// A log of years takes its time.
constexpr int kAdoptMs = 600'000;

class VaultAuditWriter final : public AuditWriter {
  public:
    VaultAuditWriter(Layout layout, std::string helper, std::string origin)
        : layout_(std::move(layout)), origin_(std::move(origin)), link_(std::move(helper)) {}

    void begin(Catalog& catalog) override;
    void catch_up(Catalog& catalog) override;
    AuditRecord append(Catalog& catalog, const char* event, const std::string& body) override;
    bool append_only() const override { return true; }

  private:
    AuditRecord write(const char* event, const std::string& body);
    void create(Catalog& catalog);
    void adopt();
    std::optional<AuditRecord> written_after(std::uint64_t seq, const char* event,
                                             const std::string& body) const;

    Layout layout_;
    std::string origin_;
    Fd log_;
    VaultLink link_;
};

void VaultAuditWriter::begin(Catalog& catalog) {
    log_ = open_log(layout_);
    if (log_) {
        catalog = load_checkpoint(layout_, log_);
        catch_up(catalog);
    }
    if (catalog.instance.empty()) {
        create(catalog);
    }
}

void VaultAuditWriter::catch_up(Catalog& catalog) {
    if (!log_) {
        log_ = open_log(layout_);
    }
    if (!log_) {
        return;
    }
    if (file_size(log_, layout_.audit_log()) < catalog.offset) {
        throw Error(ErrorCode::audit,
                    fmt::format("the audit log \"{}\" became shorter while it was in use",
                                layout_.audit_log().string()),
                    "Records were cut off: find out who did it.");
    }
    fold_log(catalog, log_, layout_);
}

// The log of the plain store goes on in the vault; otherwise a new one is begun.
void VaultAuditWriter::create(Catalog& catalog) {
    std::error_code ignored;
    const bool before = fs::exists(layout_.plain().audit_log(), ignored);
    try {
        if (before) {
            adopt();
        } else {
            write(event::kInstanceCreated, instance_body());
        }
    } catch (const Error&) {
        // Somebody else may have been first.
        catch_up(catalog);
        if (catalog.instance.empty()) {
            throw;
        }
        return;
    }
    catch_up(catalog);
}

void VaultAuditWriter::adopt() {
    const fs::path path = layout_.plain().audit_log();
    const Fd plain = open_regular(path);
    try {
        // The helper takes what ends with a sound record: whether all before it is, is for us.
        const ChainReport report = verify_audit_log(layout_.plain());
        if (report.records == 0 || report.torn_tail) {
            throw Error(ErrorCode::audit,
                        report.torn_tail ? "its last line is torn" : "there is no record in it", {},
                        "The plain store mends its end when it is used. To begin a new log, move "
                        "it away.");
        }
        if (!report.sound()) {
            throw Error(ErrorCode::audit,
                        fmt::format("{} (record {}, offset {})", report.problem,
                                    report.first_bad_seq.value_or(0), report.first_bad_offset),
                        {},
                        "\"immbackup audit verify\" on a copy of it says the same. To begin a new "
                        "log, move it away.");
        }
        link_.ask("adopt");
        VaultClient& client = link_.client();
        Sha256 digest;
        const std::uint64_t size = read_blocks(plain, path, [&](std::span<const std::byte> block) {
            digest.update(block);
            client.write_content(block);
        });
        client.commit(size, digest.hex());
        client.read_answer(kAdoptMs);
    } catch (const Error& error) {
        throw Error(error.code(),
                    fmt::format("the audit log of the plain store cannot go on in the vault: {}",
                                error.message()),
                    fmt::format("It is \"{}\".", path.string()), error.hint());
    }
}

AuditRecord VaultAuditWriter::write(const char* event, const std::string& body) {
    link_.ask(fmt::format("append event={} origin={}", event, origin_));
    VaultClient& helper = link_.client();
    helper.write_content(std::as_bytes(std::span(body.data(), body.size())));
    helper.commit(body.size(), sha256_hex(body));
    const VaultAnswer answer = helper.read_answer();
    AuditRecord record;
    record.seq = answer.number("seq");
    record.time = answer.text("time");
    record.origin = origin_;
    record.prev = answer.text("prev");
    record.event = event;
    record.body = body;
    record.hash = answer.text("hash");
    return record;
}

// A connection that broke leaves open whether the record was written; the log knows.
std::optional<AuditRecord> VaultAuditWriter::written_after(std::uint64_t seq, const char* event,
                                                           const std::string& body) const {
    std::optional<AuditRecord> found;
    read_audit(layout_, seq, [&](const AuditRecord* record, std::uint64_t, const std::string&) {
        if (record != nullptr && record->event == event && record->body == body &&
            record->origin == origin_) {
            found = *record;
        }
        return !found.has_value();
    });
    return found;
}

AuditRecord VaultAuditWriter::append(Catalog& catalog, const char* event, const std::string& body) {
    catch_up(catalog);
    const std::uint64_t before = catalog.head_seq;
    AuditRecord record;
    try {
        record = write(event, body);
    } catch (const Error& error) {
        const bool unknown = error.code() == ErrorCode::io || error.code() == ErrorCode::timeout;
        const auto written = unknown ? written_after(before, event, body) : std::nullopt;
        if (!written) {
            throw;
        }
        record = *written;
    }
    catch_up(catalog);
    if (catalog.head_seq < record.seq) {
        throw Error(ErrorCode::audit,
                    fmt::format("the vault's helper says that record {} is written, but the audit "
                                "log \"{}\" ends with record {}",
                                record.seq, layout_.audit_log().string(), catalog.head_seq));
    }
    return record;
}

}  // namespace

AuditLog VaultStore::open_audit(const std::string& origin) const {
    return {layout_, std::make_unique<VaultAuditWriter>(layout_, helper_, origin)};
}

}  // namespace immbackup
