// What the commands of the `immbackup` program share: settings as flags, output, errors, and the
// one way to be interrupted.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/settings.h"
#include "io/cancel.h"
#include "io/progress.h"
#include "store/audit_log.h"
#include "store/store.h"

namespace immbackup {

class SignalWatcher;

// One invocation of the program. A command's callback sets `action`; main() calls it after the
// whole command line was parsed, prints an Error that it throws, and exits with its code.
class Context {
  public:
    Context();
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    std::function<int()> action;  // returns the exit code
    SettingTexts flags;           // settings given on the command line, by name
    bool json = false;            // --json
    bool quiet = false;           // --quiet: no progress bar
    std::string bindir;           // --bindir: where pg_dump and psql are; empty: looked for

    struct Origin {
        std::string text;
        std::string from;  // "command line", "environment variable BACKUP_DIR", "default"
    };
    // Every setting: flags before environment before default. Not checked.
    std::map<std::string, Origin, std::less<>> setting_origins() const;
    // The same, checked and typed. Error(config).
    Settings settings() const;
    // Of the settings, the directory alone: for commands that need no other, so that a bad value of
    // another setting in the environment does not keep anybody from reading a backup.
    // Error(config).
    std::string directory() const;
    // The same of vault_helper: where neither flag nor environment names it, a vault has what the
    // server's worker last recorded.
    std::string vault_helper() const;

    // To look into. Error(config) with a hint where there is no backup directory.
    std::unique_ptr<Store> open_store() const;
    // Error(config) with a hint where the directory is missing or not usable.
    std::unique_ptr<Store> open_writable_store() const;
    // Opens the audit log for writing, with origin "cli". Error(audit).
    AuditLog open_audit(const Store& store) const;

    // A bar on stderr where that is a terminal and neither --json nor --quiet was given; otherwise
    // nothing but warnings, a line each on stderr.
    std::unique_ptr<Progress> make_progress() const;

    // Tripped with Error(cancelled) by SIGINT, SIGTERM or SIGHUP from the first call on; a second
    // signal ends the program at once. Call before any thread is started.
    CancelToken& cancel();

  private:
    CancelToken cancel_;
    std::unique_ptr<SignalWatcher> watcher_;
};

// Adds the flags of these settings, named as they are with "-" for "_", and always --directory.
void add_setting_options(CLI::App& command, Context& context,
                         std::initializer_list<const char*> names);
// host, port, username, password_file, and --bindir.
void add_connection_options(CLI::App& command, Context& context);
void add_json_option(CLI::App& command, Context& context);
void add_quiet_option(CLI::App& command, Context& context);
// Examples below the options of --help: "immbackup verify --all".
void add_examples(CLI::App& command, const std::vector<std::string>& examples);

// Pretty-printed with a newline to stdout, other bytes than UTF-8 replaced.
void print_json(const Json& json);
void print_warning(std::string_view text);  // "immbackup: warning: …" on stderr
void print_error(const Error& error);       // "immbackup: error: …", DETAIL and HINT lines
// {"code","message","detail","hint"}, as in the audit log.
Json error_json(const Error& error);
// "1.5 GB" (powers of 1000), "12 B"
std::string size_text(std::uint64_t bytes);
// "4 s", "2 min 05 s", "3 h 07 min"
std::string duration_text(double seconds);
// The OS user this process runs as, for audit records and lock files.
std::string os_user();
// Control characters made visible, so that a name out of a file cannot play with the terminal.
std::string printable(std::string_view text);

}  // namespace immbackup
