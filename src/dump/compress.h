// How dumps are compressed: gzip (RFC 1952), always one member without a file name or a time
// stamp, and zstd (RFC 8878), always one frame with a checksum. The same input gives the same
// bytes, however many threads there are.
//
// A dump is cut into pieces of kPieceSize. Pieces of gzip are compressed independently of each
// other, as pigz does: each begins with the 32 KiB before it as dictionary and ends on a byte
// boundary (sync flush), so that one after the other they are one deflate stream; their CRCs are
// combined. Levels 1 to 3 by ISA-L where the platform has it (three to ten times zlib's speed), 4
// to 9, and all others elsewhere, by zlib. Level 2 is ISA-L's level 3 for pieces of text, which it
// makes 6 % smaller at twice the time, and its level 1 for all else, where that would gain nothing
// (docs/performance.md). zstd takes pieces in order and has threads of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/settings.h"

namespace immbackup {

using ByteSink = std::function<void(std::span<const std::byte>)>;

inline constexpr std::size_t kPieceSize = std::size_t{512} * 1024;
inline constexpr std::size_t kDictionarySize = std::size_t{32} * 1024;

// Compressed bytes of one piece; grows where a piece needs it, and is used again.
class PieceBuffer {
  public:
    std::span<const std::byte> content() const { return std::span(space_).first(size_); }
    std::span<std::byte> room();  // never empty
    void add(std::size_t bytes) { size_ += bytes; }
    void clear() { size_ = 0; }

  private:
    std::vector<std::byte> space_;
    std::size_t size_ = 0;
};

class PieceCompressor {
  public:
    virtual ~PieceCompressor() = default;
    // `before` is what precedes the piece in the dump, kDictionarySize of it or all there is. The
    // last piece may be shorter than the others, or empty.
    virtual void compress(std::span<const std::byte> piece, std::span<const std::byte> before,
                          bool last, PieceBuffer& out) = 0;
};

// What goes around the pieces: nothing for zstd, a header and a trailer for gzip.
class Envelope {
  public:
    explicit Envelope(DumpFormat format) : format_(format) {}
    std::vector<std::byte> header() const;
    void add(std::uint32_t crc, std::size_t size);  // of a piece, in order
    std::vector<std::byte> trailer() const;

  private:
    DumpFormat format_;
    std::uint32_t crc_ = 0;
    std::uint64_t size_ = 0;
};

class Codec {
  public:
    // `threads` of zstd's own work for one compressor, as far as memory allows; gzip's never have
    // any. Error(internal) for a level that is none.
    Codec(const Compression& compression, int threads);
    // Without ISA-L, as on platforms that do not have it.
    static Codec zlib_only(int level);

    DumpFormat format() const { return format_; }
    std::string name() const;  // "isa-l 2.30.0", "zlib 1.2.13", "zstd 1.5.4"
    // May pieces be compressed at the same time, each by a compressor of its own? Otherwise one
    // compressor gets them all, in order.
    bool independent() const { return format_ == DumpFormat::gzip; }
    std::unique_ptr<PieceCompressor> make() const;
    // Of a piece, for the envelope.
    std::uint32_t crc(std::span<const std::byte> piece) const;

  private:
    enum class Engine { isal, zlib, zstd };
    Codec(DumpFormat format, Engine engine, int level, int threads);

    DumpFormat format_;
    Engine engine_;
    int level_;
    int threads_;
};

class Decompressor {
  public:
    virtual ~Decompressor() = default;
    // Error(corrupt) for anything that is not exactly one whole gzip member, one whole zstd frame.
    virtual void feed(std::span<const std::byte> bytes) = 0;
    virtual void finish() = 0;  // Error(corrupt) where it is not complete
};
std::unique_ptr<Decompressor> make_decompressor(DumpFormat format, ByteSink sink);
// `sink` gets blocks of at most 256 KiB and may throw.
std::unique_ptr<Decompressor> make_gzip_decompressor(ByteSink sink);
std::unique_ptr<Decompressor> make_zstd_decompressor(ByteSink sink);
// The zlib one, for tests and for platforms without ISA-L.
std::unique_ptr<Decompressor> make_zlib_decompressor(ByteSink sink);

}  // namespace immbackup
