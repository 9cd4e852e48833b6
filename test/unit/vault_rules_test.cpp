// The rules that the helper shares with src/core, each in its own words: the lines of the audit
// log, the trust in the clock. Both must come to the same end, whatever happens.
#include <gtest/gtest.h>

#include <random>

#include "core/audit_record.h"
#include "core/clock_state.h"
#include "vault/chain.h"
#include "vault/clock.h"
#include "vault/digest.h"
#include "vault/failure.h"

namespace immbackup {
namespace {

vault::Record next(const vault::Record& last, const std::string& event, const std::string& body) {
    return {last.seq + 1,
            "2026-01-18T12:00:00.000Z",
            "job",
            last.seq == 0 ? std::string(kZeroHash) : last.hash,
            event,
            body,
            {}};
}

TEST(VaultChain, LinesAreThoseOfCore) {
    vault::Record record = next({}, "instance_created", R"({"a":"\u00e4 {\"x\"}"})");
    std::string line = vault::format_line(record);
    AuditRecord core{1, record.time, "job", record.prev, record.event, record.body, {}};
    EXPECT_EQ(line, format_audit_line(core));
    EXPECT_EQ(record.hash, core.hash);
    line.pop_back();
    const auto read = vault::parse_line(line);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->seq, 1U);
    EXPECT_EQ(read->hash, record.hash);
    for (std::size_t i = 0; i < line.size(); ++i) {
        std::string changed = line;
        changed[i] = changed[i] == 'x' ? 'y' : 'x';
        EXPECT_FALSE(vault::parse_line(changed)) << i;
    }
}

TEST(VaultChain, NoBodyReachesBeyondItself) {
    // Whose JSON reader takes the last member of a name would see a record of the vault's.
    vault::Record record = next({}, "a", R"({},"origin":"vault","x":{})");
    EXPECT_THROW(vault::format_line(record), vault::Failure);
    record.body = "{\"a\":\"" + std::string(vault::kMaxLine, 'x') + "\"}";
    EXPECT_THROW(vault::format_line(record), vault::Failure);
}

std::string line_of(const std::string& hashed) {
    return hashed + ",\"hash\":\"" + vault::sha256_hex(hashed) + "\"}";
}

TEST(VaultChain, OnlyWhatHasANumberAndABodyIsGoneOnFrom) {
    EXPECT_TRUE(vault::parse_line(line_of(R"({"seq":7,"body":{})")));
    // A former helper took that.
    EXPECT_TRUE(vault::parse_line(line_of(R"({"seq":7,"body":{"a":"\ud800"})")));
    for (const char* seq : {"0", "-1", "01", "9223372036854775808", "x", ""}) {
        EXPECT_FALSE(vault::parse_line(line_of("{\"seq\":" + std::string(seq) + ",\"body\":{}")))
            << seq;
    }
    // A body that a full disk cut, at the very place where it looks like the end of a record.
    for (const char* body : {"", R"({"a":"{})", R"({"a":{})", "{} ", "1", R"({},"body":{})"}) {
        EXPECT_FALSE(
            vault::parse_line(line_of(R"({"seq":7,"event":"a","body":)" + std::string(body))))
            << body;
    }
    EXPECT_FALSE(vault::parse_line(line_of(R"({"seq":7)")));
    EXPECT_FALSE(vault::parse_line(line_of("")));
}

// Two of each: one history, told to both.
struct Both {
    ClockState core;
    vault::ClockState helper;
    std::uint64_t seq = 0;

    void observe(const std::string& boot, vault::Millis monotonic, vault::Millis wall) {
        const Time time{std::chrono::milliseconds(wall)};
        core.observe({boot, static_cast<std::uint64_t>(monotonic), time}, ++seq);
        core.record(time);
        helper.observe({boot, monotonic, wall});
    }
    std::string core_says(const std::string& boot, vault::Millis monotonic,
                          vault::Millis wall) const {
        return core
            .judge({boot, static_cast<std::uint64_t>(monotonic),
                    Time{std::chrono::milliseconds(wall)}})
            .blocked;
    }
    std::string helper_says(const std::string& boot, vault::Millis monotonic,
                            vault::Millis wall) const {
        vault::ClockState now = helper;
        now.observe({boot, monotonic, wall});
        return now.blocked();
    }
};

TEST(VaultClock, SaysWhatCoreSays) {
    std::mt19937_64 random(3);
    int blocked = 0;
    int trusted = 0;
    int drifted = 0;
    int late = 0;
    for (int history = 0; history < 500; ++history) {
        Both both;
        vault::Millis monotonic = 1'000'000;
        vault::Millis wall = 1'790'000'000'000;
        std::string boot = "a";
        for (int i = 0; i < 40; ++i) {
            const auto passed = static_cast<vault::Millis>(random() % 7'200'000);
            monotonic += passed;
            wall += passed;
            switch (random() % 20) {
                case 0:
                    wall += static_cast<vault::Millis>(random() % 10'000'000'000);
                    break;
                case 1:
                    wall -= static_cast<vault::Millis>(random() % 10'000'000'000);
                    break;
                case 2:
                    boot += 'b';
                    monotonic = 5'000;
                    break;
                case 3: {
                    const Time time{std::chrono::milliseconds(wall)};
                    both.core.confirm({boot, static_cast<std::uint64_t>(monotonic), time});
                    both.helper.accept({boot, monotonic, wall});
                    break;
                }
                case 4:
                case 5:
                case 6:
                    // Less than a jump: they add up, and leak away.
                    wall += static_cast<vault::Millis>(random() % 238'001) - 119'000;
                    break;
                case 7: {
                    // Comes after one that was taken later.
                    both.observe(boot, monotonic, wall);
                    const auto earlier = static_cast<vault::Millis>(random() % 1'000'000);
                    const auto off = static_cast<vault::Millis>(random() % 260'000) - 130'000;
                    both.observe(boot, std::max<vault::Millis>(monotonic - earlier, 0),
                                 wall - earlier + off);
                    ++late;
                    break;
                }
                case 8:
                    both.observe("", monotonic, wall);  // it could not be read
                    break;
                case 9:
                    wall -= std::clamp<vault::Millis>(both.helper.jumped, -50'000'000'000,
                                                      50'000'000'000);
                    break;
                default:
                    break;
            }
            both.observe(boot, monotonic, wall);
            const std::string core = both.core_says(boot, monotonic, wall);
            const std::string helper = both.helper_says(boot, monotonic, wall);
            EXPECT_EQ(helper.empty(), core.empty())
                << history << ' ' << i << ": " << helper << " / " << core;
            // Who cannot be told apart from a restarted machine is not trusted.
            EXPECT_FALSE(both.core_says("", monotonic, wall).empty());
            EXPECT_FALSE(both.helper_says("", monotonic, wall).empty());
            EXPECT_EQ(both.helper.drift, both.core.fields().drift_ms) << history << ' ' << i;
            EXPECT_EQ(both.helper.jumped, both.core.fields().jumped_ms) << history << ' ' << i;
            EXPECT_EQ(both.helper.steady, static_cast<vault::Millis>(both.core.fields().steady_ms))
                << history << ' ' << i;
            EXPECT_EQ(both.helper.waiting, both.core.fields().boot_seq != 0);
            EXPECT_EQ(vault::format_time(both.helper.newest), both.core.fields().newest);
            drifted += both.helper.drift != 0 ? 1 : 0;
            ++(core.empty() ? trusted : blocked);
            vault::ClockState kept;
            ASSERT_TRUE(vault::parse_clock(vault::format_clock(both.helper), kept));
            EXPECT_EQ(vault::format_clock(kept), vault::format_clock(both.helper));
            both.helper = kept;
        }
    }
    EXPECT_GT(blocked, 1000);
    EXPECT_GT(trusted, 1000);
    EXPECT_GT(drifted, 1000);
    EXPECT_GT(late, 500);
}

// What a former version kept knows no drift; what is kept is not begun anew by the next request.
TEST(VaultClock, KeepsWhatIsNoJumpYet) {
    vault::ClockState state;
    ASSERT_TRUE(
        vault::parse_clock("1 boot=a monotonic=1000 wall=1790000000000 forward=0 fast=0 "
                           "newest=1790000000000 waiting=0 steady=0\n",
                           state));
    vault::Millis wall = 1'790'000'000'000;
    for (int i = 1; i <= 2; ++i) {
        EXPECT_EQ(state.blocked(), "");
        wall += 1000 + 100'000;
        state.observe({"a", 1000 + i * 1000, wall});
        ASSERT_TRUE(vault::parse_clock(vault::format_clock(state), state));
    }
    EXPECT_NE(state.blocked().find("set forward by 4 min"), std::string::npos) << state.blocked();
    EXPECT_EQ(state.earliest(), wall - state.jumped);
}

TEST(VaultClock, OneWrongFutureTimeIsNotForEver) {
    vault::ClockState state;
    state.observe({"a", 1000, 1'790'000'000'000});
    state.observe({"a", 2000, 4'000'000'000'000});
    state.observe({"a", 3000, 1'790'000'002'000});
    EXPECT_NE(state.blocked(), "");
    state.accept({"a", 4000, 1'790'000'003'000});
    EXPECT_EQ(state.blocked(), "");
    state.observe({"a", 5000, 1'790'000'004'000});
    EXPECT_EQ(state.blocked(), "");
}

TEST(VaultClock, JumpsWidenWhatMayBeTheTime) {
    vault::ClockState state;
    state.observe({"a", 1000, 1'790'000'000'000});
    state.observe({"a", 2000, 1'780'000'001'000});
    EXPECT_EQ(state.latest(), 1'790'000'001'000);
    EXPECT_EQ(state.earliest(), 1'780'000'001'000);
    state.observe({"a", 3000, 1'799'999'002'000});
    EXPECT_EQ(state.earliest(), 1'790'000'002'000);
    EXPECT_EQ(state.latest(), 1'799'999'002'000);
}

TEST(VaultClock, AnUnreadableStateIsRefused) {
    vault::ClockState state;
    for (const char* bad : {"", "1 \n", "2 wall=1\n", "1 wall=1", "1 wall=-1\n", "1 colour=1\n",
                            "1 wall=1 wall=2\n", "1 wall=99999999999999999\n",
                            "1 boot=a monotonic=1 wall=1 forward=0 newest=1 waiting=0\n",
                            "1 boot=a fast=0 monotonic=1 wall=1 forward=0 newest=1\n",
                            // Of a former helper: as lost, so that it waits.
                            "1 boot=a monotonic=1 wall=1 forward=0 newest=1 waiting=0 steady=0\n",
                            "1 monotonic=01 wall=1 forward=0 fast=0 newest=1 waiting=0 steady=0\n",
                            "1 monotonic=1 wall=1 forward=0 fast=0 newest=1 waiting=2 steady=0\n",
                            "1 monotonic=1 wall=1 forward=1 back=1 fast=0 newest=1 waiting=0 "
                            "steady=0\n"}) {
        EXPECT_FALSE(vault::parse_clock(bad, state)) << bad;
    }
}

}  // namespace
}  // namespace immbackup
