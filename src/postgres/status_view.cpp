// The set-returning function below the view status.
#include <string>

#include "core/forecast.h"
#include "core/health.h"
#include "io/clock.h"
#include "io/file.h"
#include "postgres/guard.h"
#include "postgres/guc.h"
#include "postgres/shared_copy.h"
#include "store/audit_log.h"

extern "C" {
PG_FUNCTION_INFO_V1(immbackup_status);
}

namespace immbackup {

SharedCopy copy_shared() {
    SharedLock lock(LW_SHARED);
    return {shared->worker_state, shared->worker_since,  shared->worker_pid,
            shared->problem,      shared->request.state, shared->request.run,
            shared->progress,     shared->next_due,      shared->retry_at};
}

void write_error(RowWriter& row, const std::optional<ErrorText>& error) {
    row.text_or_null(error ? std::string_view(error->message) : "");
    row.text_or_null(error ? std::string_view(error->detail) : "");
    row.text_or_null(error ? std::string_view(error->hint) : "");
    row.text_or_null(error ? std::string_view(error->code) : "");
}

namespace {

// What the server is at this moment, not what was last recorded.
bool takes_scheduled_runs() {
    bool standby = false;
    call_postgres([&] { standby = RecoveryInProgress(); });
    const SettingTexts settings = settings_in_effect();
    return !settings.at("schedule").empty() && role_matches(settings.at("run_on"), standby);
}

// Free bytes, days until they are used up, and whether the server's own data are on that disk. All
// unknown where the directory cannot be asked.
void write_space(RowWriter& row, const Catalog& catalog, const Settings& settings,
                 const RetentionDays& days) {
    try {
        const Space space = space_of(settings.directory);
        const std::uint64_t usable =
            space.available > settings.min_free ? space.available - settings.min_free : 0;
        const auto full = days_until_full(catalog, days, immbackup::now(), usable);
        const bool shared_disk = DataDir != nullptr && space_of(DataDir).device == space.device;
        row.number(space.available);
        row.number_or_null(full ? std::optional(static_cast<std::uint64_t>(*full)) : std::nullopt);
        row.flag(shared_disk);
    } catch (const Error&) {
        row.null();
        row.null();
        row.null();
    }
}

// Why its seals are no stronger, or why it removes nothing.
std::string problem_of(const Catalog::Vault& vault) {
    return vault.reason.empty() && vault.clock != "trusted" ? vault.clock_reason : vault.reason;
}

void write_status(RowWriter& row, const SharedCopy& now) {
    Catalog catalog;
    std::string audit_problem;
    try {
        catalog = read_catalog(find_layout(configured_directory()), check_interrupts);
        if (catalog.bad_lines > 0) {
            audit_problem = std::to_string(catalog.bad_lines) +
                            " lines of the audit log cannot be read; see immbackup.verify_audit().";
        }
    } catch (const Error& error) {
        audit_problem = error.message();
    }
    const Settings settings = resolve_settings(settings_in_effect());
    const PruneRules rules = prune_rules(settings);
    const PrunePlan plan =
        plan_prune(catalog, rules, {boot_id(), monotonic_ms(), immbackup::now()});
    const Standing stock = standing(catalog, immbackup::now());
    const std::string vault_problem = problem_of(catalog.vault);
    row.text(worker_state_name(now.state));
    if (now.pid != 0) {
        row.integer(now.pid);
    } else {
        row.null();
    }
    row.timestamp_or_null(now.since);
    row.text_or_null(now.problem.message.view());
    row.text_or_null(now.problem.detail.view());
    row.text_or_null(now.problem.hint.view());
    row.text_or_null(now.request == RequestState::idle ? std::string_view() : now.run.view());
    row.time_or_null(catalog.last_success);
    row.text_or_null(catalog.last_success_run);
    const bool scheduling = takes_scheduled_runs();
    row.flag(scheduling);
    row.timestamp_or_null(scheduling && now.pid != 0 ? now.next_due : 0);
    row.timestamp_or_null(scheduling && now.pid != 0 ? now.retry_at : 0);
    row.flag(scheduling && overdue_since(catalog, immbackup::now()).has_value());
    row.number(catalog.failures);
    write_error(row, catalog.last_error);
    row.text_or_null(catalog.last_error_run);
    row.text(IMMBACKUP_VERSION);
    row.number(stock.artifacts);
    row.number(stock.bytes);
    row.text_or_null(stock.newest_seal);
    row.text_or_null(catalog.vault.level);
    row.text_or_null(vault_problem);
    row.number_or_null(catalog.vault.level.empty() ? std::nullopt
                                                   : std::optional(stock.outside_vault));
    row.number(stock.missing.size());
    row.number(stock.corrupt.size());
    row.number(stock.anomalies.size());
    row.number(plan.anomaly_bytes);
    row.number(stock.holds);
    row.number(stock.uploads_pending);
    row.number(stock.not_locked.size());
    row.number_or_null(catalog.anchored_seq == 0 ? std::nullopt
                                                 : std::optional(catalog.anchored_seq));
    row.time_or_null(catalog.anchored);
    row.text_or_null(plan.blocked);
    row.number(plan.blocked_bytes);
    row.text_or_null(catalog.unacknowledged);
    row.time_or_null(catalog.unacknowledged_since);
    write_space(row, catalog, settings, rules.days);
    row.number(catalog.head_seq);
    row.text_or_null(catalog.head_seq == 0 ? std::string_view() : catalog.head_hash);
    row.number(catalog.bad_lines);
    row.text_or_null(audit_problem);
    row.emit();
}

}  // namespace

}  // namespace immbackup

using namespace immbackup;

Datum immbackup_status(PG_FUNCTION_ARGS) {
    require_preloaded();
    RowWriter row(fcinfo);
    guarded([&row] {
        const SharedCopy now = copy_shared();
        write_status(row, now);
    });
    return 0;
}
