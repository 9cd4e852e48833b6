// One connection: who calls, what they may, and their requests one after the other.
#pragma once

#include <optional>
#include <string>

#include "vault/artifacts.h"
#include "vault/channel.h"
#include "vault/config.h"
#include "vault/failure.h"
#include "vault/log.h"
#include "vault/privileges.h"
#include "vault/tree.h"

namespace immbackup::vault {

enum class Role { nobody, client, operators, root };
Role role_of(const Caller& caller, const Ids& ids);
// The whole answer to whoever is nobody, before it has asked anything.
void refuse(int out);

class Session {
  public:
    // Reads the configuration and opens the vault; where that fails, every request but `status`
    // is answered with the reason. Becomes the vault's user first, where it is not yet.
    Session(int in, int out, Caller caller, const std::string& config_path);
    // Until the end of file between two requests. False where it ended in any other way.
    bool serve();

    // For the verbs.
    Channel& in() { return in_; }
    const Tree& tree() const { return *tree_; }
    const Config& config() const { return config_; }
    const Caller& caller() const { return caller_; }
    Role role() const { return role_; }
    const std::optional<Failure>& unusable() const { return unusable_; }
    bool can_pass_descriptors() const;
    // ` key=value` fields behind an "ok".
    void ok(const std::string& fields = {}, int passed = -1) const;
    void item(const std::string& line) const;
    // The level that sealing reaches; Failure where it is none.
    Level level() const;
    // A record's whole body; `body` without braces.
    std::string with_caller(const std::string& body) const;
    // A record of the helper's own. `body` without braces.
    Appended record(const std::string& event, const std::string& body) const;

  private:
    void open(const std::string& config_path);
    bool one_request(const std::string& line);
    void check_right(const Verb& verb) const;

    int out_;
    Caller caller_;
    Channel in_;
    Config config_;
    std::optional<Tree> tree_;
    std::optional<Failure> unusable_;
    Role role_ = Role::nobody;
};

// "key":"text" and "key":number of a record's body. The text is what stands in a JSON string:
// names, times and digests do as they are, what a client says came so.
std::string member(const char* key, const std::string& text);
std::string member(const char* key, std::uint64_t number);
// ` seq=… hash=…`
std::string place(const Appended& appended);

// One function a verb; README.md says what they do.
std::string put(Session& session, const Request& request);
std::string append_record(Session& session, const Request& request);
std::string adopt(Session& session, const Request& request);
std::string purge(Session& session, const Request& request);
std::string extend(Session& session, const Request& request);
std::string hold(Session& session, const Request& request);
std::string release(Session& session, const Request& request);
std::string accept_clock(Session& session, const Request& request);
std::string status(Session& session, const Request& request);
std::string list(Session& session, const Request& request);
std::string recover(Session& session, const Request& request);

}  // namespace immbackup::vault
