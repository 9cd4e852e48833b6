// gzip both ways. Read as a gzip file, arbitrary input must give either an Error(corrupt) or the
// same content from ISA-L as from zlib; compressed at a level and in pieces that the first bytes
// choose, it must come back.
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
    const int level = data[0] % 9 + 1;
    const std::size_t step = data[1] + 1u;
    const std::span<const std::byte> input = std::as_bytes(std::span(data, size)).subspan(2);

    const auto by_zlib = decompress(make_zlib_decompressor, input, step);
    const auto by_default = decompress(make_gzip_decompressor, input, step);
    const auto at_once = decompress(make_gzip_decompressor, input, input.size() + 1);
    require(by_default == at_once);
    if (by_zlib && by_default) {
        require(*by_zlib == *by_default);
    }

    std::string gzip = test::compress(Codec({DumpFormat::gzip, level}, 1),
                                      {reinterpret_cast<const char*>(input.data()), input.size()},
                                      step, data[0] % 3 + 1);
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    require(decompress(make_gzip_decompressor, std::as_bytes(std::span(gzip)), step) == text);
    require(decompress(make_zlib_decompressor, std::as_bytes(std::span(gzip)), step) == text);
    // With one bit changed it is damaged, or the bit does not matter.
    if (!gzip.empty()) {
        const std::size_t at = (data[0] * 256u + data[1]) % (gzip.size() * 8);
        gzip[at / 8] = static_cast<char>(gzip[at / 8] ^ (1 << (at % 8)));
        const auto damaged =
            decompress(make_gzip_decompressor, std::as_bytes(std::span(gzip)), step);
        require(!damaged || *damaged == text);
    }
    return 0;
}
