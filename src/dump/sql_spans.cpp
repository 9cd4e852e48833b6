// The parts of SqlLexer that pass over a whole span of the dump, in which nothing is a statement's
// text: quoted strings, comments, psql commands and COPY data. Each goes on where a cut left it.

#include <algorithm>
#include <cstring>

#include "dump/sql_lexer.h"
#include "dump/sql_text.h"

namespace immbackup {

using namespace sql_text;

namespace {

// 16 bytes at a time by the compiler's vectors; every platform has them, some as plain code.
using Block = unsigned char __attribute__((vector_size(16)));
using Mask = signed char __attribute__((vector_size(16)));
constexpr std::size_t kBlock = sizeof(Block);

Block load(const char* p) {
    Block block;
    std::memcpy(&block, p, kBlock);
    return block;
}
Block splat(char c) {
    Block block;
    std::memset(&block, c, kBlock);
    return block;
}
bool any(Mask mask) {
    std::array<std::uint64_t, 2> halves;
    std::memcpy(halves.data(), &mask, kBlock);
    return (halves[0] | halves[1]) != 0;
}

}  // namespace

const char* SqlLexer::in_string(const char* p, const char* end) {
    const char* q = p;
    if (!escapes_) {
        q = find(p, end, '\'');
    } else {
        while (q < end && *q != '\'' && *q != '\\' && !(double_byte_ && (*q & 0x80) != 0)) {
            ++q;
        }
    }
    if (literals_ == 0) {
        literal_length_ += static_cast<std::uint64_t>(q - p);
    }
    if (q == end) {
        return q;
    }
    if (*q == '\'') {
        mode_ = Mode::string_end;
        return q + 1;
    }
    const auto byte = static_cast<unsigned char>(*q);
    const bool single = shift_jis_ && byte >= 0xa0 && byte <= 0xdf;  // half-width katakana
    if (*q == '\\') {
        mode_ = Mode::backslash;
    } else if (!single && byte != 0x80) {
        mode_ = Mode::second_byte;
    }
    literal_length_ += literals_ == 0 ? 1 : 0;
    return q + 1;
}

const char* SqlLexer::in_tag(const char* p, const char* end) {
    while (p < end) {
        const Class kind = class_of(*p);
        if (*p == '$') {
            matched_ = 0;
            mode_ = Mode::dollar;
            return p + 1;
        }
        if (kind == letter || (kind == digit && !tag_.empty())) {
            if (tag_.size() == kMaxTag) {
                mode_ = Mode::lost;
                return end;
            }
            tag_ += *p++;
            continue;
        }
        // A lone $, or a parameter as $1: what looked like a tag was an ordinary word.
        mode_ = Mode::text;
        if (!tag_.empty()) {
            number_ = false;
            word_length_ = tag_.size();
            for (std::size_t i = 0; i < std::min(word_.size(), tag_.size()); ++i) {
                word_[i] = lower(tag_[i]);
            }
            mode_ = Mode::word;
        }
        return p;
    }
    return p;
}

// Looks for "$tag$". The tag holds no $, so that a mismatch can only begin anew at a $.
const char* SqlLexer::in_dollar(const char* p, const char* end) {
    while (p < end) {
        if (matched_ == 0) {
            p = find(p, end, '$');
            if (p == end) {
                return p;
            }
            ++p;
            matched_ = 1;
            continue;
        }
        const char c = *p++;
        const char expected = matched_ <= tag_.size() ? tag_[matched_ - 1] : '$';
        if (c != expected) {
            matched_ = c == '$' ? 1 : 0;
        } else if (matched_ == tag_.size() + 1) {
            mode_ = Mode::text;
            return p;
        } else {
            ++matched_;
        }
    }
    return p;
}

const char* SqlLexer::in_comment(const char* p, const char* end) {
    const char* q = p;
    while (q < end && *q != '\n' && *q != '\r') {
        ++q;
    }
    if (!in_statement_ && line_.size() < kMaxLineHead) {
        line_.append(view(p, q).substr(0, kMaxLineHead - line_.size()));
    }
    if (q == end) {
        return q;
    }
    mode_ = Mode::text;
    if (!in_statement_) {
        events_.comment(line_);
    }
    return q + 1;
}

const char* SqlLexer::in_block(const char* p, const char* end) {
    while (p < end) {
        const char c = *p++;
        if (block_last_ == '/' && c == '*') {
            ++block_depth_;
            block_last_ = 0;
        } else if (block_last_ == '*' && c == '/') {
            block_last_ = 0;
            if (--block_depth_ == 0) {
                mode_ = Mode::text;
                return p;
            }
        } else {
            block_last_ = c;
        }
    }
    return p;
}

const char* SqlLexer::in_command(const char* p, const char* end) {
    const char* newline = find(p, end, '\n');
    if (line_.size() < kMaxLineHead) {
        line_.append(view(p, newline).substr(0, kMaxLineHead - line_.size()));
    }
    if (newline == end) {
        return end;
    }
    mode_ = Mode::text;
    events_.command(line_);
    return newline + 1;
}

// pg_dump writes a row's text "\." as "\\.", so that a line that begins with "\." is the end, or,
// to psql, an odd line of data.
const char* SqlLexer::in_data_block(const char* p, const char* end) {
    const char* const from = p;
    while (p < end) {
        if (line_state_ == Line::middle) {
            p = skip_data(p, end);
            if (p == end) {
                break;
            }
        }
        const char c = *p++;
        if (c == '\n') {
            if (line_state_ == Line::dot) {
                flush(p);
                data_bytes_ += static_cast<std::uint64_t>(p - from);
                data_bytes_ -= 3;  // the end mark itself
                mode_ = Mode::text;
                events_.copy_ends(data_rows_, data_bytes_);
                return p;
            }
            ++data_rows_;
            line_state_ = Line::start;
        } else if (line_state_ == Line::start && c == '\\') {
            line_state_ = Line::backslash;
        } else if (line_state_ == Line::backslash && c == '.') {
            line_state_ = Line::dot;
        } else {
            line_state_ = Line::middle;
        }
    }
    data_bytes_ += static_cast<std::uint64_t>(p - from);
    return p;
}

// The fast path: counts newlines in whole blocks in which no "\n\." begins, and stops before the
// first block in which one does, or where less than a block and two bytes are left.
const char* SqlLexer::skip_data(const char* p, const char* end) {
    const Block newline = splat('\n');
    const Block backslash = splat('\\');
    const Block dot = splat('.');
    const char* const from = p;
    bool found = false;
    while (!found && static_cast<std::size_t>(end - p) >= kBlock + 2) {
        // Each lane counts down by one for each newline: 255 blocks at most before it wraps.
        Block counts{};
        const std::size_t blocks =
            std::min<std::size_t>((static_cast<std::size_t>(end - p) - 2) / kBlock, 255);
        for (std::size_t i = 0; i < blocks; ++i, p += kBlock) {
            const Mask hits = load(p) == newline;
            if (any(hits & (load(p + 1) == backslash) & (load(p + 2) == dot))) {
                found = true;
                break;
            }
            counts -= reinterpret_cast<Block>(hits);
        }
        for (std::size_t lane = 0; lane < kBlock; ++lane) {
            data_rows_ += counts[lane];
        }
    }
    if (p != from) {
        if (p[-1] == '\n') {
            line_state_ = Line::start;
        } else if (p[-1] == '\\' && p[-2] == '\n') {
            line_state_ = Line::backslash;
        }
    }
    return p;
}

}  // namespace immbackup
