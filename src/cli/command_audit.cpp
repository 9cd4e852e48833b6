// `immbackup audit` prints the audit log, `immbackup audit verify` checks its chain.

#include <fmt/format.h>

#include "backup/bodies.h"
#include "cli/commands.h"
#include "core/error.h"
#include "core/events.h"

namespace immbackup {

namespace {

struct AuditOptions {
    std::uint64_t after = 0;
    std::uint64_t limit = 0;  // 0: all
    std::string event;
};

int print_audit(Context& context, const AuditOptions& options) {
    const auto store = context.open_store();
    std::uint64_t printed = 0;
    read_audit(store->layout(), options.after,
               [&](const AuditRecord* record, std::uint64_t offset, const std::string& problem) {
                   if (record == nullptr) {
                       print_warning(fmt::format("at byte {}: {}", offset, problem));
                       return true;
                   }
                   if (!options.event.empty() && record->event != options.event) {
                       return true;
                   }
                   if (context.json) {
                       fmt::print(R"({{"seq":{},"time":"{}","origin":"{}","event":"{}","body":{}}})"
                                  "\n",
                                  record->seq, record->time, record->origin, record->event,
                                  record->body);
                   } else {
                       fmt::print("{:>6}  {}  {:<18} {}\n", record->seq, record->time,
                                  record->event, record->body);
                   }
                   ++printed;
                   return options.limit == 0 || printed < options.limit;
               });
    return 0;
}

int verify_audit(Context& context) {
    const auto store = context.open_store();
    const ChainReport report = verify_audit_log(store->layout());
    Body body{{"records", report.records},
              {"head", report.head_hash},
              {"result", report.sound() ? "sound" : "broken"}};
    if (!report.sound()) {
        body["first_bad_seq"] = *report.first_bad_seq;
        body["problem"] = report.problem;
    }
    if (context.json) {
        Body json = body;
        json["offset"] = report.first_bad_offset;
        json["bytes"] = report.bytes;
        json["torn_lines"] = report.torn_lines;
        json["torn_tail"] = report.torn_tail;
        print_json(json);
    } else {
        fmt::print("{} records, head {}\n", report.records, report.head_hash);
        if (report.torn_tail) {
            fmt::print("the last line is torn; the next record will explain it\n");
        }
        fmt::print("{}\n", report.sound() ? "the chain is sound"
                                          : fmt::format("broken at sequence {} (byte {}): {}",
                                                        *report.first_bad_seq,
                                                        report.first_bad_offset, report.problem));
    }
    return report.sound() ? 0 : static_cast<int>(ErrorCode::audit);
}

}  // namespace

void register_audit(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("audit", "Print the audit log, or verify its chain");
    auto options = std::make_shared<AuditOptions>();
    command->add_option("--after", options->after, "Only records after this sequence number");
    command->add_option("--limit", options->limit, "At most so many records")
        ->check(CLI::PositiveNumber);
    command->add_option("--event", options->event, "Only records of this event");
    add_setting_options(*command, context, {});
    add_json_option(*command, context);
    add_examples(*command,
                 {"immbackup audit --event run_failed",
                  "immbackup audit --after 100 --json | jq .body", "immbackup audit verify"});
    CLI::App* verify = command->add_subcommand(
        "verify", "Check every hash and the chain; exit code 19 where broken");
    add_setting_options(*verify, context, {});
    add_json_option(*verify, context);
    command->callback([&context, options, verify] {
        if (verify->parsed()) {
            context.action = [&context] { return verify_audit(context); };
        } else {
            context.action = [&context, options] { return print_audit(context, *options); };
        }
    });
}

}  // namespace immbackup
