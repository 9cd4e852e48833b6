// zstd both ways. Read as a frame, arbitrary input must give an Error(corrupt) or the same content
// however it is cut; compressed at a level and in pieces that the first bytes choose, it must come
// back.
#include <cstdint>
#include <string>

#include "fuzz/decompress.h"
#include "unit/compress_fixture.h"

using namespace immbackup;
using fuzz::decompress;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const int level = data[0] % 12 + 1;
    const std::size_t step = data[1] + 1u;
    const std::span<const std::byte> input = std::as_bytes(std::span(data, size)).subspan(2);
    require(decompress(make_zstd_decompressor, input, step) ==
            decompress(make_zstd_decompressor, input, input.size() + 1));

    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    std::string frame = test::compress(Codec({DumpFormat::zstd, level}, 1), text, step);
    require(decompress(make_zstd_decompressor, std::as_bytes(std::span(frame)), step) == text);
    // With one bit changed it is damaged, or the bit does not matter.
    const std::size_t at = (data[0] * 256u + data[1]) % (frame.size() * 8);
    frame[at / 8] = static_cast<char>(frame[at / 8] ^ (1 << (at % 8)));
    const auto damaged = decompress(make_zstd_decompressor, std::as_bytes(std::span(frame)), step);
    require(!damaged || *damaged == text);
    return 0;
}
