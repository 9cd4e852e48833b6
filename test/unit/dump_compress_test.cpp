// gzip and zstd: what we write is read by the system's own programs, the same for any number of
// threads; what we read is exactly one whole member or frame.
#include "dump/compress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "core/error.h"
#include "unit/bytes.h"
#include "unit/compress_fixture.h"
#include "unit/sanitized.h"

namespace immbackup {
namespace {

using test::bytes_of;
using test::compress;
using MakeDecompressor = std::unique_ptr<Decompressor> (*)(ByteSink);

Codec gzip_codec(int level) {
    return {Compression{DumpFormat::gzip, level}, 1};
}
Codec zstd_codec(int level, int threads = 1) {
    return {Compression{DumpFormat::zstd, level}, threads};
}

std::string decompress(MakeDecompressor make, std::string_view gzip, std::size_t chunk) {
    std::string out;
    const auto decompressor = make([&](std::span<const std::byte> bytes) {
        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    for (std::size_t i = 0; i < gzip.size(); i += chunk) {
        decompressor->feed(bytes_of(gzip.substr(i, chunk)));
    }
    decompressor->finish();
    return out;
}

// The content according to a program of the system; "it failed" where it complains.
std::string read_by(const std::vector<const char*>& program, std::string_view gzip) {
    std::string folder = std::filesystem::temp_directory_path() / "immbackup-gzip-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    const std::string in = folder + "/in.gz";
    const std::string out = folder + "/out";
    std::ofstream(in, std::ios::binary) << gzip;
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(open(in.c_str(), O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDOUT_FILENO);
        std::vector<char*> arguments;
        for (const char* word : program) {
            arguments.push_back(const_cast<char*>(word));
        }
        arguments.push_back(nullptr);
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    std::error_code none;  // where the program could not be started
    const auto size = std::filesystem::file_size(out, none);
    std::string text(none ? 0 : size, '\0');
    std::ifstream(out, std::ios::binary).read(text.data(), static_cast<std::streamsize>(size));
    std::filesystem::remove_all(folder);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "it failed";
}

std::string gunzip(std::string_view gzip) {
    return read_by({"gzip", "-dc"}, gzip);
}

std::string noise(std::size_t size) {
    std::mt19937_64 random(size);
    std::string text(size, '\0');
    for (char& c : text) {
        c = static_cast<char>(random());
    }
    return text;
}
std::string rows(std::size_t size) {
    std::mt19937 random(5);
    std::string text;
    while (text.size() < size) {
        text += std::to_string(text.size()) + "\tname " + std::to_string(random() % 5000) +
                "\t2026-01-18 12:00:00\t\\N\n";
    }
    return text;
}
// Compressible, incompressible and constant stretches that do not end at any round size.
std::string mixed(std::size_t size) {
    std::string text;
    const std::string a = rows(1000003);
    const std::string b = noise(300007);
    while (text.size() < size) {
        text += a + b;
        text.append(700001, 'x');
    }
    return text;
}

// What begins and ends where pieces do, and near it.
std::vector<std::string> around_pieces() {
    std::vector<std::string> texts;
    const std::string text = mixed(3 * kPieceSize + 100);
    for (const std::size_t pieces : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
        for (const int off : {-1, 0, 1}) {
            texts.push_back(text.substr(0, pieces * kPieceSize + static_cast<std::size_t>(off)));
        }
    }
    return texts;
}

class Gzip : public testing::TestWithParam<int> {
  protected:
    std::vector<Codec> codecs() const {
        return {gzip_codec(GetParam()), Codec::zlib_only(GetParam())};
    }
};

TEST_P(Gzip, EveryReaderReadsIt) {
    std::vector<std::string> texts = {
        "", "a", rows(5000000), noise(3000017), std::string(2000000, 'z'), mixed(8u << 20)};
    for (const std::string& text : around_pieces()) {
        texts.push_back(text);
    }
    for (const Codec& codec : codecs()) {
        for (const std::string& text : texts) {
            const std::string gzip = compress(codec, text, 100000, 2);
            ASSERT_TRUE(gunzip(gzip) == text) << text.size();
            ASSERT_TRUE(decompress(make_gzip_decompressor, gzip, 65536) == text) << text.size();
            ASSERT_TRUE(decompress(make_zlib_decompressor, gzip, 65536) == text) << text.size();
        }
        const std::string gzip = compress(codec, texts.back(), 100000, 2);
        ASSERT_TRUE(read_by({"python3", "-c",
                             "import gzip, sys; "
                             "sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))"},
                            gzip) == texts.back());
        for (const char* reader : {"pigz", "igzip"}) {
            if (std::system((std::string("command -v ") + reader + " >/dev/null").c_str()) == 0) {
                ASSERT_TRUE(read_by({reader, "-dc"}, gzip) == texts.back()) << reader;
            }
        }
    }
}

// Header: no name, no time; and the same bytes however the input is cut, and by however many.
TEST_P(Gzip, SameInputSameBytes) {
    const std::string text = mixed(3u << 20);
    for (const Codec& codec : codecs()) {
        const std::string whole = compress(codec, text, text.size());
        EXPECT_EQ(whole.substr(0, 8), std::string("\x1f\x8b\x08\0\0\0\0\0", 8));
        for (const std::size_t chunk : {1009u, 65536u, 262144u, 300000u}) {
            EXPECT_TRUE(compress(codec, text, chunk, 1) == whole) << chunk;
            EXPECT_TRUE(compress(codec, text, chunk, 3) == whole) << chunk;
        }
    }
}

// Without its dictionary a piece would begin with nothing to refer to.
TEST_P(Gzip, PiecesReferToWhatIsBeforeThem) {
    // Half of it: zlib does not reach back the very whole of its window.
    const std::string part = noise(kDictionarySize / 2);
    const auto compressor = gzip_codec(GetParam()).make();
    PieceBuffer alone;
    PieceBuffer after;
    compressor->compress(bytes_of(part), {}, true, alone);
    compressor->compress(bytes_of(part), bytes_of(part), true, after);
    EXPECT_LT(after.content().size() * 2, alone.content().size());
}

INSTANTIATE_TEST_SUITE_P(Level, Gzip, testing::Range(1, 10));

// Level 2 takes its time for text alone.
TEST(GzipByContent, TextIsCompressedHarder) {
    std::mt19937 random(7);
    std::string text;
    while (text.size() < 3 * kPieceSize) {
        std::string word(2 + random() % 9, '\0');
        for (char& c : word) {
            c = static_cast<char>('a' + (random() % 26) * (random() % 26) / 26);
        }
        text += text.size() < 5000 || random() % 3 == 0 ? word
                                                        : text.substr(random() % 4000, word.size());
        text += ' ';
    }
    const auto size = [](int level, const std::string& content) {
        return compress(gzip_codec(level), content, 100000).size();
    };
    if (gzip_codec(2).name().starts_with("isa-l")) {
        EXPECT_EQ(size(2, text), size(3, text));
        EXPECT_LT(size(2, text), size(1, text));
        for (const std::string& other : {rows(1000000), std::string(1000000, '7')}) {
            EXPECT_EQ(compress(gzip_codec(2), other, 100000),
                      compress(gzip_codec(1), other, 100000));
        }
        // Each piece for itself.
        const std::string both = text.substr(0, kPieceSize) + rows(2000000).substr(0, kPieceSize);
        EXPECT_LT(size(2, both), size(1, both));
        EXPECT_GE(size(2, both), size(3, both));
    }
    EXPECT_EQ(gunzip(compress(gzip_codec(2), text, 100000)), text);
}

TEST(GzipHuge, RoundTrip) {
    const std::string text = mixed(std::size_t{test::kSanitized ? 20 : 80} << 20);
    for (const int level : {1, 2, 3, 4}) {
        const std::string gzip = compress(gzip_codec(level), text, 262144, 4);
        ASSERT_TRUE(decompress(make_gzip_decompressor, gzip, 300001) == text) << level;
        ASSERT_TRUE(gunzip(gzip) == text) << level;
    }
}

TEST(CodecName, SaysWhoCompresses) {
    EXPECT_EQ(gzip_codec(6).name().substr(0, 5), "zlib ");
    EXPECT_EQ(Codec::zlib_only(1).name().substr(0, 5), "zlib ");
    EXPECT_EQ(zstd_codec(1).name().substr(0, 5), "zstd ");
    EXPECT_THROW(gzip_codec(0), Error);
    EXPECT_THROW(gzip_codec(10), Error);
    EXPECT_THROW(zstd_codec(0), Error);
    EXPECT_THROW(zstd_codec(20), Error);
}

class Zstd : public testing::TestWithParam<int> {};

TEST_P(Zstd, ItsOwnProgramReadsIt) {
    std::vector<std::string> texts = around_pieces();
    for (const std::string& text :
         {std::string(), std::string("a"), noise(3000017), mixed(9u << 20)}) {
        texts.push_back(text);
    }
    for (const std::string& text : texts) {
        const std::string frame = compress(zstd_codec(GetParam(), 2), text, 100000);
        ASSERT_TRUE(decompress(make_zstd_decompressor, frame, 65536) == text) << text.size();
        ASSERT_TRUE(read_by({"zstd", "-dcq"}, frame) == text) << text.size();
        ASSERT_TRUE(compress(zstd_codec(GetParam(), 4), text, 7777, 3) == frame) << text.size();
    }
}

INSTANTIATE_TEST_SUITE_P(Level, Zstd, testing::Values(1, 3, 6, 7, 9, 10, 13));

// One that stops in the middle of everything, as a cancelled run does, waits for nobody.
TEST(Stopping, StagesThatAreFullStopAtOnce) {
    for (const Codec& codec : {gzip_codec(9), zstd_codec(3, 2)}) {
        Stages stages(codec, 2, [](std::span<const std::byte>) {});
        const std::string text = noise(kPieceSize);
        for (auto room = stages.room(); !room.empty(); room = stages.room()) {
            std::copy_n(bytes_of(text).begin(), room.size(), room.begin());
            stages.filled(room.size());
        }
    }
}

TEST(Stopping, ErrorsOfTheSinkArrive) {
    const std::string text = noise(4 * kPieceSize);
    for (const Codec& codec : {gzip_codec(1), gzip_codec(6), zstd_codec(1)}) {
        Stages stages(codec, 2,
                      [](std::span<const std::byte>) { throw Error(ErrorCode::no_space, "full"); });
        const auto room = stages.room();
        stages.filled(room.size());
        pollfd wake{stages.wake_fd(), POLLIN, 0};
        while (!stages.failed() && !stages.ended()) {
            if (codec.format() == DumpFormat::zstd && !stages.room().empty()) {
                stages.filled(stages.room().size());  // it keeps much to itself
                continue;
            }
            ::poll(&wake, 1, 1000);
            stages.clear_wake();
        }
        EXPECT_THROW(stages.rethrow(), Error);
    }
}

class Gunzip : public testing::TestWithParam<MakeDecompressor> {
  protected:
    // Refused as corrupt, for every way to cut it.
    void refuses(std::string_view gzip, const std::string& what) {
        for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, gzip.size() + 1}) {
            try {
                decompress(GetParam(), gzip, chunk);
                ADD_FAILURE() << what << " was accepted in chunks of " << chunk;
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::corrupt) << what;
                EXPECT_FALSE(error.detail().empty());
            }
        }
    }
};

TEST_P(Gunzip, RefusesEveryTruncation) {
    for (const int level : {1, 3, 6}) {
        const std::string gzip = compress(gzip_codec(level), rows(300), 1000);
        for (std::size_t size = 0; size < gzip.size(); ++size) {
            refuses(std::string_view(gzip).substr(0, size), "cut at " + std::to_string(size));
        }
    }
}

TEST_P(Gunzip, RefusesTrailingBytes) {
    for (const std::string& text : {std::string(), rows(300), noise(70000)}) {
        const std::string gzip = compress(gzip_codec(1), text, 1000);
        for (std::size_t extra = 1; extra <= 20; ++extra) {
            refuses(gzip + std::string(extra, '\0'), "zeros");
            refuses(gzip + noise(extra), "noise");
        }
        refuses(gzip + gzip, "a second member");
        refuses(gzip + noise(5000), "much noise");
    }
}

// Every damaged byte is found, or changes nothing of the content (the header's time stamp, the few
// bits that fill up the last byte).
TEST_P(Gunzip, FindsEveryDamageThatMatters) {
    const std::string text = rows(400);
    for (const int level : {1, 6}) {
        const std::string gzip = compress(gzip_codec(level), text, 1000);
        std::size_t harmless = 0;
        for (std::size_t i = 0; i < gzip.size(); ++i) {
            for (const unsigned flip : {1u, 0x10u, 0x80u, 0xffu}) {
                std::string damaged = gzip;
                damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
                try {
                    ASSERT_EQ(decompress(GetParam(), damaged, 50), text) << i;
                    ++harmless;
                } catch (const Error& error) {
                    EXPECT_EQ(error.code(), ErrorCode::corrupt);
                }
            }
        }
        EXPECT_LE(harmless, 4u * 10u);
    }
}

TEST_P(Gunzip, RefusesWhatIsNoGzip) {
    refuses("", "nothing");
    refuses("-- PostgreSQL database dump\n", "text");
    refuses(noise(1000), "noise");
    refuses(std::string(1000, '\0'), "zeros");
}

TEST_P(Gunzip, ReadsOtherHeaders) {
    // With name, comment, extra field and header CRC left out: as `gzip FILE` writes it.
    const std::string plain = compress(Codec::zlib_only(6), "hello\n", 10);
    std::string named = plain.substr(0, 3) + '\x08' + plain.substr(4, 6);
    named += std::string("some file.sql\0", 14) + plain.substr(10);
    EXPECT_EQ(decompress(GetParam(), named, 1000), "hello\n");
    // In pieces of every size: what was read of a header is kept between two calls.
    for (std::size_t piece = 1; piece < named.size(); ++piece) {
        EXPECT_EQ(decompress(GetParam(), named, piece), "hello\n") << piece;
    }
}

TEST_P(Gunzip, ErrorsOfTheSinkPass) {
    const std::string gzip = compress(gzip_codec(1), rows(1000), 1000);
    const auto decompressor =
        GetParam()([](std::span<const std::byte>) { throw Error(ErrorCode::no_space, "full"); });
    try {
        decompressor->feed(bytes_of(gzip));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
    }
}

INSTANTIATE_TEST_SUITE_P(By, Gunzip,
                         testing::Values(make_gzip_decompressor, make_zlib_decompressor),
                         [](const auto& test) { return test.index == 0 ? "Default" : "Zlib"; });

void refuses_zstd(std::string_view frame, const std::string& what) {
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, frame.size() + 1}) {
        try {
            decompress(make_zstd_decompressor, frame, chunk);
            ADD_FAILURE() << what << " was accepted in chunks of " << chunk;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::corrupt) << what;
            EXPECT_FALSE(error.detail().empty());
        }
    }
}

