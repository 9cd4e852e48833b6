// The engines behind Codec; everybody else uses compress.h.
#pragma once

#include <memory>
#include <string>

#include "dump/compress.h"

namespace immbackup {

// What a decompressor hands on at a time, in bytes.
inline constexpr std::size_t kOutputBlock = std::size_t{256} * 1024;

// zlib and ISA-L read through pointers to non-const.
inline unsigned char* input(std::span<const std::byte> bytes) {
    return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
}

std::unique_ptr<PieceCompressor> make_zlib_pieces(int level);
std::string zlib_name();
std::uint32_t zlib_crc(std::span<const std::byte> bytes);
std::uint32_t zlib_crc_combine(std::uint32_t first, std::uint32_t second, std::size_t second_size);

#ifdef IMMBACKUP_HAVE_ISAL
inline constexpr int kIsalMaxLevel = 3;
std::unique_ptr<PieceCompressor> make_isal_pieces(int level);
std::string isal_name();
std::uint32_t isal_crc(std::span<const std::byte> bytes);
#endif

std::unique_ptr<PieceCompressor> make_zstd_pieces(int level, int threads);
std::string zstd_name();

}  // namespace immbackup
