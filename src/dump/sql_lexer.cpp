#include "dump/sql_lexer.h"

#include <algorithm>
#include <cstring>

namespace immbackup {

namespace {

enum Class : unsigned char { other, space, letter, digit };

constexpr std::array<Class, 256> make_classes() {
    std::array<Class, 256> classes{};
    for (const char c : {' ', '\t', '\n', '\r', '\f', '\v'}) {
        classes[static_cast<unsigned char>(c)] = space;
    }
    for (unsigned c = 'a'; c <= 'z'; ++c) {
        classes[c] = letter;
        classes[c - 'a' + 'A'] = letter;
    }
    for (unsigned c = 0x80; c < 256; ++c) {
        classes[c] = letter;
    }
    classes['_'] = letter;
    for (unsigned c = '0'; c <= '9'; ++c) {
        classes[c] = digit;
    }
    return classes;
}
constexpr auto kClass = make_classes();

Class class_of(char c) {
    return kClass[static_cast<unsigned char>(c)];
}
bool goes_on_word(char c) {
    return class_of(c) >= letter || c == '$';
}
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

const char* find(const char* p, const char* end, char c) {
    const void* found = std::memchr(p, c, static_cast<std::size_t>(end - p));
    return found != nullptr ? static_cast<const char*>(found) : end;
}
std::string_view view(const char* from, const char* to) {
    return {from, static_cast<std::size_t>(to - from)};
}

std::string lower_words(std::string_view text, std::size_t limit) {
    std::string words;
    for (const char c : text.substr(0, limit)) {
        if (class_of(c) != space) {
            words += lower(c);
        } else if (!words.empty() && words.back() != ' ') {
            words += ' ';
        }
    }
    return words;
}

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

DumpPart SqlLexer::part() const {
    if (in_statement_) {
        return DumpPart::statement;
    }
    return in_data() ? DumpPart::data : DumpPart::between;
}

void SqlLexer::emit(DumpPart part, std::string_view bytes) {
    if (bytes.empty()) {
        return;
    }
    if (part == DumpPart::statement) {
        length_ += bytes.size();
        head_.append(bytes.substr(0, kMaxStatementHead - head_.size()));
    }
    events_.text(part, bytes);
}

void SqlLexer::flush(const char* upto) {
    emit(part(), view(run_, upto));
    run_ = upto;
}

void SqlLexer::feed(std::string_view chunk) {
    if (chunk.empty()) {
        return;
    }
    const char* p = chunk.data();
    const char* const end = p + chunk.size();
    run_ = p;
    while (p < end) {
        p = step(p, end);
    }
    const bool undecided = !in_statement_ && (mode_ == Mode::dash || mode_ == Mode::slash);
    if (undecided && held_ == 0) {
        held_ = end[-1];
        flush(end - 1);
    } else {
        flush(end);
    }
}

void SqlLexer::finish() {
    if (held_ != 0) {
        emit(DumpPart::between, {&held_, 1});
        held_ = 0;
    }
}

const char* SqlLexer::step(const char* p, const char* end) {
    switch (mode_) {
        case Mode::text:
            return in_text(p, end);
        case Mode::word:
            return in_word(p, end);
        case Mode::string:
            return in_string(p, end);
        case Mode::string_end:
            if (*p == '\'') {
                literal_length_ += literals_ == 0 ? 2 : 0;
                mode_ = Mode::string;
                return p + 1;
            }
            ++literals_;
            mode_ = Mode::text;
            return p;
        case Mode::backslash:
        case Mode::second_byte:
            literal_length_ += literals_ == 0 ? 1 : 0;
            mode_ = Mode::string;
            return p + 1;
        case Mode::name: {
            const char* quote = find(p, end, '"');
            if (quote == end) {
                return end;
            }
            mode_ = Mode::text;
            return quote + 1;
        }
        case Mode::tag:
            return in_tag(p, end);
        case Mode::dollar:
            return in_dollar(p, end);
        case Mode::dash:
        case Mode::slash: {
            const bool dash = mode_ == Mode::dash;
            if (*p == (dash ? '-' : '*')) {
                if (held_ != 0) {
                    emit(DumpPart::between, {&held_, 1});
                    held_ = 0;
                }
                line_ = "--";
                block_depth_ = 1;
                block_last_ = 0;
                mode_ = dash ? Mode::comment : Mode::block;
                return p + 1;
            }
            if (!in_statement_) {
                begin_statement(held_ != 0 ? p : p - 1);
            }
            note_symbol();
            mode_ = Mode::text;
            return p;
        }
        case Mode::comment:
            return in_comment(p, end);
        case Mode::block:
            return in_block(p, end);
        case Mode::command:
            return in_command(p, end);
        case Mode::copy_line: {
            const char* newline = find(p, end, '\n');
            if (newline == end) {
                return end;
            }
            mode_ = Mode::data;
            line_state_ = Line::start;
            return newline + 1;
        }
        case Mode::data:
            return in_data_block(p, end);
        case Mode::lost:
            return end;
    }
    return end;
}

const char* SqlLexer::in_text(const char* p, const char* end) {
    while (p < end) {
        const char c = *p;
        switch (class_of(c)) {
            case space:
                ++p;
                continue;
            case letter:
            case digit:
                if (!in_statement_) {
                    begin_statement(p);
                }
                word_length_ = 0;
                number_ = class_of(c) == digit;
                mode_ = Mode::word;
                return p;
            case other:
                break;
        }
        ++p;
        if (c == '-' || c == '/') {
            mode_ = c == '-' ? Mode::dash : Mode::slash;
            return p;
        }
        if (!in_statement_) {
            if (c == '\\') {
                line_ = "\\";
                mode_ = Mode::command;
                return p;
            }
            begin_statement(p - 1);
        }
        symbol(c, p);
        if (mode_ != Mode::text) {
            return p;
        }
    }
    return p;
}

void SqlLexer::symbol(char c, const char* after) {
    switch (c) {
        case '\'':
            open_string(!standard_strings_);
            break;
        case '"':
            mode_ = Mode::name;
            break;
        case '$':
            tag_.clear();
            mode_ = Mode::tag;
            break;
        case '(':
            if (parens_++ == 0 && values_) {
                ++tuples_;
            }
            break;
        case ')':
            parens_ -= parens_ > 0 ? 1 : 0;
            break;
        case ';':
            if (parens_ == 0 && begins_ == 0) {
                end_statement(after);
                return;
            }
            break;
        default:
            break;
    }
    note_symbol();
}

void SqlLexer::note_symbol() {
    last_word_.clear();
    if (word_count_ == 0) {
        word_count_ = 1;  // a statement that does not begin with a word has no first word
    }
}

void SqlLexer::open_string(bool escapes) {
    escapes_ = escapes;
    mode_ = Mode::string;
}

const char* SqlLexer::in_word(const char* p, const char* end) {
    while (p < end && goes_on_word(*p)) {
        if (word_length_ < word_.size()) {
            word_[word_length_] = lower(*p);
        }
        ++word_length_;
        ++p;
    }
    if (p == end) {
        return p;
    }
    mode_ = Mode::text;
    if (*p == '\'' && word_length_ == 1 && word_[0] == 'e' && !number_) {
        last_word_.clear();
        open_string(true);
        return p + 1;
    }
    end_word();
    return p;
}

void SqlLexer::end_word() {
    if (number_ || word_length_ > word_.size()) {
        last_word_.clear();
        ++word_count_;
        return;
    }
    const std::string_view word(word_.data(), word_length_);
    if (word_count_ == 0) {
        first_word_ = word;
    }
    track_function_body(word);
    ++word_count_;
    if (parens_ == 0) {
        if (first_word_ == "insert") {
            if (word == "values") {
                values_ = last_word_ != "default";
                tuples_ += values_ ? 0 : 1;
            } else if (word == "on") {
                values_ = false;
            }
        } else if (first_word_ == "copy" && word == "stdin" && last_word_ == "from") {
            copy_in_ = true;
        }
    }
    last_word_ = word;
}

// Semicolons inside of BEGIN ATOMIC … END do not end CREATE FUNCTION; this is psql's own rule.
void SqlLexer::track_function_body(std::string_view word) {
    if (word_count_ < function_words_.size() &&
        (word == "create" || word == "or" || word == "replace" || word == "function" ||
         word == "procedure")) {
        function_words_[word_count_] = word[0];
    }
    const auto routine = [](char initial) { return initial == 'f' || initial == 'p'; };
    if (parens_ != 0 || function_words_[0] != 'c' ||
        !(routine(function_words_[1]) || (function_words_[1] == 'o' && function_words_[2] == 'r' &&
                                          routine(function_words_[3])))) {
        return;
    }
    if (word == "begin" || (word == "case" && begins_ > 0)) {
        ++begins_;
    } else if (word == "end" && begins_ > 0) {
        --begins_;
    }
}

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

void SqlLexer::begin_statement(const char* at) {
    flush(at);
    in_statement_ = true;
    head_.clear();
    length_ = 0;
    parens_ = 0;
    begins_ = 0;
    word_count_ = 0;
    function_words_ = {};
    first_word_.clear();
    last_word_.clear();
    copy_in_ = false;
    values_ = false;
    tuples_ = 0;
    literals_ = 0;
    literal_length_ = 0;
    events_.statement_begins();
    if (held_ != 0) {
        emit(DumpPart::statement, {&held_, 1});
        held_ = 0;
    }
}

void SqlLexer::end_statement(const char* after) {
    flush(after);
    in_statement_ = false;
    if (first_word_ == "set") {
        apply_setting();
    }
    if (copy_in_) {
        mode_ = Mode::copy_line;
        data_rows_ = 0;
        data_bytes_ = 0;
    }
    events_.statement({head_, first_word_, length_, copy_in_, tuples_, literal_length_});
}

// The two settings of a dump that change how its strings read.
void SqlLexer::apply_setting() {
    const std::string words = lower_words(head_, 80);
    if (words.starts_with("set standard_conforming_strings = ")) {
        standard_strings_ = words.find("= off") == std::string::npos;
    } else if (words.starts_with("set client_encoding = '")) {
        const std::string encoding = words.substr(23, words.find('\'', 23) - 23);
        shift_jis_ = encoding == "sjis" || encoding == "shift_jis_2004";
        double_byte_ = shift_jis_ || encoding == "big5" || encoding == "gbk" || encoding == "uhc" ||
                       encoding == "johab" || encoding == "gb18030";
    }
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

std::string_view table_name(std::string_view head, std::string_view before) {
    std::size_t i = 0;
    const auto skip_space = [&] {
        while (i < head.size() && class_of(head[i]) == space) {
            ++i;
        }
    };
    for (const char c : before) {
        if (c == ' ') {
            skip_space();
        } else if (i == head.size() || lower(head[i++]) != lower(c)) {
            return {};
        }
    }
    skip_space();
    const std::size_t from = i;
    while (i < head.size()) {
        if (head[i] == '"') {
            i = std::min(head.find('"', i + 1), head.size() - 1) + 1;
        } else if (goes_on_word(head[i]) || head[i] == '.') {
            ++i;
        } else {
            break;
        }
    }
    return head.substr(from, i - from);
}

}  // namespace immbackup
