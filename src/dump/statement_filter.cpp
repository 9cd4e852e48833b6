// StatementFilter of dump/scan.h: holds back each statement until it is whole or too long to be
// asked about.
#include "dump/scan.h"
#include "dump/sql_lexer.h"

namespace immbackup {

namespace {

constexpr std::size_t kMaxLeftOut = 1000;  // lines of the report
constexpr std::size_t kMaxLeftOutLine = 200;

std::string one_line(std::string_view statement) {
    std::string line;
    for (const char c : statement) {
        const bool blank = static_cast<unsigned char>(c) <= ' ';
        if (!blank) {
            line += c;
        } else if (!line.empty() && line.back() != ' ') {
            line += ' ';
        }
    }
    if (line.size() <= kMaxLeftOutLine) {
        return line;
    }
    std::size_t cut = kMaxLeftOutLine;
    while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xc0) == 0x80) {
        --cut;  // never inside of a UTF-8 character
    }
    return line.substr(0, cut) + "...";
}

}  // namespace

struct StatementFilter::State : SqlEvents {
    State(Sink to, Predicate which)
        : sink(std::move(to)), leave_out(std::move(which)), lexer(*this) {}

    void text(DumpPart part, std::string_view bytes) override {
        if (part == DumpPart::data && dropping_data) {
            return;
        }
        if (part == DumpPart::statement && !passing) {
            if (held.size() + bytes.size() <= kMaxStatementHead) {
                held.append(bytes);
                return;
            }
            release();
            passing = true;
        }
        pass(bytes);
    }
    void statement_begins() override { passing = false; }
    void statement(const SqlStatement& parsed) override {
        dropping_data = false;
        if (passing) {
            return;
        }
        if (leave_out(held)) {
            ++count;
            if (names.size() < kMaxLeftOut) {
                names.push_back(one_line(held));
            }
            held.clear();
            dropping_data = parsed.copy_in;
        } else {
            release();
        }
    }

    void release() {
        pass(held);
        held.clear();
    }
    void pass(std::string_view bytes) {
        if (!bytes.empty()) {
            sink(std::as_bytes(std::span(bytes)));
        }
    }

    Sink sink;
    Predicate leave_out;
    SqlLexer lexer;
    std::string held;            // the open statement, while it is short enough
    bool passing = false;        // the open statement is too long: its bytes go on as they come
    bool dropping_data = false;  // of a COPY that was left out
    std::size_t count = 0;
    std::vector<std::string> names;
};

StatementFilter::StatementFilter(Sink sink, Predicate leave_out)
    : state_(std::make_unique<State>(std::move(sink), std::move(leave_out))) {}
StatementFilter::~StatementFilter() = default;

void StatementFilter::feed(std::span<const std::byte> bytes) {
    state_->lexer.feed({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void StatementFilter::finish() {
    state_->lexer.finish();
    state_->release();
    if (state_->count > state_->names.size()) {
        state_->names.push_back("and " + std::to_string(state_->count - state_->names.size()) +
                                " more");
    }
}

const std::vector<std::string>& StatementFilter::left_out() const {
    return state_->names;
}

}  // namespace immbackup
