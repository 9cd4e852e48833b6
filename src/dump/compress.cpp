#include "dump/compress.h"

#include <array>

#include "core/error.h"
#include "dump/compressors.h"

namespace immbackup {

namespace {

// What a piece becomes at worst is a little more than the piece itself.
constexpr std::size_t kFirstRoom = kPieceSize + kPieceSize / 8;

void put32(std::vector<std::byte>& out, std::uint32_t value) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
        out.push_back(static_cast<std::byte>((value >> shift) & 0xFFU));
    }
}

}  // namespace

std::span<std::byte> PieceBuffer::room() {
    if (size_ == space_.size()) {
        space_.resize(space_.empty() ? kFirstRoom : space_.size() * 2);
    }
    return std::span(space_).subspan(size_);
}

std::vector<std::byte> Envelope::header() const {
    if (format_ != DumpFormat::gzip) {
        return {};
    }
    // Magic, deflate, no flags, no time, no extra flags, Unix (RFC 1952, 2.3).
    constexpr std::array<unsigned char, 10> kHeader{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    std::vector<std::byte> out;
    for (const unsigned char byte : kHeader) {
        out.push_back(static_cast<std::byte>(byte));
    }
    return out;
}

void Envelope::add(std::uint32_t crc, std::size_t size) {
    if (format_ == DumpFormat::gzip) {
        crc_ = zlib_crc_combine(crc_, crc, size);
        size_ += size;
    }
}

std::vector<std::byte> Envelope::trailer() const {
    std::vector<std::byte> out;
    if (format_ == DumpFormat::gzip) {
        put32(out, crc_);
        put32(out, static_cast<std::uint32_t>(size_ & 0xFFFFFFFFU));
    }
    return out;
}

Codec::Codec(DumpFormat format, Engine engine, int level, int threads)
    : format_(format), engine_(engine), level_(level), threads_(threads) {
    if (level < 1 || level > (format == DumpFormat::zstd ? kMaxZstdLevel : kMaxGzipLevel)) {
        throw Error(ErrorCode::internal,
                    "compression level out of range: " + Compression{format, level}.text());
    }
}

Codec::Codec(const Compression& compression, int threads)
    : Codec(compression.format,
            compression.format == DumpFormat::zstd ? Engine::zstd : Engine::zlib, compression.level,
            threads) {
#ifdef IMMBACKUP_HAVE_ISAL
    if (engine_ == Engine::zlib && level_ <= kIsalMaxLevel) {
        engine_ = Engine::isal;
    }
#endif
}

Codec Codec::zlib_only(int level) {
    return {DumpFormat::gzip, Engine::zlib, level, 1};
}

std::string Codec::name() const {
#ifdef IMMBACKUP_HAVE_ISAL
    if (engine_ == Engine::isal) {
        return isal_name();
    }
#endif
    return engine_ == Engine::zstd ? zstd_name() : zlib_name();
}

std::unique_ptr<PieceCompressor> Codec::make() const {
#ifdef IMMBACKUP_HAVE_ISAL
    if (engine_ == Engine::isal) {
        return make_isal_pieces(level_);
    }
#endif
    return engine_ == Engine::zstd ? make_zstd_pieces(level_, threads_) : make_zlib_pieces(level_);
}

std::uint32_t Codec::crc(std::span<const std::byte> piece) const {
    if (format_ != DumpFormat::gzip) {
        return 0;
    }
#ifdef IMMBACKUP_HAVE_ISAL
    return isal_crc(piece);
#else
    return zlib_crc(piece);
#endif
}

std::unique_ptr<Decompressor> make_decompressor(DumpFormat format, ByteSink sink) {
    return format == DumpFormat::zstd ? make_zstd_decompressor(std::move(sink))
                                      : make_gzip_decompressor(std::move(sink));
}

}  // namespace immbackup
