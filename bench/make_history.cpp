// make_history DIRECTORY ARTIFACTS RECORDS: a backup directory as it is after years: so many
// artifacts with their (small) files, and an audit log of so many records whose chain is sound.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "core/events.h"
#include "core/names.h"
#include "core/retention.h"
#include "io/clock.h"
#include "store/layout.h"

namespace immbackup {

namespace {

namespace fs = std::filesystem;

class Writer {
  public:
    explicit Writer(const fs::path& path) : out_(path, std::ios::binary) {}
    void add(Time time, const char* event, const std::string& body) {
        AuditRecord record{++seq_, format_time(time), "job", prev_, event, body, ""};
        out_ << format_audit_line(record);
        prev_ = record.hash;
    }
    std::uint64_t records() const { return seq_; }

  private:
    std::ofstream out_;
    std::uint64_t seq_ = 0;
    std::string prev_ = std::string(kZeroHash);
};

std::string sealed(const std::string& run, const std::string& stem, Time taken, int i) {
    const char* tier = i % 168 == 0 ? kWeekly : i % 24 == 0 ? kDaily : kHourly;
    return fmt::format(
        R"({{"run":"{}","artifact":"{}","database":"db{}","globals":false,"tier":"{}",)"
        R"("taken":"{}","retain_until":"{}","size":123456789,"sql_size":987654321,"rows":{},)"
        R"("tables":42,"sha256":"{}","seal":"readonly","stamp":"0123456789abcdef",)"
        R"("anomaly":"","started":"{}","finished":"{}","warnings":[]}})",
        run, stem, i % 10, tier, format_time(taken), format_time(taken + RetentionDays{}.of(tier)),
        1'000'000 + i, sha256_hex(stem), format_time(taken), format_time(taken));
}

void make(const fs::path& root, int artifacts, std::uint64_t records) {
    const Layout layout{root};
    for (const auto& folder : {layout.active(), layout.incoming(), layout.logs()}) {
        fs::create_directories(folder);
        fs::permissions(folder, fs::perms::owner_all);
    }
    Writer log(layout.audit_log());
    const Time end = now();
    Time time = end - std::chrono::hours(artifacts) / 10;
    log.add(
        time, event::kInstanceCreated,
        R"({"instance":"11111111-2222-4333-8444-555555555555","version":"0.1.0","host":"bench"})");
    std::vector<std::string> stems;
    for (int i = 0; i < artifacts; ++i) {
        time += std::chrono::minutes(6);
        const std::string run = run_id_at(time);
        const std::string stem = database_stem(run, fmt::format("db{}", i % 10), false);
        const std::string body = fmt::format(R"({{"run":"{}"}})", run);
        log.add(time, event::kRunRequested,
                fmt::format(R"({{"run":"{}","trigger":"schedule","actor":""}})", run));
        log.add(time, event::kRunStarted, body);
        log.add(time, event::kArtifactSealed, sealed(run, stem, time, i));
        log.add(time, event::kRunFinished, body);
        for (const auto& file :
             {layout.artifact(stem), layout.digest(stem), layout.manifest(stem)}) {
            std::ofstream(file) << "x";
        }
        stems.push_back(stem);
    }
    for (std::size_t i = 0; log.records() < records; ++i) {
        log.add(end, event::kArtifactVerified,
                fmt::format(R"({{"artifact":"{}","result":"good","seconds":1.5}})",
                            stems[i % stems.size()]));
    }
}

}  // namespace

}  // namespace immbackup

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: make_history DIRECTORY ARTIFACTS RECORDS\n", stderr);
        return 2;
    }
    try {
        immbackup::make(argv[1], std::atoi(argv[2]), std::strtoull(argv[3], nullptr, 10));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make_history: %s\n", error.what());
        return 1;
    }
    return 0;
}
