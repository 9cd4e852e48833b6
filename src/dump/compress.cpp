#include "dump/compress.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/error.h"

#ifdef IMMBACKUP_HAVE_ISAL
#include <isa-l.h>
#endif

namespace immbackup {

namespace {

constexpr std::size_t kBlock = std::size_t{256} * 1024;

// zlib and ISA-L read through pointers to non-const.
unsigned char* input(std::span<const std::byte> bytes) {
    return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
}
unsigned char* output(std::vector<std::byte>& bytes) {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

// Cuts the input into blocks of always the same size before it is compressed: where ISA-L ends a
// deflate block depends on how it is fed, and the same input shall give the same bytes.
class BlockCompressor : public Compressor {
  public:
    explicit BlockCompressor(ByteSink sink) : sink_(std::move(sink)), output_(kBlock) {
        pending_.reserve(kBlock);
    }

    void feed(std::span<const std::byte> bytes) override {
        while (!bytes.empty()) {
            if (pending_.empty() && bytes.size() >= kBlock) {
                compress(bytes.first(kBlock), false);
                bytes = bytes.subspan(kBlock);
                continue;
            }
            const std::size_t part = std::min(bytes.size(), kBlock - pending_.size());
            pending_.insert(pending_.end(), bytes.begin(),
                            bytes.begin() + static_cast<std::ptrdiff_t>(part));
            bytes = bytes.subspan(part);
            if (pending_.size() == kBlock) {
                compress(pending_, false);
                pending_.clear();
            }
        }
    }
    void finish() override { compress(pending_, true); }

  protected:
    virtual void compress(std::span<const std::byte> block, bool last) = 0;
    void write(std::size_t size) { sink_(std::span(output_).first(size)); }

    ByteSink sink_;
    std::vector<std::byte> pending_;
    std::vector<std::byte> output_;
};

class ZlibCompressor final : public BlockCompressor {
  public:
    ZlibCompressor(int level, ByteSink sink) : BlockCompressor(std::move(sink)) {
        // Window bits plus 16 ask for a gzip wrapper; its header then names no file and no time.
        if (deflateInit2(&stream_, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) !=
            Z_OK) {
            throw Error(ErrorCode::internal, "could not set up zlib");
        }
        start_output();
    }
    ~ZlibCompressor() override { deflateEnd(&stream_); }
    ZlibCompressor(const ZlibCompressor&) = delete;
    ZlibCompressor& operator=(const ZlibCompressor&) = delete;

    std::string name() const override { return std::string("zlib ") + zlibVersion(); }

  private:
    void start_output() {
        stream_.next_out = output(output_);
        stream_.avail_out = kBlock;
    }
    void compress(std::span<const std::byte> block, bool last) override {
        stream_.next_in = input(block);
        stream_.avail_in = static_cast<uInt>(block.size());
        for (;;) {
            const int result = deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw Error(ErrorCode::internal, "could not compress with zlib");
            }
            if (stream_.avail_out == 0 || result == Z_STREAM_END) {
                write(kBlock - stream_.avail_out);
                start_output();
            } else if (stream_.avail_in == 0 && !last) {
                return;
            }
            if (result == Z_STREAM_END) {
                return;
            }
        }
    }

    z_stream stream_{};
};

class ZlibDecompressor final : public Decompressor {
  public:
    explicit ZlibDecompressor(ByteSink sink) : sink_(std::move(sink)), output_(kBlock) {
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

Error corrupt(std::string detail) {
    return {ErrorCode::corrupt, "could not decompress: not one whole gzip member",
            std::move(detail)};
}
Error trailing_bytes() {
    return corrupt("Bytes follow the end of the gzip member.");
}
Error cut_off() {
    return corrupt("The gzip member is cut off.");
}

void ZlibDecompressor::feed(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (ended_) {
            throw trailing_bytes();
        }
        const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1u << 30));
        stream_.next_in = input(part);
        stream_.avail_in = static_cast<uInt>(part.size());
        do {
            stream_.next_out = output(output_);
            stream_.avail_out = kBlock;
            const int result = inflate(&stream_, Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw corrupt(std::string("zlib says: ") +
                              (stream_.msg != nullptr ? stream_.msg : "invalid data") + ".");
            }
            if (stream_.avail_out < kBlock) {
                sink_(std::span(output_).first(kBlock - stream_.avail_out));
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

#ifdef IMMBACKUP_HAVE_ISAL

constexpr int kIsalMaxLevel = 3;
constexpr std::array<std::uint32_t, 4> kLevelBuffer = {
    0, ISAL_DEF_LVL1_EXTRA_LARGE, ISAL_DEF_LVL2_EXTRA_LARGE, ISAL_DEF_LVL3_EXTRA_LARGE};

class IsalCompressor final : public BlockCompressor {
  public:
    IsalCompressor(int level, ByteSink sink)
        : BlockCompressor(std::move(sink)),
          level_buffer_(kLevelBuffer[static_cast<std::size_t>(level)]),
          stream_(std::make_unique<isal_zstream>()) {
        isal_deflate_init(stream_.get());
        stream_->level = static_cast<std::uint32_t>(level);
        stream_->level_buf = output(level_buffer_);
        stream_->level_buf_size = static_cast<std::uint32_t>(level_buffer_.size());
        stream_->gzip_flag = IGZIP_GZIP;
        stream_->flush = NO_FLUSH;
        start_output();
    }

    std::string name() const override {
        return "isa-l " + std::to_string(ISAL_MAJOR_VERSION) + '.' +
               std::to_string(ISAL_MINOR_VERSION) + '.' + std::to_string(ISAL_PATCH_VERSION);
    }

  private:
    void start_output() {
        stream_->next_out = output(output_);
        stream_->avail_out = kBlock;
    }
    void compress(std::span<const std::byte> block, bool last) override {
        stream_->next_in = input(block);
        stream_->avail_in = static_cast<std::uint32_t>(block.size());
        stream_->end_of_stream = last ? 1 : 0;
        for (;;) {
            if (isal_deflate(stream_.get()) != COMP_OK) {
                throw Error(ErrorCode::internal, "could not compress with ISA-L");
            }
            const bool ended = stream_->internal_state.state == ZSTATE_END;
            if (stream_->avail_out == 0 || ended) {
                write(kBlock - stream_->avail_out);
                start_output();
            } else if (stream_->avail_in == 0 && !last) {
                return;
            }
            if (ended) {
                return;
            }
        }
    }

    std::vector<std::byte> level_buffer_;
    std::unique_ptr<isal_zstream> stream_;
};

class IsalDecompressor final : public Decompressor {
  public:
    explicit IsalDecompressor(ByteSink sink)
        : sink_(std::move(sink)), output_(kBlock), state_(std::make_unique<inflate_state>()) {
        isal_inflate_init(state_.get());
        // isal_inflate() itself would forget, between two calls, what it has read of a header
        // (ISA-L 2.30): so the header is read by its own function, and only the trailer checked by
        // it.
        state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    }

    void feed(std::span<const std::byte> bytes) override {
        while (!bytes.empty()) {
            if (ended_) {
                throw trailing_bytes();
            }
            const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1u << 30));
            state_->next_in = input(part);
            state_->avail_in = static_cast<std::uint32_t>(part.size());
            do {
                state_->next_out = output(output_);
                state_->avail_out = kBlock;
                const int result = header_read_ ? isal_inflate(state_.get()) : read_header();
                if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT) {
                    throw corrupt(reason(result));
                }
                if (state_->avail_out < kBlock) {
                    sink_(std::span(output_).first(kBlock - state_->avail_out));
                }
                ended_ = state_->block_state == ISAL_BLOCK_FINISH;
            } while (!ended_ && (state_->avail_in > 0 || state_->avail_out == 0));
            // Whole bytes that ISA-L took into its bit buffer beyond the trailer.
            if (ended_ && state_->read_in_length >= 8) {
                throw trailing_bytes();
            }
            bytes = bytes.subspan(part.size() - state_->avail_in);
        }
    }
    void finish() override {
        if (!ended_) {
            throw cut_off();
        }
    }

