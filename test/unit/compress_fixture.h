// Compresses a text as a run does: through the stages, in reads of `chunk` bytes.
#pragma once

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "dump/stages.h"

namespace immbackup::test {

inline std::string compress(const Codec& codec, std::string_view text, std::size_t chunk,
                            int threads = 1) {
    std::string out;
    Stages stages(codec, threads, [&](std::span<const std::byte> bytes) {
        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    const auto wait = [&] {
        pollfd wake{stages.wake_fd(), POLLIN, 0};
        ::poll(&wake, 1, -1);
        stages.clear_wake();
        stages.rethrow();
    };
    while (!text.empty()) {
        const auto room = stages.room();
        const std::size_t part = std::min({room.size(), chunk, text.size()});
        if (part == 0) {
            wait();
            continue;
        }
        std::memcpy(room.data(), text.data(), part);
        text.remove_prefix(part);
        stages.filled(part);
    }
    while (stages.room().empty()) {
        wait();
    }
    stages.close();
    while (!stages.ended()) {
        wait();
    }
    stages.rethrow();
    return out;
}

}  // namespace immbackup::test
