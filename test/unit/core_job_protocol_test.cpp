// What scheduler and job say to each other: whatever is said arrives, or its beginning; whatever
// else stands on the line is no event; a request that is malformed is refused by its member's name.
#include "core/job_protocol.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"

namespace immbackup {
namespace {

JobEvent read_back(const JobEvent& event) {
    const std::string line = format_job_event(event);
    EXPECT_LE(line.size(), kMaxEventLine);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    const auto read = parse_job_event(std::string_view(line).substr(0, line.size() - 1));
    EXPECT_TRUE(read) << line;
    return read.value_or(JobEvent{});
}

JobEvent of_kind(JobEventKind kind) {
    JobEvent event;
    event.kind = kind;
    return event;
}

TEST(JobEvent, Lines) {
    JobEvent run = of_kind(JobEventKind::run);
    run.run = "20260118T120000Z";
    EXPECT_EQ(format_job_event(run), "run\t20260118T120000Z\n");
    JobEvent phase = of_kind(JobEventKind::phase);
    phase.phase = "dumping";
    phase.database = "a b";
    EXPECT_EQ(format_job_event(phase), "phase\tdumping\ta%20b\n");
    JobEvent dump = of_kind(JobEventKind::dump);
    dump.process_group = 4711;
    EXPECT_EQ(format_job_event(dump), "dump\t4711\n");
    JobEvent warning = of_kind(JobEventKind::warning);
    warning.text = "50 %\tof\nit";
    EXPECT_EQ(format_job_event(warning), "warning\t50%20%25%09of%0Ait\n");
}

TEST(JobEvent, EveryMemberOfEveryKindArrives) {
    const std::string odd = "a\tb\nc\\ %20 \"'\xc3\xbc\xf0\x9f\x98\x80 globals";
    JobEvent said;
    said.run = "20260118T120000Z";
    said.phase = "sealing";
    said.database = odd;
    said.table = "public." + odd;
    said.process_group = 4711;
    said.bytes_in = std::numeric_limits<std::uint64_t>::max();
    said.bytes_out = 2;
    said.bytes_total = 3;
    said.databases_done = 4;
    said.databases_total = std::numeric_limits<std::uint32_t>::max();
    said.text = odd;
    said.exit_code = 12;
    said.message = odd;
    said.detail = "D " + odd;
    said.hint = "H " + odd;
    const auto heard = [&](JobEventKind kind) {
        said.kind = kind;
        JobEvent event = read_back(said);
        EXPECT_EQ(event.kind, kind);
        return event;
    };
    EXPECT_EQ(heard(JobEventKind::run).run, said.run);
    const JobEvent phase = heard(JobEventKind::phase);
    EXPECT_EQ(phase.phase, said.phase);
    EXPECT_EQ(phase.database, odd);
    EXPECT_EQ(phase.text, "");
    EXPECT_EQ(heard(JobEventKind::dump).process_group, 4711);
    const JobEvent progress = heard(JobEventKind::progress);
    EXPECT_EQ(progress.database, odd);
    EXPECT_EQ(progress.table, said.table);
    EXPECT_EQ(progress.bytes_in, said.bytes_in);
    EXPECT_EQ(progress.bytes_out, 2U);
    EXPECT_EQ(progress.bytes_total, 3U);
    EXPECT_EQ(progress.databases_done, 4U);
    EXPECT_EQ(progress.databases_total, said.databases_total);
    EXPECT_EQ(heard(JobEventKind::warning).text, odd);
    const JobEvent result = heard(JobEventKind::result);
    EXPECT_EQ(result.exit_code, 12);
    EXPECT_EQ(result.message, odd);
    EXPECT_EQ(result.detail, said.detail);
    EXPECT_EQ(result.hint, said.hint);
}

// Of what is too long the beginning arrives, whole characters only.
TEST(JobEvent, LongTextsAreCutBetweenCharacters) {
    for (const std::string character : {"x", " ", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
        std::string text;
        while (text.size() < 20'000) {
            text += character;
        }
        JobEvent said;
        said.run = said.phase = said.database = said.table = said.text = said.message =
            said.detail = said.hint = text;
        said.bytes_in = said.bytes_out = said.bytes_total =
            std::numeric_limits<std::uint64_t>::max();
        said.databases_done = said.databases_total = std::numeric_limits<std::uint32_t>::max();
        said.process_group = said.exit_code = std::numeric_limits<int>::max();
        const auto check = [&](const std::string& heard, std::size_t least) {
            EXPECT_TRUE(text.starts_with(heard));
            EXPECT_EQ(heard.size() % character.size(), 0U) << "half a character";
            EXPECT_GE(heard.size(), least);
        };
        for (const JobEventKind kind :
             {JobEventKind::run, JobEventKind::phase, JobEventKind::dump, JobEventKind::progress,
              JobEventKind::warning, JobEventKind::result}) {
            said.kind = kind;
            const JobEvent heard = read_back(said);
            switch (kind) {
                case JobEventKind::phase:
                    check(heard.database, 63);  // NAMEDATALEN
                    break;
                case JobEventKind::progress:
                    check(heard.database, 63);
                    check(heard.table, 130);
                    break;
                case JobEventKind::warning:
                    check(heard.text, 1900);
                    break;
                case JobEventKind::result:
                    check(heard.message, 600);
                    check(heard.detail, 1300);
                    check(heard.hint, 400);
                    break;
                default:
                    break;
            }
        }
    }
}

TEST(JobEvent, BytesThatAreNotUtf8Arrive) {
    JobEvent said = of_kind(JobEventKind::warning);
    said.text = std::string("\x80\x80\x80\x80\x80\xff\xc3", 7) + '\0' + "\xc3";
    EXPECT_EQ(read_back(said).text, said.text);
}

TEST(JobEvent, OtherLinesAreNoEvents) {
    ASSERT_TRUE(parse_job_event("progress\ta\tb\t1\t2\t3\t4\t5"));
    ASSERT_TRUE(parse_job_event("result\t0\t\t\t"));
    ASSERT_TRUE(parse_job_event("dump\t0"));
    ASSERT_TRUE(parse_job_event("run\t"));
    for (const char* line : {
             "",
             "\t",
             "run",
             "run\ta\tb",
             "run\ta\t",
             "RUN\ta",
             " run\ta",
             "run a",
             "runs\ta",
             "run\ta b",
             "run\ta\r",
             "run\t%",
             "run\t%4",
             "run\t%zz",
             "run\t%0a",
             "run\t%41",
             "run\t\xc3\xbc",
             "phase\tx",
             "phase\tx\ty\tz",
             "dump\t",
             "dump\t1",
             "dump\t-1",
             "dump\t-4711",
             "dump\t+5",
             "dump\t0x10",
             "dump\t 5",
             "dump\t5 ",
             "dump\t2147483648",
             "dump\t99999999999999999999",
             "progress\ta\tb\t1\t2\t3\t4",
             "progress\ta\tb\t1\t2\t3\t4\t5\t6",
             "progress\ta\tb\t-1\t2\t3\t4\t5",
             "progress\ta\tb\t1\t2\t3\t4\t4294967296",
             "progress\ta\tb\t18446744073709551616\t2\t3\t4\t5",
             "progress\ta\tb\t1.5\t2\t3\t4\t5",
             "progress\ta\tb\t\t2\t3\t4\t5",
             "result\t0",
             "result\t\ta\tb\tc",
             "result\tx\ta\tb\tc",
             "result\t0\ta\tb\tc\td",
         }) {
        EXPECT_FALSE(parse_job_event(line)) << line;
    }
    EXPECT_FALSE(parse_job_event(std::string_view("run\ta\0", 6)));
    const std::string longest = "warning\t" + std::string(kMaxEventLine - 8, 'x');
    EXPECT_TRUE(parse_job_event(longest));
    EXPECT_FALSE(parse_job_event(longest + "x"));
}

JobRequest full_request() {
    JobRequest request;
    request.version = "0.1.0";
    request.job = "record";
    request.settings = {{"host", "/tmp"}, {"databases", "\"\xc3\xbc\n\""}};
    request.bindir = "/usr/lib/postgresql/15/bin";
    request.server_version_num = 150018;
    request.trigger = "manual";
    request.actor = "anna \"x\"";
    request.databases = {"a", "b\nc"};
    request.records = {{"worker_started", R"({"pid":1})"}, {"worker_stopped", "{}"}};
    request.settings_diff = true;
    request.settings_at = "reload";
    request.recover = true;
    request.recover_reason = "terminated by signal 9";
    return request;
}

TEST(JobRequest, RoundTrip) {
    const std::string text = job_request_to_json(full_request());
    EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line";
    const JobRequest read = job_request_from_json(text);
    EXPECT_EQ(job_request_to_json(read), text);
    EXPECT_EQ(read.protocol, kJobProtocol);
    EXPECT_EQ(read.version, "0.1.0");
    EXPECT_EQ(read.job, "record");
    EXPECT_EQ(read.settings, full_request().settings);
    EXPECT_EQ(read.bindir, full_request().bindir);
    EXPECT_EQ(read.server_version_num, 150018);
    EXPECT_EQ(read.trigger, "manual");
    EXPECT_EQ(read.actor, "anna \"x\"");
    EXPECT_EQ(read.databases, full_request().databases);
    ASSERT_EQ(read.records.size(), 2U);
    EXPECT_EQ(read.records[0].event, "worker_started");
    EXPECT_EQ(read.records[0].body, R"({"pid":1})");
    EXPECT_TRUE(read.settings_diff);
    EXPECT_EQ(read.settings_at, "reload");
    EXPECT_TRUE(read.recover);
    EXPECT_EQ(read.recover_reason, "terminated by signal 9");
}

std::pair<ErrorCode, std::string> refusal(const std::string& text) {
    try {
        static_cast<void>(job_request_from_json(text));
    } catch (const Error& error) {
        return {error.code(), error.message()};
    }
    return {ErrorCode::ok, ""};
}

TEST(JobRequest, MembersOfTheWrongTypeAreRefusedByName) {
    const Json good = Json::parse(job_request_to_json(full_request()));
    const std::vector<Json> wrong{nullptr,
                                  true,
                                  -1,
                                  1.5,
                                  1e300,
                                  "x",
                                  {1},
                                  {{"a", 1}},
                                  Json::array({Json::array({"a", "b"})}),
                                  18446744073709551615U,
                                  4294967297};
    for (const auto& [name, value] : good.items()) {
        for (const Json& other : wrong) {
            const bool whole = other.is_number_integer() && other >= 0 && other <= 2147483647;
            if ((value.is_string() && other.is_string()) ||
                (value.is_boolean() && other.is_boolean()) || (value.is_number() && whole)) {
                continue;
            }
            Json bad = good;
            bad[name] = other;
            const auto [code, message] = refusal(bad.dump());
            EXPECT_EQ(code, ErrorCode::usage) << bad[name] << " for " << name;
            EXPECT_TRUE(message.find('"' + name + '"') != std::string::npos ||
                        (name == "records" && message.find("record") != std::string::npos))
                << message;
        }
    }
    Json record = good;
    record["records"][1]["body"] = Json::object();
    EXPECT_NE(refusal(record.dump()).second.find("\"body\""), std::string::npos);
}

TEST(JobRequest, AbsentMembersTakeTheirDefaultsAndNewOnesAreIgnored) {
    const auto read = job_request_from_json(R"({"protocol":1,"of_the_future":[1]})");
    EXPECT_EQ(read.job, "");
    EXPECT_TRUE(read.settings.empty());
    EXPECT_TRUE(read.databases.empty());
    EXPECT_TRUE(read.records.empty());
    EXPECT_FALSE(read.recover);
    EXPECT_FALSE(read.settings_diff);
}

TEST(JobRequest, OtherProtocolsAreTold) {
    for (const char* text : {"{}", R"({"protocol":0})", R"({"protocol":2})",
                             R"({"protocol":2,"settings":"of another kind"})"}) {
        const auto [code, message] = refusal(text);
        EXPECT_EQ(code, ErrorCode::version) << text;
        EXPECT_NE(message.find("protocol"), std::string::npos) << message;
    }
}

TEST(JobRequest, HostileTexts) {
    const std::string good = job_request_to_json(full_request());
    for (std::size_t length = 0; length + 1 < good.size(); ++length) {
        ASSERT_EQ(refusal(good.substr(0, length)).first, ErrorCode::usage) << length;
    }
    const std::string deep(kMaxRequest - 100, '[');
    for (const std::string& text :
         {std::string("null"), std::string("[]"), std::string("\"protocol\""), good + good, deep,
          R"({"protocol":1,"records":)" + deep, std::string("{\"protocol\":1,\"job\":\"\xff\"}"),
          std::string(R"({"protocol":1,"job":"\ud800"})"),
          std::string(R"({"protocol":1,"server_version_num":1e999})")}) {
        EXPECT_EQ(refusal(text).first, ErrorCode::usage) << text.substr(0, 80);
    }
    const std::string frame = R"({"protocol":1,"job":""})";
    const auto of_size = [&](std::size_t size) {
        return std::string(frame).insert(frame.size() - 2, size - frame.size(), 'x');
    };
    EXPECT_EQ(job_request_from_json(of_size(kMaxRequest)).job.size(), kMaxRequest - frame.size());
    EXPECT_EQ(refusal(of_size(kMaxRequest + 1)).first, ErrorCode::usage);
}

}  // namespace
}  // namespace immbackup
