// One verdict out of the catalog: table of states.
#include "core/health.h"

#include <gtest/gtest.h>

namespace immbackup {
namespace {

using namespace std::chrono_literals;

Time at(std::string_view text) {
    return *parse_time("2026-01-18T" + std::string(text) + ":00Z");
}

// A catalog as the log makes it, record by record.
class TimedLog {
  public:
    TimedLog& add(const char* time, const char* event, const std::string& body) {
        AuditRecord record;
        record.seq = ++seq_;
        record.time = "2026-01-18T" + std::string(time) + ":00.000Z";
        record.event = event;
        record.hash = std::string(64, 'a');
        record.body = body;
        catalog.apply(record);
        return *this;
    }
    TimedLog& promise(const char* time, const char* schedule = "0 * * * *", bool active = true) {
        return add(time, "schedule_changed",
                   R"({"schedule":")" + std::string(schedule) + R"(","timezone":"UTC","active":)" +
                       (active ? "true}" : "false}"));
    }
    TimedLog& begin(const char* time, const char* more = "") {
        const std::string text(time);
        run_ = "20260118T" + text.substr(0, 2) + text.substr(3) + "00Z";
        return add(time, "run_requested", R"({"run":")" + run_ + "\"" + more + "}");
    }
    TimedLog& end(const char* time, const char* event, const char* error = "") {
        return add(time, event, R"({"run":")" + run_ + "\"" + error + "}");
    }
    TimedLog& good(const char* begun, const char* ended, const char* more = "") {
        return begin(begun, more).end(ended, "run_finished");
    }
    TimedLog& failed(const char* begun, const char* ended, const char* more = "") {
        return begin(begun, more)
            .end(ended, "run_failed", R"(,"error":{"code":"dump","message":"it | broke"})");
    }
    // An artifact of the last run, in the bucket.
    TimedLog& uploaded(const char* state, const std::string& until, const std::string& kept) {
        const auto time = [](const std::string& text) {
            return text.empty() ? text : "2026-01-18T" + text + ":00.000Z";
        };
        const std::string stem = run_ + ".shop";
        add("09:00", "artifact_sealed",
            R"({"artifact":")" + stem + R"(","run":")" + run_ +
                R"(","database":"shop","sha256":")" + std::string(64, 'a') +
                R"(","seal":"readonly","retain_until":")" + time(kept) + "\"}");
        return add("09:01", "artifact_uploaded",
                   R"({"artifact":")" + stem + R"(","state":")" + state + R"(","locked_until":")" +
                       time(until) + R"(","objects":{"f":{"key":"k","version_id":"v"}}})");
    }
    Catalog catalog;

  private:
    std::string run_;
    std::uint64_t seq_ = 0;
};

struct HealthCase {
    const char* what;
    TimedLog log;
    const char* now;
    Verdict verdict;
    const char* text;
    std::vector<std::string> missing = {};
    std::optional<std::chrono::seconds> max_age = std::nullopt;
};

