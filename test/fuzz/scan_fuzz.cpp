// The dump scan and the statement filter on arbitrary input: the first two bytes choose how the
// rest is cut; no cut may change a result, and a filter that matches nothing changes no byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "dump/scan.h"

namespace {

using namespace immbackup;

std::string summary(DumpScanner& scanner) {
    const ScanResult result = scanner.finish();
    std::string text = result.problem + '|' + std::to_string(result.bytes) + '|' +
                       std::to_string(result.rows) + '|' + std::to_string(result.large_objects) +
                       '|' + std::to_string(result.large_object_bytes) +
                       (result.complete ? "c" : "") + (result.restricted ? "r" : "");
    for (const TableContent& table : result.tables) {
        text +=
            '|' + table.name + '=' + std::to_string(table.rows) + '/' + std::to_string(table.bytes);
    }
    return text;
}

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// Leaves out what contains a "!", so that both ways through the filter are taken.
std::string filter(std::span<const std::byte> input, std::size_t step, bool drop) {
    std::string out;
    StatementFilter filter(
        [&](std::span<const std::byte> bytes) {
            out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        },
        [&](std::string_view statement) {
            require(!statement.empty() && statement.size() <= kMaxStatementHead);
            return drop && statement.find('!') != std::string_view::npos;
        });
    for (std::size_t i = 0; i < input.size(); i += step) {
        filter.feed(input.subspan(i, std::min(step, input.size() - i)));
    }
    filter.finish();
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const std::size_t first = data[0];
    const std::size_t step = data[1] % 64 + 1u;
    const auto input = std::as_bytes(std::span(data, size)).subspan(2);

    DumpScanner whole(DumpKind::database);
    whole.feed(input);
    const std::string expected = summary(whole);

    DumpScanner bytewise(DumpKind::database);
    DumpScanner cut(DumpKind::database);
    for (std::size_t i = 0; i < input.size(); ++i) {
        bytewise.feed(input.subspan(i, 1));
        static_cast<void>(bytewise.current_table().size());
    }
    for (std::size_t i = 0, n = first; i < input.size(); i += n, n = step) {
        n = std::min(n, input.size() - i);
        cut.feed(input.subspan(i, n));
    }
    require(summary(bytewise) == expected);
    require(summary(cut) == expected);

    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    require(filter(input, input.size() + 1, false) == text);
    require(filter(input, step, false) == text);
    require(filter(input, step, true) == filter(input, input.size() + 1, true));
    return 0;
}
