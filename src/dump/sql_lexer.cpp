// The statements of a dump: feeding, words and symbols, where a statement begins and ends. What is
// quoted, commented or COPY data is passed over in sql_spans.cpp.

#include "dump/sql_lexer.h"

#include <algorithm>

#include "dump/sql_text.h"

namespace immbackup {

using namespace sql_text;

namespace {

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