TEST(Health, Verdicts) {
    TimedLog bad_lines = TimedLog().promise("08:00").good("09:00", "09:01");
    bad_lines.catalog.bad_lines = 2;
    const std::vector<HealthCase> cases{
        {"an empty log", {}, "12:00", Verdict::unknown, "no schedule"},
        {"neither schedule nor backup", TimedLog().promise("08:00", ""), "12:00", Verdict::unknown,
         "no schedule"},
        {"before the first due time", TimedLog().promise("11:30"), "11:45", Verdict::ok,
         "no complete run has been good yet; next due 2026-01-18T12:00"},
        {"the first run is late", TimedLog().promise("11:30"), "12:30", Verdict::ok,
         "no complete run"},
        {"and overdue", TimedLog().promise("11:30"), "13:00", Verdict::critical,
         "overdue since 2026-01-18T13:00"},
        {"fresh", TimedLog().promise("08:00").good("09:00", "09:01"), "09:59", Verdict::ok,
         "run 20260118T090000Z ended 58 min ago"},
        {"a due time went by", TimedLog().promise("08:00").good("09:00", "09:01"), "10:59",
         Verdict::ok, "118 min ago"},
        {"and another", TimedLog().promise("08:00").good("09:00", "09:01"), "11:00",
         Verdict::critical, "overdue since 2026-01-18T11:00"},
        {"a run of that due time is going on",
         TimedLog().promise("08:00").good("09:00", "09:01").begin("10:00"), "11:30", Verdict::ok,
         "ago"},
        {"but not for ever", TimedLog().promise("08:00").good("09:00", "09:01").begin("10:00"),
         "12:00", Verdict::critical, "overdue"},
        {"failing", TimedLog().promise("08:00").good("09:00", "09:01").failed("10:00", "10:01"),
         "10:30", Verdict::warning, "1 failed since: it   broke"},
        {"failing for long",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .failed("10:00", "10:01")
             .failed("11:00", "11:01"),
         "11:30", Verdict::critical, "2 failed since"},
        {"recovered", TimedLog().promise("08:00").failed("09:00", "09:01").good("10:00", "10:01"),
         "10:30", Verdict::ok, "20260118T100000Z"},
        {"a backup of one database is none of all",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .good("10:30", "10:31", R"(,"databases":["a"])"),
         "11:10", Verdict::critical, "20260118T090000Z"},
        {"and its failure none either",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .failed("09:30", "09:31", R"(,"databases":["a"])"),
         "09:40", Verdict::ok, "ago"},
        {"cancelled is not failed",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .begin("10:00")
             .end("10:01", "run_cancelled"),
         "10:30", Verdict::ok, "ago"},
        {"a standby promises nothing", TimedLog().promise("01:00", "0 * * * *", false), "12:00",
         Verdict::ok, "no complete run"},
        {"another schedule counts from its beginning",
         TimedLog().promise("01:00", "@daily").good("02:00", "02:01").promise("11:30"), "12:30",
         Verdict::ok, "10 h 29 min"},
        {"files are missing",
         TimedLog().promise("08:00").good("09:00", "09:01"),
         "09:30",
         Verdict::critical,
         "such as x",
         {"x"}},
        {"lines cannot be read", bad_lines, "09:30", Verdict::critical, "2 lines of the audit log"},
        {"too old",
         TimedLog().promise("08:00").good("09:00", "09:01"),
         "09:40",
         Verdict::critical,
         "longer than 30 min",
         {},
         30min},
        {"young enough",
         TimedLog().promise("08:00").good("09:00", "09:01"),
         "09:30",
         Verdict::ok,
         "29 min ago",
         {},
         30min},
        {"no backup at all is too old",
         TimedLog().promise("08:00", "", false),
         "09:40",
         Verdict::critical,
         "no complete run",
         {},
         30min},
        {"misconfigured",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:10", "worker_started",
                  R"({"state":"misconfigured","problem":"a value is bad"})"),
         "09:30", Verdict::critical, "takes no backups: a value is bad; last good run"},
        {"and put right",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:10", "worker_started", R"({"state":"misconfigured","problem":"bad"})")
             .add("09:20", "worker_started", R"({"state":"ready"})"),
         "09:30", Verdict::ok, "ago"},
        {"the vault cannot seal",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "vault_checked", R"({"level":"none","reason":"a nosuid mount"})"),
         "09:30", Verdict::critical, "the vault cannot seal: a nosuid mount"},
        {"it seals weaker than it must",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "settings_changed", R"({"settings":{"require_seal":"vault"}})")
             .add("09:02", "vault_checked", R"({"level":"vault-dac"})"),
         "09:30", Verdict::critical, "must be as \"vault\""},
        {"weaker than the best is no fault where it is allowed",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "settings_changed", R"({"settings":{"require_seal":"readonly"}})")
             .add("09:02", "vault_checked", R"({"level":"vault-dac","clock":"trusted"})"),
         "09:30", Verdict::ok, "29 min ago"},
        {"the vault does not trust the clock",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "vault_checked",
                  R"({"level":"vault","clock":"blocked","clock_reason":"it was set forward"})"),
         "09:30", Verdict::warning, "it was set forward"},
        {"a lock that has ended while the artifact is kept",
         TimedLog().promise("08:00").good("09:00", "09:01").uploaded("locked", "09:20", "23:00"),
         "09:30", Verdict::warning, "(expired): its lock ended at 2026-01-18T09:20:00.000Z"},
        {"one that has not",
         TimedLog().promise("08:00").good("09:00", "09:01").uploaded("locked", "09:40", "23:00"),
         "09:30", Verdict::ok, "29 min ago"},
        {"one that has ended with what it held",
         TimedLog().promise("08:00").good("09:00", "09:01").uploaded("locked", "09:20", "09:20"),
         "09:30", Verdict::ok, "29 min ago"},
        {"one that nobody is to extend",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .uploaded("locked", "09:20", "23:00")
             .add("09:02", "settings_changed", R"({"settings":{"s3_extend_locks":"off"}})"),
         "09:30", Verdict::ok, "29 min ago"},
        {"one that was not proven",
         TimedLog().promise("08:00").good("09:00", "09:01").uploaded("unproven", "", "23:00"),
         "09:30", Verdict::warning, "1 uploads are not proven locked"},
        {"and is, by now",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .uploaded("unproven", "", "23:00")
             .add("09:20", "lock_proven",
                  R"({"artifact":"20260118T090000Z.shop","state":"locked","mode":"COMPLIANCE",)"
                  R"("locked_until":"2026-01-19T09:00:00.000Z"})"),
         "09:30", Verdict::ok, "29 min ago"},
        {"locks that cannot be extended",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "locks_tried", R"({"problem":"artifact a, no right"})"),
         "09:30", Verdict::warning, "artifact a, no right"},
        {"and can be, by now",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "locks_tried", R"({"problem":"artifact a, no right"})")
             .add("09:03", "locks_tried", R"({"artifacts":{},"problem":""})"),
         "09:30", Verdict::ok, "29 min ago"},
        {"an anchor that nobody proved",
         TimedLog()
             .promise("08:00")
             .good("09:00", "09:01")
             .add("09:02", "anchor_stored", R"({"first":1,"last":3,"state":"unlocked"})"),
         "09:30", Verdict::warning, "is unlocked in the bucket"},
        {"from the future", TimedLog().promise("08:00").good("19:00", "19:01"), "09:40",
         Verdict::warning, "a clock is wrong"},
    };
    for (const auto& c : cases) {
        const Health health = judge(c.log.catalog, at(c.now), c.missing, c.max_age);
        EXPECT_EQ(verdict_name(health.verdict), std::string(verdict_name(c.verdict)))
            << c.what << ": " << health.summary;
        EXPECT_NE(health.summary.find(c.text), std::string::npos)
            << c.what << ": " << health.summary;
        EXPECT_EQ(health.summary.find('|'), std::string::npos)
            << "it would begin the performance data";
    }
}

