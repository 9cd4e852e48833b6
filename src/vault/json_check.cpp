#include "vault/json_check.h"

#include <string>

namespace immbackup::vault {

namespace {

// Each takes what it is called after from the front of what is left, or is false.
class Reader {
  public:
    Reader(std::string_view text, Surrogates surrogates, bool takes_nul)
        : left_(text), surrogates_(surrogates), takes_nul_(takes_nul) {}
    bool done() const { return left_.empty(); }

    bool string() {
        if (!any_of("\"")) {
            return false;
        }
        while (!any_of("\"")) {
            if (any_of("\\") ? !escaped() : !printable()) {
                return false;
            }
        }
        return true;
    }
    bool object() { return any_of("{") && members("}", true, 0); }

  private:
    static constexpr int kMaxDepth = 64;

    bool any_of(std::string_view characters) {
        const bool found = !done() && characters.find(left_.front()) != std::string_view::npos;
        left_.remove_prefix(found ? 1 : 0);
        return found;
    }
    bool word(std::string_view word) {
        const bool found = left_.starts_with(word);
        left_.remove_prefix(found ? word.size() : 0);
        return found;
    }
    bool printable() {
        const bool found = !done() && left_.front() >= ' ' && left_.front() <= '~';
        left_.remove_prefix(found ? 1 : 0);
        return found;
    }
    // Behind its backslash. Of surrogates (RFC 8259, 7) only a pair, unless lone ones are taken:
    // other readers refuse those.
    bool escaped() {
        if (!any_of("u")) {
            return any_of("\"\\/bfnrt");
        }
        if (surrogates_ == Surrogates::lone || !any_of("dD")) {
            return (takes_nul_ || !left_.starts_with("0000")) && hex(4);
        }
        if (any_of("01234567")) {
            return hex(2);
        }
        return any_of("89abAB") && hex(2) && word("\\u") && any_of("dD") && any_of("cdefCDEF") &&
               hex(2);
    }
    bool hex(int count) {
        while (count > 0 && any_of("0123456789abcdefABCDEF")) {
            --count;
        }
        return count == 0;
    }
    // False where there are none.
    bool all_of(std::string_view characters) {
        const std::size_t before = left_.size();
        while (any_of(characters)) {
        }
        return left_.size() < before;
    }
    bool number() {
        constexpr std::string_view kDigits = "0123456789";
        static_cast<void>(any_of("-"));
        if ((!any_of("0") && !all_of(kDigits)) || (any_of(".") && !all_of(kDigits))) {
            return false;
        }
        if (!any_of("eE")) {
            return true;
        }
        static_cast<void>(any_of("+-"));
        return all_of(kDigits);
    }
    bool name() {
        if (!string()) {
            return false;
        }
        all_of(" ");
        return any_of(":");
    }
    // Of an object, named, or an array; what opens it has been taken.
    bool members(std::string_view close, bool named, int depth) {
        all_of(" ");
        if (any_of(close)) {
            return true;
        }
        do {
            all_of(" ");
            if ((named && !name()) || depth >= kMaxDepth || !value(depth + 1)) {
                return false;
            }
        } while (any_of(","));
        return any_of(close);
    }
    bool value(int depth) {
        all_of(" ");
        const bool sound = any_of("{")   ? members("}", true, depth)
                           : any_of("[") ? members("]", false, depth)
                           : left_.starts_with('"')
                               ? string()
                               : word("true") || word("false") || word("null") || number();
        all_of(" ");
        return sound;
    }

    std::string_view left_;
    Surrogates surrogates_;
    bool takes_nul_;
};

}  // namespace

bool is_json_object(std::string_view text, Surrogates surrogates) {
    Reader reader(text, surrogates, true);
    return reader.object() && reader.done();
}

bool is_json_text(std::string_view text) {
    const std::string quoted = '"' + std::string(text) + '"';
    Reader reader(quoted, Surrogates::pairs, false);
    return reader.string() && reader.done();
}

}  // namespace immbackup::vault
