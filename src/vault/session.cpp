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

std::string error_line(const Failure& failure) {
    return std::string("error ") + code_name(failure.code) + ' ' +
           encode_value(failure.message.empty() ? "failed" : failure.message) +
           (failure.hint.empty() ? std::string{} : ' ' + encode_value(failure.hint));
}

}  // namespace

const std::array<Verb, 11> kVerbs{{
    {"put", " stem database retain_until ", " format reader ", true, false, put},
    {"append", " event origin ", " ", true, false, append_record},
    {"adopt", " ", " ", true, false, adopt},
    {"purge", " stem ", " reason ", true, false, purge},
    {"extend", " stem retain_until ", " ", true, true, extend},
    {"hold", " stem actor ", " reason ", true, true, hold},
    {"release", " stem actor ", " reason ", false, true, release},
    {"accept-clock", " actor ", " reason ", false, true, accept_clock},
    {"status", " ", " full ", true, true, status},
    {"list", " ", " stem ", true, true, list},
    {"recover", " ", " ", true, true, recover},
}};

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
        drop_capabilities();
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
        check_right(*request.verb);
        ok(request.verb->act(*this, request));
    } catch (const Failure& failure) {
        write_line(out_, error_line(failure));
        return in_.contents_begun() == taken;
    }
    return true;
}

void Session::check_right(const Verb& verb) const {
    if (unusable_) {
        if (verb.act == status) {
            return;  // which says why
        }
        throw *unusable_;
    }
    if (role_ != Role::root && !(role_ == Role::client && verb.client) &&
        !(role_ == Role::operators && verb.operators)) {
        throw Failure{
            Code::permission,
            "uid " + std::to_string(caller_.uid) + " may not ask that of the vault",
            verb.operators ? "A member of the vault's operator group, or root, has to do it." : ""};
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

std::string Session::with_caller(const std::string& body) const {
    return '{' + body + ',' + member("uid", std::uint64_t{caller_.uid}) + '}';
}

Appended Session::record(const std::string& event, const std::string& body) const {
    return append(*tree_, event, kOrigin, with_caller(body));
}

std::string member(const char* key, const std::string& text) {
    return '"' + std::string(key) + "\":\"" + text + '"';
}

std::string member(const char* key, std::uint64_t number) {
    return '"' + std::string(key) + "\":" + std::to_string(number);
}

std::string place(const Appended& appended) {
    return field("seq", appended.record.seq) + field("hash", appended.record.hash);
}

}  // namespace immbackup::vault
