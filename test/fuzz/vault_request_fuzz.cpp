// The helper's stream of requests, whatever comes: each is refused or understood as it would be
// written again; content is taken only with the commit that fits; nothing is read twice or lost.
// And what else it reads of others: the configuration, seal records, lines of a log.
#include <cstring>

#include "fuzz.h"
#include "vault/chain.h"
#include "vault/channel.h"
#include "vault/clock.h"
#include "vault/config.h"
#include "vault/failure.h"
#include "vault/json_check.h"
#include "vault/record.h"

namespace {

using namespace immbackup::vault;
using immbackup::fuzz::require;

void check_request(const std::string& line) {
    const Request request = parse_request(line);
    std::string again = line.substr(0, line.find(' '));
    for (const auto& [key, value] : request.fields) {
        require(!value.empty() && request.get(key) == value);
        again += field(key, value);
    }
    require(parse_request(again).fields == request.fields);
    if (const auto stem = request.get("stem"); !stem.empty()) {
        require(stem.find('/') == std::string_view::npos &&
                stem.find('\0') == std::string_view::npos);
        for (const Format format : kFormats) {
            for (const FileKind kind : kFileKinds) {
                const std::string name = file_name(stem, kind, format);
                const auto parsed = parse_file_name(name);
                require(name.size() <= 255 && parsed && parsed->stem == stem &&
                        parsed->kind == kind && parsed->format == format);
            }
        }
    }
    require(request.get("origin") != kOrigin);
}

void check_content(Channel& channel) {
    Sha256 sha;
    std::uint64_t size = 0;
    const Commit commit = channel.read_content([&](std::span<const char> block) {
        require(!block.empty() && block.size() <= kMaxFrame);
        sha.update(block);
        size += block.size();
    });
    require(commit.size == size && commit.sha256 == sha.finish());
}

// In pieces whose sizes the input's first byte decides.
void check_stream(std::string_view input) {
    std::size_t at = 0;
    const std::size_t step = input.empty() ? 1 : 1 + static_cast<unsigned char>(input[0]) * 7U;
    Channel channel([&](std::span<char> out) {
        const std::size_t count = std::min({step, out.size(), input.size() - at});
        std::memcpy(out.data(), input.data() + at, count);
        at += count;
        return count;
    });
    try {
        while (const auto line = channel.read_request()) {
            require(line->size() < kMaxRequest && line->find('\n') == std::string::npos);
            check_request(*line);
            if (line->starts_with('p') || line->starts_with('a')) {
                check_content(channel);
            }
        }
    } catch (const Failure& failure) {
        require(!failure.message.empty() && is_printable(failure.message));
    } catch (const Hangup&) {
        require(at == input.size());
    }
}

void check_texts(std::string_view input) {
    SealRecord record;
    if (parse_record(input, record) == RecordState::sound) {
        require(format_record(record) == input);
    }
    ClockState clock;
    if (parse_clock(input, clock)) {
        require(format_clock(clock) == input);
    }
    if (const auto time = parse_time(input)) {
        require(format_time(*time) == input);
    }
    if (const auto link = parse_line(input)) {
        require(link->seq > 0 && input.find(link->hash) != std::string_view::npos);
    }
    if (is_json_object(input)) {
        Record whole{1,   "2026-01-18T12:00:00.000Z", "job", std::string(64, '0'),
                     "a", std::string(input),         {}};
        const std::string line = format_line(whole);
        require(parse_line(std::string_view(line).substr(0, line.size() - 1)).has_value());
    }
    if (is_json_text(input)) {
        require(is_json_object("{\"a\":\"" + std::string(input) + "\"}"));
    }
    require(decode_value(encode_value(input)) == input);
    try {
        const Config config = parse_config(input);
        require(config.root.starts_with('/') && config.min_retention > 0 &&
                config.max_retention >= config.min_retention);
    } catch (const Failure& failure) {
        require(failure.code == Code::config);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = immbackup::fuzz::text_of(data, size);
    check_stream(input);
    check_texts(input);
    return 0;
}
