// zstd: one frame with a checksum, by libzstd and threads of its own.

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/error.h"
#include "dump/compressors.h"

namespace immbackup {

namespace {

// The memory of a job is bounded whatever the level. The window is, so that a reader's is, too (the
// reader below refuses larger ones). Each thread of libzstd's has tables and input of its own: at
// level 3 about 6 MiB, at level 9 about 15; beyond that the tables themselves are bounded, and
// there is but one thread, the caller's.
constexpr int kMaxWindowLog = 22;  // 4 MiB
constexpr int kMaxWindowLogRead = 23;
constexpr int kMaxHashLog = 21;  // of 4 bytes each
constexpr int kMaxChainLog = 22;
constexpr int kJobSize = 2 * 1024 * 1024;
constexpr int kFewThreadsFrom = 7;
constexpr int kNoThreadsFrom = 10;

int threads_at(int level, int threads) {
    if (level >= kNoThreadsFrom) {
        return 0;  // in the calling thread
    }
    return std::min(threads, level >= kFewThreadsFrom ? 1 : 2);
}

void set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
    const std::size_t result = ZSTD_CCtx_setParameter(context, parameter, value);
    if (ZSTD_isError(result) != 0) {
        throw Error(ErrorCode::internal,
                    std::string("could not set up zstd: ") + ZSTD_getErrorName(result));
    }
}

class ZstdPieces final : public PieceCompressor {
  public:
    ZstdPieces(int level, int threads) : context_(ZSTD_createCCtx(), ZSTD_freeCCtx) {
        if (!context_) {
            throw std::bad_alloc();
        }
        set(context_.get(), ZSTD_c_compressionLevel, level);
        set(context_.get(), ZSTD_c_checksumFlag, 1);
        if (level >= kFewThreadsFrom) {
            set(context_.get(), ZSTD_c_windowLog, kMaxWindowLog);
        }
        if (level >= kNoThreadsFrom) {
            set(context_.get(), ZSTD_c_hashLog, kMaxHashLog);
            set(context_.get(), ZSTD_c_chainLog, kMaxChainLog);
        }
        // A libzstd without threads has but one value here.
        const int workers = threads_at(level, threads);
        if (workers > 0 &&
            ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_nbWorkers, workers)) == 0) {
            set(context_.get(), ZSTD_c_jobSize, kJobSize);
        }
    }

    void compress(std::span<const std::byte> piece, std::span<const std::byte> /*before*/,
                  bool last, PieceBuffer& out) override {
        ZSTD_inBuffer in{piece.data(), piece.size(), 0};
        for (;;) {
            const std::span<std::byte> room = out.room();
            ZSTD_outBuffer to{room.data(), room.size(), 0};
            const std::size_t left =
                ZSTD_compressStream2(context_.get(), &to, &in, last ? ZSTD_e_end : ZSTD_e_continue);
            if (ZSTD_isError(left) != 0) {
                throw Error(ErrorCode::internal, std::string("could not compress with zstd: ") +
                                                     ZSTD_getErrorName(left));
            }
            out.add(to.pos);
            if (last ? left == 0 : in.pos == in.size) {
                return;
            }
        }
    }

  private:
    std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context_;
};

Error bad_zstd(std::string detail) {
    return {ErrorCode::corrupt, "could not decompress: not one whole zstd frame",
            std::move(detail)};
}

class ZstdDecompressor final : public Decompressor {
  public:
    explicit ZstdDecompressor(ByteSink sink)
        : sink_(std::move(sink)),
          output_(kOutputBlock),
          context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
        if (!context_) {
            throw std::bad_alloc();
        }
        ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowLogRead);
    }

    void feed(std::span<const std::byte> bytes) override;
    void finish() override {
        if (!ended_) {
            throw bad_zstd("The zstd frame is cut off.");
        }
    }

  private:
    void look_at_header(std::span<const std::byte>& bytes);
    void decompress(std::span<const std::byte>& bytes);

    ByteSink sink_;
    std::vector<std::byte> output_;
    std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
    std::vector<std::byte> header_;  // its first bytes
    bool ended_ = false;
};

// libzstd would pass over skippable frames, and takes frames without a checksum.
void ZstdDecompressor::look_at_header(std::span<const std::byte>& bytes) {
    constexpr std::size_t kLength = 5;  // magic and descriptor
    constexpr std::array<unsigned char, 4> kMagic{0x28, 0xb5, 0x2f, 0xfd};
    constexpr std::byte kHasChecksum{0x04};
    const std::size_t part = std::min(kLength - header_.size(), bytes.size());
    header_.insert(header_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(part));
    bytes = bytes.subspan(part);
    if (header_.size() < kLength) {
        return;
    }
    for (std::size_t i = 0; i < kMagic.size(); ++i) {
        if (header_[i] != static_cast<std::byte>(kMagic[i])) {
            throw bad_zstd("There is no valid zstd header.");
        }
    }
    if ((header_[kLength - 1] & kHasChecksum) == std::byte{0}) {
        throw bad_zstd("The zstd frame has no checksum.");
    }
    std::span<const std::byte> rest(header_);
    decompress(rest);
}

void ZstdDecompressor::feed(std::span<const std::byte> bytes) {
    if (header_.size() < 5) {
        look_at_header(bytes);
    }
    decompress(bytes);
}

void ZstdDecompressor::decompress(std::span<const std::byte>& bytes) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool more = false;  // there may be output without further input
    while (in.pos < in.size || more) {
        if (ended_) {
            throw bad_zstd("Bytes follow the end of the zstd frame.");
        }
        ZSTD_outBuffer out{output_.data(), output_.size(), 0};
        const std::size_t result = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(result) != 0) {
            throw bad_zstd(std::string("zstd says: ") + ZSTD_getErrorName(result) + ".");
        }
        if (out.pos > 0) {
            sink_(std::span(output_).first(out.pos));
        }
        ended_ = result == 0;
        more = !ended_ && out.pos == out.size;
    }
    bytes = {};
}

}  // namespace

std::unique_ptr<PieceCompressor> make_zstd_pieces(int level, int threads) {
    return std::make_unique<ZstdPieces>(level, threads);
}

std::string zstd_name() {
    return std::string("zstd ") + ZSTD_versionString();
}

std::unique_ptr<Decompressor> make_zstd_decompressor(ByteSink sink) {
    return std::make_unique<ZstdDecompressor>(std::move(sink));
}

}  // namespace immbackup
