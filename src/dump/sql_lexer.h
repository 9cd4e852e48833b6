// The lexer under DumpScanner and StatementFilter: cuts a plain SQL dump into statements, the text
// between them, and COPY data, as psql's own lexer would (psqlscan.l), without parsing SQL.
//
// It is fed in chunks of any size and behaves the same for every cut. Nothing of the input is kept
// but the first kMaxStatementHead bytes of the current statement, the current dollar quote's tag
// and the beginning of a comment or command line.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dump/scan.h"

namespace immbackup {

// What a byte of the dump belongs to.
enum class DumpPart {
    between,    // white space, comments and psql commands outside of any statement
    statement,  // with its semicolon
    data,       // what follows the semicolon of COPY … FROM stdin, up to and with the "\." line
};

struct SqlStatement {
    std::string_view head;             // its first kMaxStatementHead bytes
    std::string_view first_word;       // in lower case; empty where it is not a plain word
    std::uint64_t length = 0;          // in bytes, with the semicolon
    bool copy_in = false;              // COPY … FROM stdin: data follow
    std::uint64_t tuples = 0;          // INSERT: rows
    std::uint64_t literal_length = 0;  // bytes between the quotes of its first string literal
};

// Receives what the lexer finds, in the order of the input. Views are valid during the call.
class SqlEvents {
  public:
    virtual ~SqlEvents() = default;
    virtual void text(DumpPart /*part*/, std::string_view /*bytes*/) {}
    virtual void statement_begins() {}                       // before its text
    virtual void statement(const SqlStatement& parsed) = 0;  // after its text
    // Between statements, without the line's end; only the first kMaxLineHead bytes.
    virtual void comment(std::string_view /*line*/) {}  // "-- …"
    virtual void command(std::string_view /*line*/) {}  // "\connect …"
    virtual void copy_ends(std::uint64_t /*rows*/, std::uint64_t /*bytes*/) {}
};

class SqlLexer {
  public:
    static constexpr std::size_t kMaxLineHead = 256;
    // pg_dump lengthens a tag until the quoted body does not contain it, so a tag has no natural
    // limit; a longer one than this cannot be followed and makes the lexer give up.
    static constexpr std::size_t kMaxTag = std::size_t{1} << 20;

    explicit SqlLexer(SqlEvents& events) : events_(events) {}

    void feed(std::string_view chunk);
    void finish();  // hands out what a cut held back

    // True where the text could end here: no statement, string, comment or data block is open.
    bool at_rest() const { return mode_ == Mode::text && !in_statement_; }
    bool in_data() const { return mode_ == Mode::copy_line || mode_ == Mode::data; }
    bool in_statement() const { return in_statement_; }
    bool gave_up() const { return mode_ == Mode::lost; }
    bool standard_strings() const { return standard_strings_; }
    std::string_view head() const { return head_; }  // of the open statement, else of the last
    std::uint64_t data_rows() const { return data_rows_; }  // of the open data block
    std::uint64_t data_bytes() const { return data_bytes_; }

  private:
    enum class Mode : std::uint8_t {
        text,         // statement text, or white space between statements
        word,         // in a name, keyword or number
        string,       // '…'
        string_end,   // after a quote that ends a string unless another one follows
        backslash,    // in a string with escapes, after a backslash
        second_byte,  // in a string with escapes, after the first byte of a two-byte character
        name,         // "…"
        tag,          // after $, in what may become a dollar quote's tag
        dollar,       // $tag$…$tag$
        dash,         // after -
        slash,        // after /
        comment,      // -- …
        block,        // /* … */
        command,      // \…, between statements
        copy_line,    // after the semicolon of COPY … FROM stdin, until the line ends
        data,         // COPY data
        lost,         // cannot be followed any more
    };
    enum class Line : std::uint8_t { middle, start, backslash, dot };  // where in a data line

    const char* in_text(const char* p, const char* end);
    const char* in_word(const char* p, const char* end);
    const char* in_string(const char* p, const char* end);
    const char* in_tag(const char* p, const char* end);
    const char* in_dollar(const char* p, const char* end);
    const char* in_comment(const char* p, const char* end);
    const char* in_block(const char* p, const char* end);
    const char* in_command(const char* p, const char* end);
    const char* in_data_block(const char* p, const char* end);
    const char* skip_data(const char* p, const char* end);
    const char* step(const char* p, const char* end);

    void symbol(char c, const char* after);
    void begin_statement(const char* at);
    void end_statement(const char* after);
    void note_symbol();
    void end_word();
    void track_function_body(std::string_view word);
    void open_string(bool escapes);
    void apply_setting();
    void flush(const char* upto);
    void emit(DumpPart part, std::string_view bytes);
    DumpPart part() const;

    SqlEvents& events_;
    Mode mode_ = Mode::text;
    const char* run_ = nullptr;  // start of the bytes of this chunk that were not yet handed out
    char held_ = 0;              // a - or / at the end of a chunk, not yet known to begin a comment

    bool standard_strings_ = true;
    bool double_byte_ =
        false;  // client encoding where a character's second byte may be a backslash
    bool shift_jis_ = false;

    // Of the open statement
    bool in_statement_ = false;
    std::string head_;
    std::uint64_t length_ = 0;
    int parens_ = 0;
    int begins_ = 0;  // BEGIN ATOMIC and CASE inside of it
    unsigned word_count_ = 0;
    std::array<char, 4> function_words_{};  // initials of CREATE [OR REPLACE] FUNCTION|PROCEDURE
    std::string first_word_;
    std::string last_word_;  // lower case; empty after anything that is not a word
    bool copy_in_ = false;
    bool values_ = false;
    std::uint64_t tuples_ = 0;
    std::uint64_t literals_ = 0;
    std::uint64_t literal_length_ = 0;  // of the first one

    std::array<char, 16> word_{};
    std::size_t word_length_ = 0;
    bool number_ = false;
    bool escapes_ = false;
    std::string tag_;
    std::size_t matched_ = 0;  // of "$tag$", bytes met
    int block_depth_ = 0;
    char block_last_ = 0;
    std::string line_;

    Line line_state_ = Line::start;
    std::uint64_t data_rows_ = 0;
    std::uint64_t data_bytes_ = 0;
};

// The name that follows the words `before` ("COPY", "INSERT INTO") at the beginning of a
// statement, as written: public."odd name". Empty where there is none.
std::string_view table_name(std::string_view head, std::string_view before);

}  // namespace immbackup
