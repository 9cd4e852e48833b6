// What is read back of a file, behind its writer and under its seal, is what was written, and
// nothing else passes for it.
#include "vault/read_back.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>

#include "vault/failure.h"
#include "vault/tree.h"

namespace immbackup::vault {
namespace {

constexpr std::size_t kStep = std::size_t{16} * 1024 * 1024;

std::string content_of(std::size_t size) {
    std::mt19937_64 random(size);
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; i += 509) {
        text[i] = static_cast<char>(random());
    }
    return text;
}

// A file as put writes it, in pieces that fit nowhere.
struct Written {
    Fd fd{::open(::testing::TempDir().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    std::uint64_t size = 0;
    std::string sha256;

    explicit Written(const std::string& text) : size(text.size()) {
        ReadBehind behind(fd);
        constexpr std::size_t kPiece = 777'777;
        for (std::size_t at = 0; at < text.size(); at += kPiece) {
            write_all(fd, std::span(text).subspan(at, std::min(kPiece, text.size() - at)));
            behind.written(std::min(at + kPiece, text.size()));
        }
        sync(fd);
        sha256 = to_hex(behind.finish(size));
    }
    bool holds(ReadFrom from = ReadFrom::cache) const { return reads_back(fd, size, sha256, from); }
    void flip(std::size_t at) const {
        char byte = 0;
        ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
        byte = static_cast<char>(byte ^ 4);
        ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
    }
};

TEST(VaultReadBack, HoldsWhatWasWritten) {
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, kStep - 1, kStep, kStep + 1, 3 * kStep + 12345}) {
        const std::string text = content_of(size);
        const Written file(text);
        ASSERT_TRUE(file.fd);
        EXPECT_EQ(file.sha256, sha256_hex(text)) << size;
        EXPECT_TRUE(file.holds()) << size;
        EXPECT_TRUE(file.holds(ReadFrom::device)) << size;
    }
}

TEST(VaultReadBack, EveryPartCounts) {
    constexpr std::size_t kSize = 3 * kStep + 12345;
    const Written file(content_of(kSize));
    for (const std::size_t at :
         {std::size_t{0}, kStep - 1, kStep, 2 * kStep + 5, 3 * kStep - 1, 3 * kStep, kSize - 1}) {
        file.flip(at);
        EXPECT_FALSE(file.holds()) << at;
        EXPECT_FALSE(file.holds(ReadFrom::device)) << at;
        file.flip(at);
    }
    EXPECT_TRUE(file.holds());
}

TEST(VaultReadBack, NeitherShorterNorLonger) {
    const Written file(content_of(kStep + 100));
    ASSERT_EQ(::ftruncate(file.fd.get(), kStep + 99), 0);
    EXPECT_FALSE(file.holds());
    ASSERT_EQ(::ftruncate(file.fd.get(), kStep + 101), 0);
    EXPECT_FALSE(file.holds());
}

TEST(VaultReadBack, WhatCannotBeReadIsNotCalledCorrupt) {
    const Written file(content_of(kStep + 100));
    const Fd writer(::open(("/proc/self/fd/" + std::to_string(file.fd.get())).c_str(), O_WRONLY));
    ASSERT_TRUE(writer);
    try {
        reads_back(writer, file.size, file.sha256, ReadFrom::cache);
        ADD_FAILURE() << "it was read";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code, Code::io) << failure.message;
    }
}

TEST(VaultReadBack, TheDigestDecides) {
    const Written file(content_of(kStep + 100));
    EXPECT_FALSE(reads_back(file.fd, file.size, sha256_hex("x"), ReadFrom::cache));
}

}  // namespace
}  // namespace immbackup::vault
