// Writes the rows of a set-returning function from C++ code: cells are collected as plain values
// and handed to PostgreSQL row by row, so that no C++ object is alive where PostgreSQL may longjmp.
// Texts are UTF-8 of any content.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "postgres/pg_compat.h"

namespace immbackup {

class RowWriter {
  public:
    static constexpr std::size_t kMaxColumns = 48;

    // Outside of guarded(): prepares the result of the call.
    explicit RowWriter(FunctionCallInfo fcinfo);

    // The next cell of the row. A string_view must live until emit().
    void null();
    void text(std::string_view value);
    void text_or_null(std::string_view value);  // empty: null
    // Only a view is kept until emit(): a temporary string would be gone by then.
    template <class T>
    requires std::same_as<T, std::string>
    void text(T&& value) = delete;
    template <class T>
    requires std::same_as<T, std::string>
    void text_or_null(T&& value) = delete;
    void json(std::string_view value);  // valid JSON in ASCII
    void number(std::uint64_t value);   // bigint
    void number_or_null(std::optional<std::uint64_t> value);
    void integer(int value);
    void real(double value);
    void flag(bool value);
    void time_or_null(std::string_view value);  // as in audit records; anything else is null
    void timestamp_or_null(TimestampTz value);  // 0: null
    void seconds(double value);                 // interval
    // In a C++ frame: the row is complete.
    void emit();

  private:
    enum class Kind { null, text, json, number, integer, real, flag, timestamp, seconds };
    struct Cell {
        Kind kind;
        std::string_view text;
        std::int64_t number;
        double real;
    };
    void add(const Cell& cell);
    Datum datum(const Cell& cell) const;

    ReturnSetInfo* result_;
    MemoryContext row_context_;
    std::array<Cell, kMaxColumns> cells_{};
    std::size_t count_ = 0;
};

// It lives in frames that PostgreSQL may longjmp over.
static_assert(std::is_trivially_destructible_v<RowWriter>);

}  // namespace immbackup
