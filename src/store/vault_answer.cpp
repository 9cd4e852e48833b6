#include "store/vault_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace immbackup {

namespace {

int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string unescaped(std::string_view text, std::string_view line) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high < 0 ? -1 : hex_digit(text[i + 2]);
        if (low < 0) {
            vault_not_understood(line);
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

bool is_error_name(std::string_view name) {
    return error_code_name(error_code_from_name(name)) == name && name != "ok";
}

}  // namespace

void vault_not_understood(std::string_view line) {
    throw Error(ErrorCode::version, "the vault's helper gave an answer that is none",
                fmt::format("It said \"{}\".", vault_word(line.substr(0, 200))),
                "Install helper and extension of the same version: `make install install-vault`.");
}

std::string_view next_vault_word(std::string_view& rest) {
    const auto end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return word;
}

VaultAnswer vault_fields(std::string_view rest, std::string_view line) {
    VaultAnswer answer;
    while (!rest.empty()) {
        const std::string_view word = next_vault_word(rest);
        const auto equals = word.find('=');
        if (equals == 0 || equals == std::string_view::npos ||
            !answer.fields.emplace(word.substr(0, equals), unescaped(word.substr(equals + 1), line))
                 .second) {
            vault_not_understood(line);
        }
    }
    return answer;
}

const std::string& VaultAnswer::text(std::string_view name) const {
    const auto found = fields.find(name);
    if (found == fields.end()) {
        throw Error(ErrorCode::version,
                    fmt::format("the vault's helper left out \"{}\" in its answer", name), {},
                    "Install helper and extension of the same version: `make install "
                    "install-vault`.");
    }
    return found->second;
}

std::uint64_t VaultAnswer::number(std::string_view name) const {
    const std::string& value = text(name);
    std::uint64_t out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc{} || end != value.data() + value.size()) {
        vault_not_understood(fmt::format("{}={}", name, value));
    }
    return out;
}

VaultAnswer parse_vault_answer(std::string_view line) {
    std::string_view rest = line;
    const std::string_view verdict = next_vault_word(rest);
    if (verdict == "error") {
        const std::string_view name = next_vault_word(rest);
        const std::string_view message = next_vault_word(rest);
        if (!is_error_name(name) || message.empty() || rest.find(' ') != std::string_view::npos) {
            vault_not_understood(line);
        }
        throw Error(error_code_from_name(name), unescaped(message, line), {},
                    unescaped(rest, line));
    }
    if (verdict != "ok") {
        vault_not_understood(line);
    }
    return vault_fields(rest, line);
}

std::string vault_field(std::string_view name, std::string_view value) {
    return value.empty() ? std::string() : fmt::format(" {}={}", name, vault_word(value));
}

std::string vault_text_field(std::string_view name, std::string_view value) {
    const std::string quoted =
        nlohmann::json(value).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return vault_field(name, quoted.substr(1, quoted.size() - 2));
}

std::string vault_word(std::string_view text) {
    constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/";
    std::string out;
    for (const char c : text) {
        if (kPlain.find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace immbackup
