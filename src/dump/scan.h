// Reads a plain SQL dump as it passes by: counts rows and bytes of each table, sees the closing
// line.
//
// It is a lexer of what pg_dump and pg_dumpall write, not of SQL at large: statements, quoted
// strings (also E'' and, under standard_conforming_strings = off, backslashes in plain ones),
// quoted names, dollar quotes, comments, BEGIN ATOMIC bodies, COPY … FROM stdin blocks with their
// data up to `\.`, INSERT statements (one or several rows), lo_open/lowrite, and psql's backslash
// commands. Text inside strings, names, comments and data never counts as a statement. Memory is
// bounded whatever the input: of a statement only the first kMaxHead bytes are looked at, of a data
// line nothing is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/manifest.h"

namespace immbackup {

enum class DumpKind { database, globals };

struct ScanResult {
    std::uint64_t bytes = 0;
    std::vector<TableContent>
        tables;  // in order of first appearance; a table without rows counts too
    std::uint64_t rows = 0;
    std::uint64_t large_objects = 0;
    std::uint64_t large_object_bytes = 0;  // of content, not of its hexadecimal text
    bool restricted = false;               // began with \restrict: needs a psql that knows it
    // The closing line "-- PostgreSQL database dump complete" ("… cluster dump complete" for
    // globals) came as a comment at top level, nothing but blank lines, comments and \unrestrict
    // followed, no statement, string or data block was open, and every \restrict met its
    // \unrestrict.
    bool complete = false;
    std::string problem;  // where not complete: a sentence
};

class DumpScanner {
  public:
    explicit DumpScanner(DumpKind kind);
    ~DumpScanner();
    DumpScanner(DumpScanner&&) noexcept;

    void feed(std::span<const std::byte> bytes);
    // The table whose data is passing by now, as in TableContent::name; empty between tables. Valid
    // until the next feed().
    std::string_view current_table() const;
    // What was counted up to now is in tables etc.; decides `complete`. Call once, at the end.
    ScanResult finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Passes a dump through to `sink`, leaving out the top-level statements for which `leave_out(head)`
// is true; `head` is a whole statement of at most kMaxStatementHead bytes (longer statements always
// pass). Comments before a statement pass. Names what it left out, one line each.
inline constexpr std::size_t kMaxStatementHead = 4096;
class StatementFilter {
  public:
    using Sink = std::function<void(std::span<const std::byte>)>;
    using Predicate = std::function<bool(std::string_view statement)>;
    StatementFilter(Sink sink, Predicate leave_out);
    ~StatementFilter();
    void feed(std::span<const std::byte> bytes);
    void finish();
    const std::vector<std::string>& left_out() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace immbackup
