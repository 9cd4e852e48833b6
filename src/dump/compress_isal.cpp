// gzip by ISA-L.

#include "dump/compressors.h"

#ifdef IMMBACKUP_HAVE_ISAL

#include <isa-l.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "dump/gzip_errors.h"

namespace immbackup {

namespace {

constexpr int kFast = 1;
constexpr int kHard = 3;
static_assert(kHard == kIsalMaxLevel);

unsigned char* output(std::span<std::byte> bytes) {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

// One of ISA-L's own levels, kFast or kHard.
class IsalStream {
  public:
    explicit IsalStream(int level)
        : level_buffer_(level == kFast ? ISAL_DEF_LVL1_EXTRA_LARGE : ISAL_DEF_LVL3_EXTRA_LARGE),
          stream_(std::make_unique<isal_zstream>()) {
        isal_deflate_init(stream_.get());
        stream_->level = static_cast<std::uint32_t>(level);
        stream_->level_buf = output(level_buffer_);
        stream_->level_buf_size = static_cast<std::uint32_t>(level_buffer_.size());
        stream_->gzip_flag = IGZIP_DEFLATE;
    }

    void compress(std::span<const std::byte> piece, std::span<const std::byte> before, bool last,
                  PieceBuffer& out) {
        isal_deflate_reset(stream_.get());
        if (!before.empty() &&
            isal_deflate_set_dict(stream_.get(), input(before),
                                  static_cast<std::uint32_t>(before.size())) != COMP_OK) {
            throw Error(ErrorCode::internal, "could not set up ISA-L");
        }
        stream_->flush = last ? NO_FLUSH : SYNC_FLUSH;
        stream_->end_of_stream = last ? 1 : 0;
        stream_->next_in = input(piece);
        stream_->avail_in = static_cast<std::uint32_t>(piece.size());
        do {
            const std::span<std::byte> room = out.room();
            stream_->next_out = output(room);
            stream_->avail_out = static_cast<std::uint32_t>(room.size());
            if (isal_deflate(stream_.get()) != COMP_OK) {
                throw Error(ErrorCode::internal, "could not compress with ISA-L");
            }
            out.add(room.size() - stream_->avail_out);
        } while (stream_->avail_out == 0 || (last && stream_->internal_state.state != ZSTATE_END));
    }

  private:
    std::vector<std::byte> level_buffer_;
    std::unique_ptr<isal_zstream> stream_;
};

// Prose and program text, by a sample: mostly letters (of whatever script, in UTF-8), few digits.
// Numbers, identifiers, JSON of short values, hexadecimal and base64 are not.
bool is_text(std::span<const std::byte> piece) {
    constexpr std::size_t kStep = 61;  // a prime, so that rows of one length are sampled all over
    std::size_t letters = 0;
    std::size_t digits = 0;
    for (std::size_t at = 0; at < piece.size(); at += kStep) {
        const auto byte = std::to_integer<unsigned>(piece[at]);
        const unsigned lower = byte | 0x20U;
        letters += (lower >= 'a' && lower <= 'z') || byte >= 0x80U ? 1 : 0;
        digits += byte >= '0' && byte <= '9' ? 1 : 0;
    }
    const std::size_t sampled = piece.size() / kStep + 1;
    return letters * 100 >= sampled * 45 && digits * 8 <= sampled;
}

class IsalPieces final : public PieceCompressor {
  public:
    explicit IsalPieces(int level) : level_(level) {}

    void compress(std::span<const std::byte> piece, std::span<const std::byte> before, bool last,
                  PieceBuffer& out) override {
        const bool hard = level_ == kHard || (level_ == kByContent && is_text(piece));
        auto& stream = hard ? hard_ : fast_;
        if (!stream) {
            stream.emplace(hard ? kHard : kFast);
        }
        stream->compress(piece, before, last, out);
    }

  private:
    static constexpr int kByContent = 2;
    int level_;
    std::optional<IsalStream> fast_;
    std::optional<IsalStream> hard_;
};

class IsalDecompressor final : public Decompressor {
  public:
    explicit IsalDecompressor(ByteSink sink)
        : sink_(std::move(sink)), output_(kOutputBlock), state_(std::make_unique<inflate_state>()) {
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
                state_->avail_out = kOutputBlock;
                const int result = header_read_ ? isal_inflate(state_.get()) : read_header();
                if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT) {
                    throw bad_gzip(reason(result));
                }
                if (state_->avail_out < kOutputBlock) {
                    sink_(std::span(output_).first(kOutputBlock - state_->avail_out));
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

}  // namespace

std::unique_ptr<PieceCompressor> make_isal_pieces(int level) {
    return std::make_unique<IsalPieces>(level);
}

std::string isal_name() {
    return "isa-l " + std::to_string(ISAL_MAJOR_VERSION) + '.' +
           std::to_string(ISAL_MINOR_VERSION) + '.' + std::to_string(ISAL_PATCH_VERSION);
}

std::uint32_t isal_crc(std::span<const std::byte> bytes) {
    return crc32_gzip_refl(0, input(bytes), bytes.size());
}

std::unique_ptr<Decompressor> make_gzip_decompressor(ByteSink sink) {
    return std::make_unique<IsalDecompressor>(std::move(sink));
}

}  // namespace immbackup

#endif