  private:
    int read_header() {
        const int result = isal_read_gzip_header(state_.get(), &header_);
        header_read_ = result == ISAL_DECOMP_OK;
        return result;
    }
    static std::string reason(int result) {
        switch (result) {
            case ISAL_INCORRECT_CHECKSUM:
                return "The checksum or the length in the gzip trailer does not match the content.";
            case ISAL_INVALID_WRAPPER:
            case ISAL_UNSUPPORTED_METHOD:
                return "There is no valid gzip header.";
            default:
                return "The compressed data are damaged (ISA-L result " + std::to_string(result) +
                       ").";
        }
    }

    ByteSink sink_;
    std::vector<std::byte> output_;
    std::unique_ptr<inflate_state> state_;
    isal_gzip_header header_{};
    bool header_read_ = false;
    bool ended_ = false;
};

#endif

void check_level(int level) {
    if (level < 1 || level > 9) {
        throw Error(ErrorCode::internal, "gzip level out of range: " + std::to_string(level));
    }
}

}  // namespace

std::unique_ptr<Compressor> make_gzip_compressor(int level, ByteSink sink) {
    check_level(level);
#ifdef IMMBACKUP_HAVE_ISAL
    if (level <= kIsalMaxLevel) {
        return std::make_unique<IsalCompressor>(level, std::move(sink));
    }
#endif
    return std::make_unique<ZlibCompressor>(level, std::move(sink));
}

std::unique_ptr<Compressor> make_zlib_compressor(int level, ByteSink sink) {
    check_level(level);
    return std::make_unique<ZlibCompressor>(level, std::move(sink));
}

std::unique_ptr<Decompressor> make_gzip_decompressor(ByteSink sink) {
#ifdef IMMBACKUP_HAVE_ISAL
    return std::make_unique<IsalDecompressor>(std::move(sink));
#else
    return std::make_unique<ZlibDecompressor>(std::move(sink));
#endif
}

std::unique_ptr<Decompressor> make_zlib_decompressor(ByteSink sink) {
    return std::make_unique<ZlibDecompressor>(std::move(sink));
}

}  // namespace immbackup
