// `immbackup show`

#include <fmt/format.h>

#include "cli/commands.h"
#include "core/error.h"
#include "io/file.h"

namespace immbackup {

namespace {

void line(const char* name, const std::string& value) {
    fmt::print("{:<16} {}\n", name, printable(value));
}

int show(Context& context, const std::string& artifact) {
    const auto store = context.open_store();
    const Manifest m = store->read_manifest(artifact);
    if (context.json) {
        fmt::print("{}", store->manifest_text(artifact));
        return 0;
    }
    line("artifact", m.artifact);
    if (m.globals) {
        line("content",
             m.role_passwords ? "roles and tablespaces" : "roles without passwords, tablespaces");
    } else {
        line("database", m.database.name);
        line("owner", m.database.owner);
        line("encoding",
             fmt::format("{}, {} {}", m.database.encoding, m.database.locale_provider,
                         m.database.locale.empty() ? m.database.collate : m.database.locale));
    }
    line("server",
         fmt::format("PostgreSQL {} at {}:{}", m.server.version, m.server.host, m.server.port));
    line("dumped by",
         fmt::format("pg_dump {}, immbackup {}", m.pg_dump_version, m.immbackup_version));
    line("restore with", m.psql_required);
    line("snapshot", fmt::format("between {} and {}", format_time(m.snapshot_after),
                                 format_time(m.snapshot_before)));
    line("took", duration_text(std::chrono::duration<double>(m.finished - m.started).count()));
    line("size", fmt::format("{} ({} of SQL), {}", size_text(m.size), size_text(m.sql_size),
                             m.compression));
    line("sha256", m.sha256);
    line("content", fmt::format("{} rows in {} tables, {} large objects", m.rows, m.tables.size(),
                                m.large_objects));
    line("tier", fmt::format("{}, kept until {}", m.tier, format_time(m.retain_until)));
    line("seal",
         fmt::format("{} when made, {} now", m.seal, seal_level_name(store->seal_of(artifact))));
    line("audit", fmt::format("after record {} ({})", m.audit_seq, m.audit_hash));
    for (const auto& warning : m.warnings) {
        line("warning", warning);
    }
    return 0;
}

}  // namespace

void register_show(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("show", "Show what the manifest says of an artifact");
    auto artifact = std::make_shared<std::string>();
    command->add_option("artifact", *artifact, "Its name, as `immbackup list` shows it")
        ->required();
    add_setting_options(*command, context, {});
    add_json_option(*command, context);
    add_examples(*command, {"immbackup show 20260118T120000Z.shop",
                            "immbackup show 20260118T120000Z.shop --json | jq .tables"});
    command->callback([&context, artifact] {
        context.action = [&context, artifact] { return show(context, *artifact); };
    });
}

}  // namespace immbackup
