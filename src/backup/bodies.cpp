#include "backup/bodies.h"

#include <fmt/format.h>

#include <algorithm>

namespace immbackup {

namespace {

constexpr std::string_view kEllipsis = "\u2026";
constexpr std::size_t kEllipsisEscaped = 6;

// Bytes of the text as a JSON string, without its quotes.
std::size_t escaped_size(std::string_view text) {
    return body_text(Body(text)).size() - 2;
}

}  // namespace

std::string body_text(const Body& body) {
    return body.dump(-1, ' ', true, Body::error_handler_t::replace);
}

std::string bounded_text(std::string_view text, std::size_t limit) {
    // No byte of text takes less than one byte of JSON.
    std::size_t keep = std::min(text.size(), limit);
    if (keep == text.size() && escaped_size(text) <= limit) {
        return std::string(text);
    }
    const std::size_t room = std::max(limit, kEllipsisEscaped) - kEllipsisEscaped;
    while (keep > 0 && escaped_size(text.substr(0, keep)) > room) {
        // An escape takes at most six bytes for one: by this much it is certainly too long.
        const std::size_t over = escaped_size(text.substr(0, keep)) - room;
        keep -= std::max<std::size_t>(1, std::min(keep, over / 6));
    }
    // Not in the middle of a character.
    while (keep > 0 && keep < text.size() &&
           (static_cast<unsigned char>(text[keep]) & 0xC0U) == 0x80U) {
        --keep;
    }
    return std::string(text.substr(0, keep)) + std::string(kEllipsis);
}

Body bounded_list(const std::vector<std::string>& texts, std::size_t each, std::size_t total) {
    constexpr std::size_t kAround = 3;  // quotes and comma
    Body list = Body::array();
    std::size_t used = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        std::string text = bounded_text(texts[i], each);
        used += escaped_size(text) + kAround;
        if (used > total) {
            list.push_back(fmt::format("({} more)", texts.size() - i));
            break;
        }
        list.push_back(std::move(text));
    }
    return list;
}

Body error_body(const Error& error) {
    constexpr std::size_t kMessage = 8 * 1024;
    constexpr std::size_t kDetail = 32 * 1024;
    constexpr std::size_t kHint = 4 * 1024;
    return {{"code", std::string(error_code_name(error.code()))},
            {"message", bounded_text(error.message(), kMessage)},
            {"detail", bounded_text(error.detail(), kDetail)},
            {"hint", bounded_text(error.hint(), kHint)}};
}

}  // namespace immbackup
