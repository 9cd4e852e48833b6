// gzip: what we write is read by the gunzip of the system, what we read is exactly one whole
// member, with ISA-L and with zlib.
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

namespace immbackup {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

using MakeCompressor = std::unique_ptr<Compressor> (*)(int, ByteSink);
using MakeDecompressor = std::unique_ptr<Decompressor> (*)(ByteSink);

std::string compress(MakeCompressor make, int level, std::string_view text, std::size_t chunk) {
    std::string out;
    const auto compressor = make(level, [&](std::span<const std::byte> bytes) {
        EXPECT_LE(bytes.size(), std::size_t{256} * 1024);
        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    for (std::size_t i = 0; i < text.size(); i += chunk) {
        compressor->feed(bytes_of(text.substr(i, chunk)));
    }
    compressor->finish();
    return out;
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

// The content according to the system's gunzip; "gunzip failed" where it complains.
std::string gunzip(std::string_view gzip) {
    std::string folder = std::filesystem::temp_directory_path() / "immbackup-gzip-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    const std::string in = folder + "/in.gz";
    const std::string out = folder + "/out";
    std::ofstream(in, std::ios::binary) << gzip;
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(open(in.c_str(), O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDOUT_FILENO);
        execlp("gzip", "gzip", "-dc", nullptr);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    std::ifstream file(out, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    std::filesystem::remove_all(folder);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "gunzip failed";
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

class Gzip : public testing::TestWithParam<int> {};

TEST_P(Gzip, SystemGunzipReadsIt) {
    const std::vector<std::string> texts = {
        "", "a", rows(5000000), noise(3000017), std::string(2000000, 'z'), mixed(8u << 20)};
    for (const auto make : {make_gzip_compressor, make_zlib_compressor}) {
        for (const std::string& text : texts) {
            const std::string gzip = compress(make, GetParam(), text, 100000);
            ASSERT_TRUE(gunzip(gzip) == text) << text.size();
            ASSERT_TRUE(decompress(make_gzip_decompressor, gzip, 65536) == text) << text.size();
            ASSERT_TRUE(decompress(make_zlib_decompressor, gzip, 65536) == text) << text.size();
        }
    }
}

// Header: no name, no time; and the same bytes however the input is cut.
TEST_P(Gzip, SameInputSameBytes) {
    const std::string text = mixed(3u << 20);
    for (const auto make : {make_gzip_compressor, make_zlib_compressor}) {
        const std::string whole = compress(make, GetParam(), text, text.size());
        EXPECT_EQ(whole.substr(0, 8), std::string("\x1f\x8b\x08\0\0\0\0\0", 8));
        for (const std::size_t chunk : {1009u, 65536u, 262144u, 300000u}) {
            EXPECT_TRUE(compress(make, GetParam(), text, chunk) == whole) << chunk;
        }
        // A cut before the first byte, which no fixed chunk size makes.
        std::string out;
        const auto compressor = make(GetParam(), [&](std::span<const std::byte> bytes) {
            out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        });
        compressor->feed({});
        compressor->feed(bytes_of(text).first(3));
        compressor->feed({});
        compressor->feed(bytes_of(text).subspan(3));
        compressor->finish();
        EXPECT_TRUE(out == whole);
    }
}

INSTANTIATE_TEST_SUITE_P(Level, Gzip, testing::Range(1, 10));

TEST(GzipHuge, RoundTrip) {
    const std::string text = mixed(std::size_t{80} << 20);
    for (const int level : {1, 2, 3, 4}) {
        const std::string gzip = compress(make_gzip_compressor, level, text, 262144);
        ASSERT_TRUE(decompress(make_gzip_decompressor, gzip, 300001) == text) << level;
        ASSERT_TRUE(gunzip(gzip) == text) << level;
    }
}

TEST(GzipName, SaysWhoCompresses) {
    EXPECT_EQ(make_gzip_compressor(6, {})->name().substr(0, 5), "zlib ");
    EXPECT_EQ(make_zlib_compressor(1, {})->name().substr(0, 5), "zlib ");
    EXPECT_THROW(make_gzip_compressor(0, {}), Error);
    EXPECT_THROW(make_gzip_compressor(10, {}), Error);
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
        const std::string gzip = compress(make_gzip_compressor, level, rows(300), 1000);
        for (std::size_t size = 0; size < gzip.size(); ++size) {
            refuses(std::string_view(gzip).substr(0, size), "cut at " + std::to_string(size));
        }
    }
}

TEST_P(Gunzip, RefusesTrailingBytes) {
    for (const std::string& text : {std::string(), rows(300), noise(70000)}) {
        const std::string gzip = compress(make_gzip_compressor, 1, text, 1000);
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
        const std::string gzip = compress(make_gzip_compressor, level, text, 1000);
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
    const std::string plain = compress(make_zlib_compressor, 6, "hello\n", 10);
    std::string named = plain.substr(0, 3) + '\x08' + plain.substr(4, 6);
    named += std::string("some file.sql\0", 14) + plain.substr(10);
    EXPECT_EQ(decompress(GetParam(), named, 1000), "hello\n");
    // In pieces of every size: what was read of a header is kept between two calls.
    for (std::size_t piece = 1; piece < named.size(); ++piece) {
        EXPECT_EQ(decompress(GetParam(), named, piece), "hello\n") << piece;
    }
}

TEST_P(Gunzip, ErrorsOfTheSinkPass) {
    const std::string gzip = compress(make_gzip_compressor, 1, rows(1000), 1000);
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

}  // namespace
}  // namespace immbackup
