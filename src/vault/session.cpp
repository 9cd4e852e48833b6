#include "vault/session.h"

#include <algorithm>
#include <array>

namespace immbackup::vault {

Role role_of(const Caller& caller, const Ids& ids) {
    if (caller.uid == 0) {
        return Role::root;
    }
    // Whatever its groups: who is to be held back shall not let itself go.
    if (caller.uid == ids.client) {
        return Role::client;
    }
    const bool is_operator =
        ids.has_operators &&
        std::find(caller.groups.begin(), caller.groups.end(), ids.operators) != caller.groups.end();
    return is_operator ? Role::operators : Role::nobody;
}

namespace {

constexpr const char* kGreeting = "immbackup-vault 1 " IMMBACKUP_VERSION;

// Who may ask what, and what does it, in the order of Verb.
struct Right {
    bool client;
    bool operators;
    bool takes_content;
    std::string (*act)(Session&, const Request&);
};
constexpr std::array<Right, 11> kRights{{
    {true, false, true, put},
    {true, false, true, append_record},
    {true, false, true, adopt},
    {true, false, false, purge},
    {true, true, false, extend},
    {true, true, false, hold},
    {false, true, false, release},
    {false, true, false, accept_clock},
    {true, true, false, status},
    {true, true, false, list},
    {true, true, false, recover},
}};

const Right& right_of(Verb verb) {
    return kRights.at(static_cast<std::size_t>(verb));
}

std::string error_line(const Failure& failure) {
    return std::string("error ") + code_name(failure.code) + ' ' +
           encode_value(failure.message.empty() ? "failed" : failure.message) +
           (failure.hint.empty() ? std::string{} : ' ' + encode_value(failure.hint));
}

}  // namespace

void refuse(int out) {
    try {
        write_line(out, kGreeting);
        write_line(out, error_line({Code::permission, "this user may ask nothing of the vault",
                                    "A member of the vault's operator group, or root, may."}));
    } catch (const Hangup&) {
    }
}

Session::Session(int in, int out, Caller caller, const std::string& config_path)
    : out_(out), caller_(std::move(caller)), in_(reader_of(in)) {
    try {
        open(config_path);
    } catch (const Failure& failure) {
        unusable_ = failure;
    }
}

void Session::open(const std::string& config_path) {
    config_ = parse_config(read_safe_file(config_path, kMaxConfig));
    const Ids ids = look_up(config_);
    role_ = role_of(caller_, ids);
    if (!become(ids.user, ids.user_group)) {
        throw Failure{Code::permission,
                      "the helper does not run as \"" + config_.user +
                          "\": set-uid does nothing under no_new_privs or on a nosuid mount, or is "
                          "not set",
                      "`make install-vault` sets it; where it cannot work, run the helper as a "
                      "service: docs/vault.md."};
    }
    if (!writes_whole_files()) {
        throw Failure{Code::config,
                      "the caller's limit on the size of files (RLIMIT_FSIZE) would cut what is "
                      "written",
                      "Take the limit away: LimitFSIZE=infinity, ulimit -f unlimited."};
    }
    tree_.emplace(config_, ids);
}

bool Session::serve() {
    try {
        write_line(out_, kGreeting);
        for (;;) {
            const auto line = in_.read_request();
            if (!line) {
                return true;
            }
            if (!one_request(*line)) {
                return false;
            }
        }
    } catch (const Hangup&) {
        return false;
    } catch (const Failure& failure) {
        try {
            write_line(out_, error_line(failure));
        } catch (const Hangup&) {
        }
        return false;
    }
}

// False where the connection ends: an error came while content was being taken, or the grammar was
// broken, so that nobody knows where the next request begins.
bool Session::one_request(const std::string& line) {
    const Request request = parse_request(line);
    const std::uint64_t taken = in_.contents_begun();
    try {
        check_right(request.verb);
        ok(right_of(request.verb).act(*this, request));
    } catch (const Failure& failure) {
        write_line(out_, error_line(failure));
        return !right_of(request.verb).takes_content || in_.contents_begun() == taken;
    }
    return true;
}

void Session::check_right(Verb verb) const {
    if (unusable_) {
        if (verb == Verb::status) {
            return;  // which says why
        }
        throw *unusable_;
    }
    const Right& right = right_of(verb);
    if (role_ != Role::root && !(role_ == Role::client && right.client) &&
        !(role_ == Role::operators && right.operators)) {
        throw Failure{Code::permission,
                      "uid " + std::to_string(caller_.uid) + " may not ask that of the vault",
                      right.operators
                          ? "A member of the vault's operator group, or root, has to do it."
                          : ""};
    }
}

bool Session::can_pass_descriptors() const {
    return is_unix_socket(out_);
}

void Session::ok(const std::string& fields, int passed) const {
    write_line(out_, "ok" + fields, passed);
}

void Session::item(const std::string& line) const {
    write_line(out_, line);
}

Level Session::level() const {
    std::string why;
    return tree_->level(why);
}

Appended Session::record(const std::string& event, const std::string& body) const {
    return append(*tree_, event, kOrigin,
                  '{' + body + ',' + member("uid", static_cast<std::uint64_t>(caller_.uid)) + '}');
}

std::string member(const char* key, const std::string& text) {
    return '"' + std::string(key) + "\":" + json_string(text).value_or("\"?\"");
}

std::string member(const char* key, std::uint64_t number) {
    return '"' + std::string(key) + "\":" + std::to_string(number);
}

std::string place(const Appended& appended) {
    return field("seq", appended.record.seq) + field("hash", appended.record.hash);
}

}  // namespace immbackup::vault
