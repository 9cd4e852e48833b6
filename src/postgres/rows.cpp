// See rows.h.
#include "postgres/rows.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/time.h"
#include "postgres/guard.h"

namespace immbackup {

namespace {

// PostgreSQL counts from 2000-01-01, in microseconds.
constexpr std::int64_t kPostgresEpochMs = 946'684'800'000;

}  // namespace

RowWriter::RowWriter(FunctionCallInfo fcinfo) {
    compat_materialized_result(fcinfo);
    result_ = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    row_context_ = make_memory_context(CurrentMemoryContext, "immbackup row");
}

void RowWriter::add(const Cell& cell) {
    if (count_ == kMaxColumns) {
        throw Error(ErrorCode::internal, "a row has more columns than a row writer holds");
    }
    cells_[count_++] = cell;
}

void RowWriter::null() {
    add({Kind::null, {}, 0, 0});
}

void RowWriter::text(std::string_view value) {
    add({Kind::text, value, 0, 0});
}

void RowWriter::text_or_null(std::string_view value) {
    add({value.empty() ? Kind::null : Kind::text, value, 0, 0});
}

void RowWriter::json(std::string_view value) {
    add({Kind::json, value, 0, 0});
}

void RowWriter::number(std::uint64_t value) {
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    add({Kind::number, {}, static_cast<std::int64_t>(std::min(value, kMax)), 0});
}

void RowWriter::number_or_null(std::optional<std::uint64_t> value) {
    value ? number(*value) : null();
}

void RowWriter::integer(int value) {
    add({Kind::integer, {}, value, 0});
}

void RowWriter::real(double value) {
    add({Kind::real, {}, 0, value});
}

void RowWriter::flag(bool value) {
    add({Kind::flag, {}, value, 0});
}

void RowWriter::time_or_null(std::string_view value) {
    const std::optional<Time> time = parse_time(value);
    if (!time) {
        null();
        return;
    }
    const std::int64_t ms = time->time_since_epoch().count() - kPostgresEpochMs;
    add({Kind::timestamp, {}, ms * 1000, 0});
}

void RowWriter::timestamp_or_null(TimestampTz value) {
    add({value == 0 ? Kind::null : Kind::timestamp, {}, value, 0});
}

void RowWriter::seconds(double value) {
    add({Kind::seconds, {}, 0, value});
}

Datum RowWriter::datum(const Cell& cell) const {
    switch (cell.kind) {
        case Kind::text:
            return PointerGetDatum(
                cstring_to_text(server_text(cell.text.data(), cell.text.size())));
        case Kind::json:
            return PointerGetDatum(
                cstring_to_text_with_len(cell.text.data(), static_cast<int>(cell.text.size())));
        case Kind::number:
            return Int64GetDatum(cell.number);
        case Kind::integer:
            return Int32GetDatum(static_cast<int32>(cell.number));
        case Kind::real:
            return Float8GetDatum(cell.real);
        case Kind::flag:
            return BoolGetDatum(cell.number != 0);
        case Kind::timestamp:
            return TimestampTzGetDatum(cell.number);
        case Kind::seconds: {
            Interval* interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
            interval->time = static_cast<TimeOffset>(cell.real) * USECS_PER_SEC;
            return IntervalPGetDatum(interval);
        }
        case Kind::null:
            break;
    }
    return 0;
}

void RowWriter::emit() {
    if (count_ != static_cast<std::size_t>(result_->setDesc->natts)) {
        throw Error(
            ErrorCode::version, "the extension's SQL script does not fit its library", {},
            "Run ALTER EXTENSION immbackup UPDATE, or restart the server after an upgrade.");
    }
    call_postgres([&] {
        Datum values[kMaxColumns];
        bool nulls[kMaxColumns];
        MemoryContext old = MemoryContextSwitchTo(row_context_);
        for (std::size_t i = 0; i < count_; ++i) {
            nulls[i] = cells_[i].kind == Kind::null;
            values[i] = datum(cells_[i]);
        }
        MemoryContextSwitchTo(old);
        tuplestore_putvalues(result_->setResult, result_->setDesc, values, nulls);
        MemoryContextReset(row_context_);
    });
    count_ = 0;
    check_interrupts();
}

}  // namespace immbackup