TEST(Unzstd, RefusesEveryTruncation) {
    const std::string frame = compress(zstd_codec(3), rows(300), 1000);
    for (std::size_t size = 0; size < frame.size(); ++size) {
        refuses_zstd(std::string_view(frame).substr(0, size), "cut at " + std::to_string(size));
    }
    const std::string large = compress(zstd_codec(3), mixed(3u << 20), 100000);
    for (const std::size_t cut : {std::size_t{1}, std::size_t{4}, std::size_t{1000}}) {
        refuses_zstd(std::string_view(large).substr(0, large.size() - cut), "the end is missing");
    }
}

TEST(Unzstd, RefusesTrailingBytesAndOtherFrames) {
    const std::string frame = compress(zstd_codec(3), rows(300), 1000);
    refuses_zstd(frame + '\0', "a zero");
    refuses_zstd(frame + frame, "a second frame");
    refuses_zstd(std::string("\x50\x2a\x4d\x18\x04\0\0\0abcd", 12) + frame, "a skippable frame");
    refuses_zstd(noise(1000), "noise");
    refuses_zstd("-- PostgreSQL database dump\n", "text");
    refuses_zstd(compress(gzip_codec(1), "x", 10), "gzip");
    std::string unchecked = frame;
    unchecked[4] = static_cast<char>(unchecked[4] & ~0x04);
    refuses_zstd(unchecked, "no checksum");
}

TEST(Unzstd, FindsEveryDamageThatMatters) {
    const std::string text = rows(400);
    const std::string frame = compress(zstd_codec(3), text, 1000);
    for (std::size_t i = 0; i < frame.size(); ++i) {
        for (const unsigned flip : {1u, 0x10u, 0x80u, 0xffu}) {
            std::string damaged = frame;
            damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
            try {
                EXPECT_EQ(decompress(make_zstd_decompressor, damaged, 50), text) << i;
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::corrupt);
            }
        }
    }
}

// A window that would take the reader's memory is refused before it is taken.
TEST(Unzstd, RefusesHugeWindows) {
    std::string frame = compress(zstd_codec(3), mixed(1u << 20), 100000);
    ASSERT_EQ(frame[4] & 0x20, 0);  // no single segment: a window descriptor follows
    frame[5] = static_cast<char>((27 - 10) << 3);
    refuses_zstd(frame, "a window of 128 MiB");
}

}  // namespace
}  // namespace immbackup
