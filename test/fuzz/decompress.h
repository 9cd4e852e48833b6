// What the fuzz targets of gzip and zstd share.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "dump/compress.h"
#include "fuzz/fuzz.h"

namespace immbackup::fuzz {

struct TooMuch {};

// What a decompressor makes of `input` in steps; nothing where it says that the input is corrupt,
// or where it would be a bomb. Any other error is a broken promise.
inline std::optional<std::string> decompress(std::unique_ptr<Decompressor> (*make)(ByteSink),
                                             std::span<const std::byte> input, std::size_t step) {
    constexpr std::size_t kMaxContent = std::size_t{1} << 22;
    std::string out;
    try {
        const auto decompressor = make([&](std::span<const std::byte> bytes) {
            out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            if (out.size() > kMaxContent) {
                throw TooMuch{};
            }
        });
        for (std::size_t i = 0; i < input.size(); i += step) {
            decompressor->feed(input.subspan(i, std::min(step, input.size() - i)));
        }
        decompressor->finish();
    } catch (const Error& error) {
        require(error.code() == ErrorCode::corrupt);
        return std::nullopt;
    } catch (const TooMuch&) {
        return std::nullopt;
    }
    return out;
}

}  // namespace immbackup::fuzz
