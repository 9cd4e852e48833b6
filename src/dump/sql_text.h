// Bytes as psql's lexer sees them, for the files of SqlLexer.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace immbackup::sql_text {

enum Class : unsigned char { other, space, letter, digit };

constexpr std::array<Class, 256> make_classes() {
    std::array<Class, 256> classes{};
    for (const char c : {' ', '\t', '\n', '\r', '\f', '\v'}) {
        classes[static_cast<unsigned char>(c)] = space;
    }
    for (unsigned c = 'a'; c <= 'z'; ++c) {
        classes[c] = letter;
        classes[c - 'a' + 'A'] = letter;
    }
    for (unsigned c = 0x80; c < 256; ++c) {
        classes[c] = letter;
    }
    classes['_'] = letter;
    for (unsigned c = '0'; c <= '9'; ++c) {
        classes[c] = digit;
    }
    return classes;
}
inline constexpr auto kClass = make_classes();

inline Class class_of(char c) {
    return kClass[static_cast<unsigned char>(c)];
}
inline bool goes_on_word(char c) {
    return class_of(c) >= letter || c == '$';
}
inline char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline const char* find(const char* p, const char* end, char c) {
    const void* found = std::memchr(p, c, static_cast<std::size_t>(end - p));
    return found != nullptr ? static_cast<const char*>(found) : end;
}
inline std::string_view view(const char* from, const char* to) {
    return {from, static_cast<std::size_t>(to - from)};
}

}  // namespace immbackup::sql_text
