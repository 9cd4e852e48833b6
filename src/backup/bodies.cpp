#include "backup/bodies.h"

namespace immbackup {

namespace {

constexpr std::string_view kMore = "…";

constexpr std::size_t kEscape = 6;  // \u00e4, for each byte of a longer character

// How many bytes a JSON string with ASCII escapes takes for this byte, at the most.
std::size_t escaped_size(char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\' ? 1 : kEscape;
}

}  // namespace

std::string body_text(const Body& body) {
    return body.dump(-1, ' ', true, Body::error_handler_t::replace);
}

std::string bounded_text(std::string_view text, std::size_t limit) {
    std::size_t size = 0;
    std::size_t kept = 0;  // what there is room for beside the mark
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (size + kEscape <= limit) {
            kept = i;
        }
        size += escaped_size(text[i]);
        if (size > limit) {
            // Not in the middle of a character of several bytes.
            while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0U) == 0x80U) {
                --kept;
            }
            return std::string(text.substr(0, kept)) + std::string(kMore);
        }
    }
    return std::string(text);
}

Body bounded_list(const std::vector<std::string>& texts, std::size_t each, std::size_t total) {
    Body out = Body::array();
    std::size_t size = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        std::string text = bounded_text(texts[i], each);
        size += 3;  // quotes and comma
        for (const char c : text) {
            size += escaped_size(c);
        }
        if (size > total) {
            out.push_back(std::string(kMore) + " and " + std::to_string(texts.size() - i) +
                          " more");
            break;
        }
        out.push_back(std::move(text));
    }
    return out;
}

Body error_body(const Error& error) {
    constexpr std::size_t kMaxText = 8000;
    return {{"code", error_code_name(error.code())},
            {"message", bounded_text(error.message(), kMaxText)},
            {"detail", bounded_text(error.detail(), kMaxText)},
            {"hint", bounded_text(error.hint(), kMaxText)}};
}

}  // namespace immbackup
