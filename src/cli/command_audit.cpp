// `immbackup audit` prints the audit log, `immbackup audit verify` checks its chain.

#include <fmt/format.h>

#include "backup/bodies.h"
#include "cli/bucket.h"
#include "cli/commands.h"
#include "core/error.h"
#include "core/events.h"
#include "restore/anchors.h"

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

Json ranges_json(const std::vector<AnchorRange>& ranges) {
    Json out = Json::array();
    for (const auto& range : ranges) {
        out.push_back({{"first", range.first}, {"last", range.last}});
        if (!range.until.empty()) {
            out.back()["until"] = range.until;
        }
    }
    return out;
}

Json anchors_json(const AnchorReport& report) {
    return {{"objects", report.objects},
            {"anchored", ranges_json(report.anchored)},
            {"unanchored", ranges_json(report.unanchored)},
            {"findings", report.findings},
            {"notes", report.notes}};
}

void print_anchors(const AnchorReport& report) {
    fmt::print("{} anchors\n", report.objects);
    for (const auto& range : report.anchored) {
        fmt::print("anchored: records {} to {}, until {}\n", range.first, range.last, range.until);
    }
    for (const auto& range : report.unanchored) {
        fmt::print("not anchored: records {} to {}\n", range.first, range.last);
    }
    for (const auto& note : report.notes) {
        print_warning(printable(note));
    }
    for (const auto& finding : report.findings) {
        fmt::print("{}\n", printable(finding));
    }
}

Json chain_json(const ChainReport& report) {
    Json json{{"records", report.records},
              {"head", report.head_hash},
              {"result", report.sound() ? "sound" : "broken"}};
    if (!report.sound()) {
        json["first_bad_seq"] = *report.first_bad_seq;
        json["problem"] = report.problem;
    }
    json["offset"] = report.first_bad_offset;
    json["bytes"] = report.bytes;
    json["torn_lines"] = report.torn_lines;
    json["torn_tail"] = report.torn_tail;
    return json;
}

void print_chain(const ChainReport& report) {
    fmt::print("{} records, head {}\n", report.records, report.head_hash);
    if (report.torn_tail) {
        fmt::print("the last line is torn; the next record will explain it\n");
    }
    fmt::print("{}\n", report.sound() ? "the chain is sound"
                                      : fmt::format("broken at sequence {} (byte {}): {}",
                                                    *report.first_bad_seq, report.first_bad_offset,
                                                    report.problem));
}

// Where there is a backup directory its log is checked, and measured by the anchors; on a machine
// without one the anchors stand alone.
int verify_audit(Context& context, const std::string& from) {
    std::unique_ptr<Store> store;
    try {
        store = context.open_store();
    } catch (const Error& error) {
        if (from.empty() || context.flags.contains("directory")) {
            throw;
        }
    }
    Json json = Json::object();
    bool sound = true;
    if (store) {
        const ChainReport report = verify_audit_log(store->layout());
        sound = report.sound();
        json = chain_json(report);
        if (!context.json) {
            print_chain(report);
        }
    }
    if (!from.empty()) {
        const auto client = open_bucket(context, from);
        const AnchorReport report = verify_anchors(*client, store ? &store->layout() : nullptr);
        sound = sound && report.findings.empty();
        json["anchors"] = anchors_json(report);
        if (!context.json) {
            print_anchors(report);
        }
    }
    if (context.json) {
        print_json(json);
    }
    return sound ? 0 : static_cast<int>(ErrorCode::audit);
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
        "verify", "Check every hash, the chain and its anchors; exit code 19 where broken");
    auto from = std::make_shared<std::string>();
    add_setting_options(*verify, context, {});
    add_from_option(*verify, context, *from);
    add_json_option(*verify, context);
    add_examples(*verify, {"immbackup audit verify",
                           "immbackup audit verify --from s3://backups/prod --json"});
    command->callback([&context, options, verify, from] {
        if (verify->parsed()) {
            context.action = [&context, from] { return verify_audit(context, *from); };
        } else {
            context.action = [&context, options] { return print_audit(context, *options); };
        }
    });
}

}  // namespace immbackup
