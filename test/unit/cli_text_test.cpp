// What the program prints for a person.
#include <gtest/gtest.h>

#include "cli/options.h"
#include "cli/progress_bar.h"
#include "cli/table.h"

namespace immbackup {
namespace {

TEST(SizeText, RoundsIntoTheNextUnit) {
    struct {
        std::uint64_t bytes;
        const char* expected;
    } const cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 kB"},
        {1550, "1.6 kB"},
        {999'949, "999.9 kB"},
        {999'950, "1.0 MB"},
        {999'999'999, "1.0 GB"},
        {1'500'000'000, "1.5 GB"},
        {2'000'000'000'000, "2.0 TB"},
        {~std::uint64_t{0}, "18446.7 PB"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(size_text(c.bytes), c.expected) << c.bytes;
    }
}

TEST(DurationText, NeverSixtySeconds) {
    struct {
        double seconds;
        const char* expected;
    } const cases[] = {
        {0, "0.0 s"},          {4.04, "4.0 s"},         {9.94, "9.9 s"},
        {9.96, "10 s"},        {59.4, "59 s"},          {59.6, "1 min 00 s"},
        {125, "2 min 05 s"},   {3599.4, "59 min 59 s"}, {3599.6, "1 h 00 min"},
        {11220, "3 h 07 min"}, {90000, "25 h 00 min"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(duration_text(c.seconds), c.expected) << c.seconds;
    }
}

TEST(Printable, NothingSpeaksToTheTerminal) {
    struct {
        std::string_view text;
        const char* expected;
    } const cases[] = {
        {"größe \"a\\b\"", "größe \"a\\b\""},
        {"a\nb\tc", "a\\x0ab\\x09c"},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"\x7f", "\\x7f"},
        {std::string_view("\0", 1), "\\x00"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},  // the same as ESC [, as one character
        {"\xc2\x80\xc2\x9f\xc2\xa0", "\\xc2\\x80\\xc2\\x9f\xc2\xa0"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(printable(c.text), c.expected);
    }
}

ProgressState state(const char* database, std::uint64_t in, std::uint64_t total) {
    ProgressState out;
    out.phase = "dumping";
    out.database = database;
    out.bytes_in = in;
    out.bytes_total = total;
    return out;
}

TEST(ProgressLine, RateAndTimeLeftWhereTheyAreKnown) {
    struct {
        ProgressState state;
        double seconds;
        const char* expected;
    } const cases[] = {
        {state("", 0, 0), 10, "dumping"},
        {state("shop", 0, 100), 10, "dumping shop"},
        {state("shop", 5'000'000, 0), 10, "dumping shop  5.0 MB  500.0 kB/s"},
        {state("shop", 5'000'000, 20'000'000), 10,
         "dumping shop  5.0 MB  500.0 kB/s  25 %  30 s left"},
        {state("shop", 5'000'000, 4'000'000), 10, "dumping shop  5.0 MB  500.0 kB/s"},
        {state("shop", 5'000'000, 20'000'000), 0, "dumping shop  5.0 MB"},
        {state("a\nb", 0, 0), 0, "dumping a\\x0ab"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(progress_line(c.state, c.seconds, 80), c.expected);
    }
    ProgressState several = state("shop", 0, 0);
    several.databases_total = 3;
    several.databases_done = 1;
    several.table = "public.\"a\tb\"";
    EXPECT_EQ(progress_line(several, 0, 80), "dumping shop (2/3)  public.\"a\\x09b\"");
    several.databases_done = 3;
    EXPECT_EQ(progress_line(several, 0, 18), "dumping shop (3/3)");
}

TEST(ProgressLine, IsCutBetweenCharacters) {
    const ProgressState odd = state("größe€😀", 0, 0);
    std::string longest;
    for (std::size_t width = 0; width < 30; ++width) {
        const std::string line = progress_line(odd, 0, width);
        EXPECT_LE(line.size(), width);
        EXPECT_GE(line.size(), longest.size());
        EXPECT_NO_THROW(static_cast<void>(nlohmann::json(line).dump())) << "not UTF-8 at " << width;
        longest = line;
    }
    EXPECT_EQ(longest, "dumping größe€😀");
}

TEST(PrintTable, ColumnsAreAsWideAsTheirWidestCell) {
    testing::internal::CaptureStdout();
    print_table({{"name", "size", "x"}, {"größe", "1", ""}, {"a\n", "12345", "y"}, {"short"}});
    EXPECT_EQ(testing::internal::GetCapturedStdout(),
              "name   size   x\n"
              "größe  1      \n"
              "a\\x0a  12345  y\n"
              "short\n");
    testing::internal::CaptureStdout();
    print_table({});
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(PrintError, DetailAndHintWhereThereAreAny) {
    testing::internal::CaptureStderr();
    print_error(Error(ErrorCode::io, "message", "Detail.", "Hint."));
    print_error(Error(ErrorCode::io, "alone"));
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "immbackup: error: message\nDETAIL: Detail.\nHINT: Hint.\nimmbackup: error: alone\n");
}

}  // namespace
}  // namespace immbackup
