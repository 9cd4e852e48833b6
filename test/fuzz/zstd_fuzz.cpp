// zstd both ways. Read as a frame, arbitrary input must give an Error(corrupt) or the same content
// however it is cut; compressed at a level and in pieces that the first bytes choose, it must come
// back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "core/error.h"
#include "dump/compress.h"
#include "unit/compress_fixture.h"

namespace {

using namespace immbackup;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kMaxContent = std::size_t{1} << 22;  // a bomb is cut off here

struct TooMuch {};

std::optional<std::string> decompress(Bytes frame, std::size_t step) {
    std::string out;
    try {
        const auto decompressor = make_zstd_decompressor([&](Bytes bytes) {
            out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            if (out.size() > kMaxContent) {
                throw TooMuch{};
            }
        });
        for (std::size_t i = 0; i < frame.size(); i += step) {
            decompressor->feed(frame.subspan(i, std::min(step, frame.size() - i)));
        }
        decompressor->finish();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::corrupt) {
            std::abort();
        }
        return std::nullopt;
    } catch (const TooMuch&) {
        return std::nullopt;
    }
    return out;
}

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const int level = data[0] % 12 + 1;
    const std::size_t step = data[1] + 1u;
    const Bytes input = std::as_bytes(std::span(data, size)).subspan(2);
    require(decompress(input, step) == decompress(input, input.size() + 1));

    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    std::string frame = test::compress(Codec({DumpFormat::zstd, level}, 1), text, step);
    require(decompress(std::as_bytes(std::span(frame)), step) == text);
    // With one bit changed it is damaged, or the bit does not matter.
    const std::size_t at = (data[0] * 256u + data[1]) % (frame.size() * 8);
    frame[at / 8] = static_cast<char>(frame[at / 8] ^ (1 << (at % 8)));
    const auto damaged = decompress(std::as_bytes(std::span(frame)), step);
    require(!damaged || *damaged == text);
    return 0;
}
