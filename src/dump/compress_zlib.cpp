// gzip by zlib: pieces, CRC, and the reader of platforms without ISA-L.

#include <zlib.h>

#include <algorithm>

#include "core/error.h"
#include "dump/compressors.h"
#include "dump/gzip_errors.h"

namespace immbackup {

namespace {

class ZlibPieces final : public PieceCompressor {
  public:
    explicit ZlibPieces(int level) {
        // Negative window bits: a raw deflate stream; the envelope is not ours.
        if (deflateInit2(&stream_, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
            throw Error(ErrorCode::internal, "could not set up zlib");
        }
    }
    ~ZlibPieces() override { deflateEnd(&stream_); }
    ZlibPieces(const ZlibPieces&) = delete;
    ZlibPieces& operator=(const ZlibPieces&) = delete;

    void compress(std::span<const std::byte> piece, std::span<const std::byte> before, bool last,
                  PieceBuffer& out) override {
        deflateReset(&stream_);
        if (!before.empty()) {
            deflateSetDictionary(&stream_, input(before), static_cast<uInt>(before.size()));
        }
        stream_.next_in = input(piece);
        stream_.avail_in = static_cast<uInt>(piece.size());
        for (;;) {
            const std::span<std::byte> room = out.room();
            stream_.next_out = reinterpret_cast<Bytef*>(room.data());
            stream_.avail_out = static_cast<uInt>(room.size());
            const int result = deflate(&stream_, last ? Z_FINISH : Z_SYNC_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw Error(ErrorCode::internal, "could not compress with zlib");
            }
            out.add(room.size() - stream_.avail_out);
            if (last ? result == Z_STREAM_END : stream_.avail_out > 0) {
                return;
            }
        }
    }

  private:
    z_stream stream_{};
};

class ZlibDecompressor final : public Decompressor {
  public:
    explicit ZlibDecompressor(ByteSink sink) : sink_(std::move(sink)), output_(kOutputBlock) {
        if (inflateInit2(&stream_, MAX_WBITS + 16) != Z_OK) {
            throw Error(ErrorCode::internal, "could not set up zlib");
        }
    }
    ~ZlibDecompressor() override { inflateEnd(&stream_); }
    ZlibDecompressor(const ZlibDecompressor&) = delete;
    ZlibDecompressor& operator=(const ZlibDecompressor&) = delete;

    void feed(std::span<const std::byte> bytes) override;
    void finish() override;

  private:
    ByteSink sink_;
    std::vector<std::byte> output_;
    z_stream stream_{};
    bool ended_ = false;
};

void ZlibDecompressor::feed(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (ended_) {
            throw trailing_bytes();
        }
        const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1u << 30));
        stream_.next_in = input(part);
        stream_.avail_in = static_cast<uInt>(part.size());
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
            stream_.avail_out = kOutputBlock;
            const int result = inflate(&stream_, Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw bad_gzip(std::string("zlib says: ") +
                               (stream_.msg != nullptr ? stream_.msg : "invalid data") + ".");
            }
            if (stream_.avail_out < kOutputBlock) {
                sink_(std::span(output_).first(kOutputBlock - stream_.avail_out));
            }
            ended_ = result == Z_STREAM_END;
        } while (!ended_ && (stream_.avail_in > 0 || stream_.avail_out == 0));
        bytes = bytes.subspan(part.size() - stream_.avail_in);
    }
}

void ZlibDecompressor::finish() {
    if (!ended_) {
        throw cut_off();
    }
}

}  // namespace

std::unique_ptr<PieceCompressor> make_zlib_pieces(int level) {
    return std::make_unique<ZlibPieces>(level);
}

std::string zlib_name() {
    return std::string("zlib ") + zlibVersion();
}

std::uint32_t zlib_crc(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(::crc32_z(0, input(bytes), bytes.size()));
}

std::uint32_t zlib_crc_combine(std::uint32_t first, std::uint32_t second, std::size_t second_size) {
    return static_cast<std::uint32_t>(
        ::crc32_combine(first, second, static_cast<z_off_t>(second_size)));
}

std::unique_ptr<Decompressor> make_zlib_decompressor(ByteSink sink) {
    return std::make_unique<ZlibDecompressor>(std::move(sink));
}

#ifndef IMMBACKUP_HAVE_ISAL
std::unique_ptr<Decompressor> make_gzip_decompressor(ByteSink sink) {
    return make_zlib_decompressor(std::move(sink));
}
#endif

}  // namespace immbackup
