#include "dump/scan.h"

#include <unordered_map>

#include "dump/sql_lexer.h"

namespace immbackup {

namespace {

constexpr std::string_view kLoOpen = "SELECT pg_catalog.lo_open(";
constexpr std::string_view kLoWrite = "SELECT pg_catalog.lowrite(";

std::string_view closing_line(DumpKind kind) {
    return kind == DumpKind::database ? "-- PostgreSQL database dump complete"
                                      : "-- PostgreSQL database cluster dump complete";
}

// The argument of a psql command line: "\restrict KEY".
std::string_view argument(std::string_view line, std::string_view command) {
    line.remove_prefix(command.size());
    const std::size_t from = line.find_first_not_of(" \t");
    const std::size_t to = line.find_last_not_of(" \t\r");
    return from == std::string_view::npos ? std::string_view{} : line.substr(from, to - from + 1);
}
bool is_command(std::string_view line, std::string_view command) {
    return line.starts_with(command) &&
           (line.size() == command.size() || line[command.size()] == ' ');
}

// A statement's beginning, short and on one line, for messages.
std::string excerpt(std::string_view head) {
    constexpr std::size_t kLimit = 60;
    std::string text(head.substr(0, kLimit));
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ') {
            c = ' ';
        }
    }
    return head.size() > kLimit ? text + "..." : text;
}

}  // namespace

struct DumpScanner::State : SqlEvents {
    explicit State(DumpKind dump_kind) : kind(dump_kind), lexer(*this) {}

    void statement_begins() override {
        followed = followed || closed;
        closed = false;
    }
    void statement(const SqlStatement& parsed) override {
        current = kNone;
        if (parsed.copy_in) {
            current = table(table_name(parsed.head, "COPY"));
        } else if (parsed.first_word == "insert") {
            current = table(table_name(parsed.head, "INSERT INTO"));
            TableContent& content = result.tables[current];
            content.rows += parsed.tuples;
            content.bytes += parsed.length + 1;  // with its newline
        } else if (parsed.first_word == "select") {
            if (parsed.head.starts_with(kLoOpen)) {
                ++result.large_objects;
            } else if (parsed.head.starts_with(kLoWrite)) {
                // The literal is \x and two digits a byte; where strings have escapes, \\x.
                const std::uint64_t prefix = lexer.standard_strings() ? 2 : 3;
                if (parsed.literal_length > prefix) {
                    result.large_object_bytes += (parsed.literal_length - prefix) / 2;
                }
            }
        }
    }
    void copy_ends(std::uint64_t rows, std::uint64_t bytes) override {
        result.tables[current].rows += rows;
        result.tables[current].bytes += bytes;
        current = kNone;
    }
    void comment(std::string_view line) override {
        if (line == closing_line(kind)) {
            closed = true;
            followed = false;
        }
    }
    void command(std::string_view line) override {
        if (is_command(line, "\\unrestrict")) {
            key_mismatch = key_mismatch || key.empty() || argument(line, "\\unrestrict") != key;
            key.clear();
            return;
        }
        statement_begins();
        if (is_command(line, "\\restrict")) {
            key_mismatch = key_mismatch || !key.empty();
            key = argument(line, "\\restrict");
            result.restricted = true;
        }
    }

    std::size_t table(std::string_view name) {
        // Nearly always the table of the statement before.
        if (last != kNone && result.tables[last].name == name) {
            return last;
        }
        const auto [entry, added] = places.try_emplace(std::string(name), result.tables.size());
        if (added) {
            result.tables.push_back({std::string(name), 0, 0});
        }
        last = entry->second;
        return last;
    }

    std::string problem() const {
        if (result.bytes == 0) {
            return "The dump is empty.";
        }
        if (lexer.gave_up()) {
            return "The dump holds a dollar quote whose tag is too long to be followed.";
        }
        if (lexer.in_data()) {
            return "The dump ends inside the data of table " + result.tables[current].name + ".";
        }
        if (lexer.in_statement()) {
            return "The dump ends inside a statement that begins with \"" + excerpt(lexer.head()) +
                   "\".";
        }
        if (!lexer.at_rest()) {
            return "The dump ends inside a comment or a psql command.";
        }
        if (!closed) {
            return followed ? "Something follows the dump's closing line."
                            : "The dump has no closing line \"" + std::string(closing_line(kind)) +
                                  "\".";
        }
        if (key_mismatch || !key.empty()) {
            return "The dump's \\restrict and \\unrestrict lines do not match.";
        }
        return {};
    }

    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

    DumpKind kind;
    SqlLexer lexer;
    ScanResult result;
    std::unordered_map<std::string, std::size_t> places;
    std::size_t current = kNone;
    std::size_t last = kNone;
    bool closed = false;
    bool followed = false;
    bool key_mismatch = false;
    std::string key;
};

DumpScanner::DumpScanner(DumpKind kind) : state_(std::make_unique<State>(kind)) {}
DumpScanner::~DumpScanner() = default;
DumpScanner::DumpScanner(DumpScanner&&) noexcept = default;

void DumpScanner::feed(std::span<const std::byte> bytes) {
    state_->result.bytes += bytes.size();
    state_->lexer.feed({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string_view DumpScanner::current_table() const {
    const State& state = *state_;
    return state.current == State::kNone
               ? std::string_view{}
               : std::string_view(state.result.tables[state.current].name);
}

ScanResult DumpScanner::finish() {
    State& state = *state_;
    state.lexer.finish();
    state.result.problem = state.problem();
    state.result.complete = state.result.problem.empty();
    if (state.lexer.in_data()) {
        TableContent& open = state.result.tables[state.current];
        open.rows += state.lexer.data_rows();
        open.bytes += state.lexer.data_bytes();
    }
    for (const TableContent& table : state.result.tables) {
        state.result.rows += table.rows;
    }
    return std::move(state.result);
}

}  // namespace immbackup
