// The pure rules: what is worth another try, how parts grow, until when to lock, what proves it,
// and what is XML.
#include <gtest/gtest.h>

#include "core/error.h"
#include "s3/lock_terms.h"
#include "s3/part_plan.h"
#include "s3/retry.h"
#include "s3/xml.h"

namespace immbackup::s3::test {
namespace {

using std::chrono::milliseconds;

TEST(S3Retry, Verdicts) {
    const struct {
        bool answered;
        int status;
        const char* code;
        Verdict verdict;
    } cases[] = {
        {false, 0, "", Verdict::again},
        {false, 200, "", Verdict::again},  // broke off in the middle
        {true, 200, "", Verdict::done},
        {true, 204, "", Verdict::done},
        {true, 206, "", Verdict::done},
        {true, 200, "InternalError", Verdict::again},
        {true, 200, "InvalidPart", Verdict::give_up},
        {true, 400, "", Verdict::give_up},
        {true, 400, "RequestTimeout", Verdict::again},
        {true, 400, "BadDigest", Verdict::give_up},
        {true, 400, "ExpiredToken", Verdict::credentials},
        {true, 400, "AuthorizationHeaderMalformed", Verdict::elsewhere},
        {true, 301, "PermanentRedirect", Verdict::elsewhere},
        {true, 307, "TemporaryRedirect", Verdict::elsewhere},
        {true, 301, "", Verdict::elsewhere},
        {true, 403, "AccessDenied", Verdict::give_up},
        {true, 403, "SignatureDoesNotMatch", Verdict::give_up},
        {true, 403, "RequestTimeTooSkewed", Verdict::clock},
        {true, 404, "NoSuchUpload", Verdict::give_up},
        {true, 408, "", Verdict::again},
        {true, 409, "OperationAborted", Verdict::again},
        {true, 409, "", Verdict::give_up},
        {true, 412, "PreconditionFailed", Verdict::give_up},
        {true, 429, "", Verdict::again},
        {true, 500, "InternalError", Verdict::again},
        {true, 501, "NotImplemented", Verdict::give_up},
        {true, 502, "", Verdict::again},
        {true, 503, "SlowDown", Verdict::again},
        {true, 504, "", Verdict::again},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(judge({c.answered, c.status, c.code}), c.verdict) << c.status << " " << c.code;
    }
}

TEST(S3Retry, PausesDoubleUpToACeilingWithFullJitter) {
    for (unsigned attempt = 0; attempt < 100; ++attempt) {
        EXPECT_EQ(pause_before(attempt, 0), milliseconds(0));
        EXPECT_LE(pause_before(attempt, 1), std::chrono::seconds(20));
    }
    EXPECT_EQ(pause_before(1, 1), milliseconds(200));
    EXPECT_EQ(pause_before(2, 1), milliseconds(400));
    EXPECT_EQ(pause_before(3, 0.5), milliseconds(400));
    EXPECT_EQ(pause_before(60, 1), std::chrono::seconds(20));
}

TEST(S3PartPlan, FiveTebibytesFitAndEveryPartIsAllowed) {
    for (const std::uint32_t max_parts : {1U, 2U, 10U, 1000U, 1500U, 5000U, 10000U}) {
        const PartPlan plan(max_parts);
        std::uint64_t offset = 0;
        std::uint64_t last = 0;
        for (std::uint32_t number = 1; number <= max_parts; ++number) {
            ASSERT_EQ(plan.offset_of(number), offset) << number;
            const std::uint64_t size = plan.size_of(number);
            ASSERT_GE(size, kMinPart);
            ASSERT_LE(size, kMaxPart);
            ASSERT_GE(size, last);
            offset += size;
            last = size;
        }
        EXPECT_EQ(plan.capacity(), offset);
        if (max_parts > 100) {
            EXPECT_GE(offset, std::min(kMaxObject, max_parts * kMaxPart / 10 * 9)) << max_parts;
        }
    }
    EXPECT_GE(PartPlan(10000).capacity(), kMaxObject);
    EXPECT_EQ(PartPlan(10000).size_of(1), 16 * kMiB);
    EXPECT_EQ(PartPlan(10000).size_of(1000), 16 * kMiB);  // 16 GB without growing
}

TEST(S3PartPlan, OfAKnownSize) {
    EXPECT_EQ(PartPlan::for_size(0, 1000).size_of(1), 16 * kMiB);
    EXPECT_EQ(PartPlan::for_size(100 * kGiB, 1000).size_of(1), 103 * kMiB);
    EXPECT_EQ(PartPlan::for_size(kMaxObject, 10000).size_of(9999), 525 * kMiB);
    EXPECT_GE(PartPlan::for_size(kMaxObject, 1024).capacity(), kMaxObject);
    EXPECT_THROW(PartPlan::for_size(kMaxObject, 1000), Error);
    EXPECT_THROW(PartPlan(0), Error);
    EXPECT_THROW(PartPlan(10001), Error);
    EXPECT_THROW(PartPlan(1000, kMinPart - 1), Error);
}

Time at(const char* text) {
    return *parse_store_time(text);
}

TEST(S3LockTerms, DatesOfStores) {
    const struct {
        const char* text;
        const char* time;  // empty: none
    } cases[] = {
        {"2026-01-18T12:00:00Z", "2026-01-18T12:00:00.000Z"},
        {"2026-01-18T12:00:00.5Z", "2026-01-18T12:00:00.500Z"},
        {"2026-01-18T12:00:00.123Z", "2026-01-18T12:00:00.123Z"},
        {"2026-01-18T12:00:00.123456789Z", "2026-01-18T12:00:00.123Z"},
        {"2026-01-18T12:00:00.000000000Z", "2026-01-18T12:00:00.000Z"},
        {"2026-01-18T12:00:00+00:00", "2026-01-18T12:00:00.000Z"},
        {"2026-01-18T12:00:00.1+02:30", "2026-01-18T09:30:00.100Z"},
        {"2026-01-18T12:00:00-0100", "2026-01-18T13:00:00.000Z"},
        {"2026-01-18T12:00:00.1234567890Z", ""},
        {"2026-01-18T12:00:00.Z", ""},
        {"2026-01-18T12:00:00", ""},
        {"2026-02-30T12:00:00Z", ""},
        {"2026-01-18 12:00:00Z", ""},
        {"2026-01-18T12:00:00X", ""},
        {"2026-01-18T12:00:00+1:00", ""},
        {"", ""},
    };
    for (const auto& c : cases) {
        const auto time = parse_store_time(c.text);
        EXPECT_EQ(time ? format_time(*time) : "", c.time) << c.text;
    }
    EXPECT_EQ(parse_http_date("Sun, 18 Jan 2026 12:00:00 GMT"), at("2026-01-18T12:00:00Z"));
    for (const char* text : {"", "Sun, 18 Foo 2026 12:00:00 GMT", "Sun, 18 Jan 2026 12:00:00 CET",
                             "Sunday, 18-Jan-26 12:00:00 GMT"}) {
        EXPECT_FALSE(parse_http_date(text)) << text;
    }
}

TEST(S3LockTerms, UntilIsOfTheLaterClock) {
    const Time ours = at("2026-01-18T12:00:00.001Z");
    // A store that does not tell the time cannot say that ours is wrong.
    EXPECT_THROW(retain_until(ours, std::nullopt, 30), Error);
    EXPECT_EQ(retain_until(ours, std::nullopt, 30, true), at("2026-02-17T12:00:01Z"));
    EXPECT_EQ(retain_until(ours, at("2026-01-18T12:59:00Z"), 1), at("2026-01-19T12:59:00Z"));
    EXPECT_EQ(retain_until(ours, at("2026-01-18T11:01:00Z"), 1), at("2026-01-19T12:00:01Z"));
    EXPECT_THROW(retain_until(ours, at("2026-01-18T13:00:01Z"), 1), Error);
    EXPECT_THROW(retain_until(ours, at("2026-01-18T10:59:00Z"), 1), Error);
    EXPECT_EQ(retain_until(ours, at("2027-01-18T12:00:00Z"), 1, true), at("2027-01-19T12:00:00Z"));
}

TEST(S3LockTerms, WhatProvesALock) {
    const LockTerms asked{LockMode::compliance, at("2026-02-17T12:00:00.500Z")};
    const auto held = [](LockMode mode, const char* until) {
        LockReading reading;
        reading.retention = Reading::held;
        reading.mode = mode;
        reading.until = parse_store_time(until);
        return reading;
    };
    LockReading none, denied, failed, no_date;
    none.retention = Reading::none;
    none.head_mode = LockMode::compliance;  // HEAD echoes what was sent: a store that lies
    denied.retention = Reading::denied;
    no_date.retention = Reading::held;
    no_date.mode = LockMode::compliance;
    LockReading contradicting = held(LockMode::compliance, "2026-02-17T12:00:00.500Z");
    contradicting.head_mode = LockMode::governance;
    const struct {
        const char* what;
        LockReading reading;
        LockState state;
    } cases[] = {
        {"exact", held(LockMode::compliance, "2026-02-17T12:00:00.500000000Z"), LockState::locked},
        {"full seconds", held(LockMode::compliance, "2026-02-17T12:00:00Z"), LockState::locked},
        {"the full day", held(LockMode::compliance, "2026-02-18T00:00:00Z"), LockState::locked},
        {"too short", held(LockMode::compliance, "2026-02-17T11:59:59Z"), LockState::unlocked},
        {"wrapped", held(LockMode::compliance, "1970-01-01T00:00:00Z"), LockState::unlocked},
        {"weaker", held(LockMode::governance, "2026-02-17T12:00:01Z"), LockState::unlocked},
        {"much longer", held(LockMode::compliance, "2126-02-17T12:00:00Z"), LockState::unproven},
        {"none", none, LockState::unlocked},
        {"denied", denied, LockState::unproven},
        {"failed", failed, LockState::unproven},
        {"no date", no_date, LockState::unlocked},
        {"two answers", contradicting, LockState::unproven},
    };
    for (const auto& c : cases) {
        const LockJudgement judgement = judge_lock(asked, c.reading);
        EXPECT_EQ(judgement.state, c.state) << c.what;
        EXPECT_EQ(judgement.reason.empty(), c.state == LockState::locked) << c.what;
    }
    EXPECT_FALSE(parse_lock_mode("compliance"));
    EXPECT_FALSE(parse_lock_mode(""));
}

TEST(S3Xml, WhateverNamespaceAndOrder) {
    for (const char* text : {"<R><A>1</A><B><C>x</C></B><A>2</A></R>",
                             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R "
                             "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                             "<B> <C>\n x </C></B><A>1</A><A>2</A></R>",
                             "<q:R xmlns:q=\"urn:other\"><q:A>1</q:A><!-- c "
                             "--><q:B><q:C><![CDATA[x]]></q:C></q:B><q:A>2</q:A></q:R>"}) {
        const XmlDocument document = XmlDocument::parse(text);
        EXPECT_EQ(document.root().name(), "R");
        EXPECT_EQ(document.root().value("A"), "1");
        EXPECT_EQ(document.root().children("A").size(), 2U);
        EXPECT_EQ(document.root().child("B")->value("C"), "x");
        EXPECT_FALSE(document.root().child("Z"));
        EXPECT_EQ(document.root().value("Z"), "");
    }
    EXPECT_EQ(XmlDocument::parse("<a>&lt;&amp;&#65;</a>").root().text(), "<&A");
}

TEST(S3Xml, RefusesWhatIsHostile) {
    std::string deep, giant = "<a>" + std::string(kXmlLimit, 'x') + "</a>";
    for (int i = 0; i < 100000; ++i) {
        deep += "<a>";
    }
    const std::string cases[] = {
        "",
        " ",
        "hello",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a>&undefined;</a>",
        "<html><br></html>",
        deep,
        giant,
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<a>\x01</a>",
        "<a>\xFF</a>",
        std::string("<a>\0</a>", 8)};
    for (const auto& text : cases) {
        EXPECT_THROW(XmlDocument::parse(text), Error) << text.substr(0, 60);
    }
    // The same in an encoding in which a search for "<!DOCTYPE" finds nothing.
    std::string utf16 = "\xFF\xFE";
    for (const char c : std::string("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>")) {
        utf16 += c;
        utf16 += '\0';
    }
    EXPECT_THROW(XmlDocument::parse(utf16), Error);
}

TEST(S3Xml, EscapesWhatItWrites) {
    const std::string text = "<a b=\"c\"> & \r\n\t";
    EXPECT_EQ(XmlDocument::parse("<x>." + xml_escape(text) + ".</x>").root().text(),
              "." + text + ".");
    EXPECT_EQ(xml_escape(std::string("a\x01") + "b"), "ab");
}

}  // namespace
}  // namespace immbackup::s3::test
