// Splitting of setting values that are lists.

#include "core/settings.h"

namespace immbackup {

namespace {

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void skip_spaces(std::string_view text, std::size_t& at) {
    while (at < text.size() && is_space(text[at])) {
        ++at;
    }
}

}  // namespace

std::optional<std::vector<std::string>> split_arguments(std::string_view text) {
    std::vector<std::string> out;
    std::string word;
    bool in_word = false;
    char quote = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quote == '\'') {
            if (c == '\'') {
                quote = 0;
            } else {
                word += c;
            }
        } else if (c == '\\') {
            if (i + 1 == text.size()) {
                return std::nullopt;
            }
            const char next = text[++i];
            // Within double quotes a backslash quotes only what would be special there.
            if (quote == '"' && next != '"' && next != '\\') {
                word += c;
            }
            word += next;
            in_word = true;
        } else if (quote == '"') {
            if (c == '"') {
                quote = 0;
            } else {
                word += c;
            }
        } else if (c == '\'' || c == '"') {
            quote = c;
            in_word = true;
        } else if (is_space(c)) {
            if (in_word) {
                out.push_back(std::move(word));
                word.clear();
                in_word = false;
            }
        } else {
            word += c;
            in_word = true;
        }
    }
    if (quote != 0) {
        return std::nullopt;
    }
    if (in_word) {
        out.push_back(std::move(word));
    }
    return out;
}

std::optional<std::vector<std::string>> split_names(std::string_view text) {
    std::vector<std::string> out;
    std::size_t at = 0;
    skip_spaces(text, at);
    if (at == text.size()) {
        return out;
    }
    while (true) {
        std::string name;
        if (at < text.size() && text[at] == '"') {
            ++at;
            while (true) {
                if (at == text.size()) {
                    return std::nullopt;
                }
                if (text[at] == '"') {
                    if (at + 1 < text.size() && text[at + 1] == '"') {
                        name += '"';
                        at += 2;
                        continue;
                    }
                    ++at;
                    break;
                }
                name += text[at++];
            }
        } else {
            while (at < text.size() && text[at] != ',' && !is_space(text[at])) {
                if (text[at] == '"') {
                    return std::nullopt;
                }
                name += text[at++];
            }
        }
        if (name.empty()) {
            return std::nullopt;
        }
        out.push_back(std::move(name));
        skip_spaces(text, at);
        if (at == text.size()) {
            return out;
        }
        if (text[at] != ',') {
            return std::nullopt;
        }
        ++at;
        skip_spaces(text, at);
    }
}

}  // namespace immbackup
