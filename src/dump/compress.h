// gzip (RFC 1952): one member, no file name, no time stamp, so that the same input gives the same
// bytes. Levels 1 to 3 by ISA-L where the platform has it (three to ten times zlib's speed), 4 to
// 9, and all others elsewhere, by zlib.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace immbackup {

using ByteSink = std::function<void(std::span<const std::byte>)>;

class Compressor {
  public:
    virtual ~Compressor() = default;
    virtual void feed(std::span<const std::byte> bytes) = 0;
    virtual void finish() = 0;             // writes the trailer
    virtual std::string name() const = 0;  // "isa-l 2.30.0", "zlib 1.2.13"
};
// level 1 to 9. `sink` gets blocks of at most 256 KiB and may throw.
std::unique_ptr<Compressor> make_gzip_compressor(int level, ByteSink sink);
// The zlib one, for tests and for platforms without ISA-L.
std::unique_ptr<Compressor> make_zlib_compressor(int level, ByteSink sink);

class Decompressor {
  public:
    virtual ~Decompressor() = default;
    // Error(corrupt) for anything that is not exactly one whole gzip member.
    virtual void feed(std::span<const std::byte> bytes) = 0;
    virtual void finish() = 0;  // Error(corrupt) where the member is not complete
};
std::unique_ptr<Decompressor> make_gzip_decompressor(ByteSink sink);
// The zlib one, for tests and for platforms without ISA-L.
std::unique_ptr<Decompressor> make_zlib_decompressor(ByteSink sink);

}  // namespace immbackup
