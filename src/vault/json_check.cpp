#include "vault/json_check.h"

#include <cstddef>

namespace immbackup::vault {

namespace {

class Checker {
  public:
    explicit Checker(std::string_view text) : text_(text) {}
    bool whole_object() { return peek() == '{' && value(0) && at_ == text_.size(); }

  private:
    static constexpr int kMaxDepth = 64;

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) {
        if (peek() != c) {
            return false;
        }
        ++at_;
        return true;
    }
    bool take(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) {
            return false;
        }
        at_ += word.size();
        return true;
    }
    void space() {
        while (peek() == ' ') {
            ++at_;
        }
    }
    bool digits() {
        const std::size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') {
            ++at_;
        }
        return at_ > begin;
    }
    bool number() {
        take('-');
        if (!take('0') && !digits()) {
            return false;
        }
        if (take('.') && !digits()) {
            return false;
        }
        if (take('e') || take('E')) {
            static_cast<void>(take('+') || take('-'));
            return digits();
        }
        return true;
    }
    bool escape() {
        constexpr std::string_view kSimple = "\"\\/bfnrt";
        const char c = peek();
        ++at_;
        if (c != 'u') {
            return c != '\0' && kSimple.find(c) != std::string_view::npos;
        }
        constexpr std::string_view kHex = "0123456789abcdefABCDEF";
        for (int i = 0; i < 4; ++i, ++at_) {
            if (peek() == '\0' || kHex.find(peek()) == std::string_view::npos) {
                return false;
            }
        }
        return true;
    }
    bool string() {
        if (!take('"')) {
            return false;
        }
        while (at_ < text_.size() && text_[at_] >= ' ' && text_[at_] <= '~') {
            if (take('"')) {
                return true;
            }
            if (take('\\')) {
                if (!escape()) {
                    return false;
                }
            } else {
                ++at_;
            }
        }
        return false;
    }
    bool members(char close, bool named, int depth) {
        space();
        if (take(close)) {
            return true;
        }
        do {
            space();
            if (named) {
                if (!string()) {
                    return false;
                }
                space();
                if (!take(':')) {
                    return false;
                }
            }
            if (!value(depth + 1)) {
                return false;
            }
        } while (take(','));
        return take(close);
    }
    bool value(int depth) {
        if (depth > kMaxDepth) {
            return false;
        }
        space();
        const bool sound = take('{')       ? members('}', true, depth)
                           : take('[')     ? members(']', false, depth)
                           : peek() == '"' ? string()
                                           : take(std::string_view{"true"}) ||
                                                 take(std::string_view{"false"}) ||
                                                 take(std::string_view{"null"}) || number();
        if (depth > 0) {
            space();
        }
        return sound;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

bool is_json_object(std::string_view text) {
    return Checker(text).whole_object();
}

}  // namespace immbackup::vault
