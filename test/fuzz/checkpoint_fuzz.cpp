// The catalog: whatever a log or a checkpoint holds, nothing throws, and what the fold gives can be
// written down and read back as the same.
#include <algorithm>
#include <array>
#include <string>

#include "core/audit_record.h"
#include "core/catalog.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/events.h"
#include "fuzz.h"

namespace {

using namespace immbackup;
using fuzz::require;

void check_kept(const Catalog& catalog) {
    const std::string text = catalog_to_checkpoint(catalog);
    const auto read = catalog_from_checkpoint(text);
    require(read.has_value());
    require(catalog_to_checkpoint(*read) == text);
    const auto& seen = read->clock.fields();
    for (const std::uint64_t passed : {std::uint64_t{0}, std::uint64_t{1'000}, ~std::uint64_t{0}}) {
        static_cast<void>(read->clock.judge(
            {seen.boot_id, seen.monotonic_ms + passed, *parse_time("9999-12-31T23:59:59.999Z")}));
        static_cast<void>(read->clock.judge({"boot", passed, Time{}}));
    }
    require(read->offset == catalog.offset && read->head_seq == catalog.head_seq &&
            read->bad_lines == catalog.bad_lines && read->runs.size() == catalog.runs.size() &&
            read->artifacts.size() == catalog.artifacts.size() &&
            read->settings == catalog.settings);
}

void check_checkpoint(std::string_view text) {
    if (const auto catalog = catalog_from_checkpoint(text)) {
        check_kept(*catalog);
    }
}

// One line, one record: its first byte chooses the event, the rest is the body.
Catalog fold(std::string_view script) {
    constexpr std::array kEvents{
        event::kInstanceCreated, event::kRunRequested,     event::kRunStarted,
        event::kRunFinished,     event::kRunFailed,        event::kRunCancelled,
        event::kArtifactSealed,  event::kArtifactVerified, event::kSettingsChanged};
    Catalog catalog;
    while (!script.empty()) {
        const auto end = std::min(script.find('\n'), script.size());
        const std::string_view line = script.substr(0, end);
        script.remove_prefix(std::min(end + 1, script.size()));
        if (line.empty()) {
            continue;
        }
        const unsigned act = static_cast<unsigned char>(line[0]);
        AuditRecord record{act < 128 ? catalog.head_seq + 1 : ~std::uint64_t{0},
                           "2026-01-18T12:00:00.000Z",
                           "job",
                           std::string(kZeroHash),
                           kEvents[act % kEvents.size()],
                           std::string(line.substr(1)),
                           {}};
        try {
            const std::string text = format_audit_line(record);
            catalog.apply_line(std::string_view(text).substr(0, text.size() - 1), text.size());
        } catch (const Error& error) {
            require(error.code() == ErrorCode::internal);  // no record at all: of format_audit_line
            catalog.apply_line(line, line.size() + 1);
        }
    }
    return catalog;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    check_checkpoint(input);
    const std::string head = "immbackup-catalog 6 ";
    check_checkpoint(head + "4096 7 " + std::string(kZeroHash) + " " + sha256_hex(input) + "\n" +
                     std::string(input));
    check_checkpoint(head + std::string(input) + " " + sha256_hex("{}") + "\n{}");
    check_kept(fold(input));
    return 0;
}