TEST(Health, TheCheckpointKeepsWhatItIsJudgedBy) {
    const TimedLog log =
        TimedLog()
            .promise("08:00")
            .good("09:00", "09:01", R"(,"due":"2026-01-18T09:00:00.000Z")")
            .failed("10:00", "10:01")
            .add("10:05", "worker_started", R"({"state":"misconfigured"})")
            .add("10:30", "run_missed",
                 R"({"due":"2026-01-18T10:10:00.000Z","until":"2026-01-18T10:20:00.000Z"})");
    EXPECT_EQ(log.catalog.served, "2026-01-18T10:20:00.000Z");
    const auto read = catalog_from_checkpoint(catalog_to_checkpoint(log.catalog));
    ASSERT_TRUE(read);
    EXPECT_EQ(catalog_to_checkpoint(*read), catalog_to_checkpoint(log.catalog));
    const auto past = past_runs(*read);
    EXPECT_EQ(past.since, at("08:00"));
    EXPECT_EQ(past.baseline, at("10:20"));
    EXPECT_EQ(past.covered, at("09:00"));
    EXPECT_EQ(read->failures, 1U);
    EXPECT_EQ(read->misconfigured, "for unknown reasons");
}

TEST(Health, ForgedTimesAreNoTimes) {
    const TimedLog log = TimedLog()
                             .promise("08:00")
                             .add("09:00", "run_missed", R"({"due":"9999-99-99T00:00:00.000Z"})")
                             .add("09:00", "run_missed", R"({"due":"zzz"})");
    EXPECT_EQ(log.catalog.served, "");
}

}  // namespace
}  // namespace immbackup
