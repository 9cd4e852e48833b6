// One connection to the vault's helper (src/vault/README.md has the protocol): a program that is
// started with a socket as its standard input and output, or a service behind a socket. Whatever
// the other end does (nothing, garbage, dying in the middle, another version), a call ends within
// its time with an Error, and the connection is of no more use.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "io/fd.h"
#include "io/process.h"
#include "store/vault_answer.h"

namespace immbackup {

inline constexpr int kVaultProtocol = 1;
inline constexpr std::size_t kMaxVaultAnswer = 64 * 1024;

class VaultClient {
  public:
    // How long an answer may take that needs no reading of whole artifacts.
    static constexpr int kAnswerMs = 60'000;
    // How long content may find no taker: a disk may be slow.
    static constexpr int kStallMs = 300'000;

    // Starts `helper`, or connects to it where it is a socket. Error(config) where there is none,
    // Error(version) where it speaks another protocol.
    explicit VaultClient(std::string helper, int timeout_ms = kAnswerMs);
    ~VaultClient();
    VaultClient(const VaultClient&) = delete;
    VaultClient& operator=(const VaultClient&) = delete;

    // One request without content.
    VaultAnswer ask(std::string_view request, int timeout_ms = kAnswerMs);
    // One whose answer has items before its end: each is given without its first word.
    using Item = std::function<void(std::string_view kind, const VaultAnswer& fields)>;
    VaultAnswer ask(std::string_view request, const Item& each);
    // Content, in pieces, and its end: only then it counts. An error that the helper answers in the
    // middle is thrown by whoever meets it.
    void write_content(std::span<const std::byte> bytes);
    void commit(std::uint64_t size, std::string_view sha256);
    VaultAnswer read_answer(int timeout_ms = kAnswerMs);

    // Whatever waits ends with the token's reason where it is cancelled. It outlives this, or is
    // taken back by null.
    void watch(const CancelToken* cancel) { cancel_ = cancel; }

    // What it says of itself when the connection begins, behind its version.
    const std::string& greeting() const { return greeting_; }
    // Nothing has gone wrong, and the other end has not closed it meanwhile.
    bool usable() const;

  private:
    void take_greeting(int timeout_ms);
    std::optional<ExitStatus> close();
    void write(std::span<const std::byte> bytes, std::span<const std::byte> more = {});
    void write_line(std::string_view request);
    void check_usable();
    std::string read_line(std::uint64_t deadline);
    void receive(std::uint64_t deadline);
    bool wait_for(short events, std::uint64_t deadline, short& ready);
    [[noreturn]] void fail(ErrorCode code, const std::string& what, const std::string& detail,
                           const std::string& hint = {});
    [[noreturn]] void fail_closed();

    std::string helper_;
    std::optional<Child> child_;
    Fd socket_;
    Fd descriptor_;  // received, and not given out yet
    std::string input_;
    std::string greeting_;
    const CancelToken* cancel_ = nullptr;
    bool in_content_ = false;  // the next answer is to content
    bool broken_ = false;
};

// A connection for requests that come now and then. One that was idle may have been closed
// meanwhile, as by a restart of the service: then a request goes once more, by a new one. So every
// request must do no harm when it comes twice.
class VaultLink {
  public:
    explicit VaultLink(std::string helper) : helper_(std::move(helper)) {}

    // The first answer to a request; content goes by client().
    VaultAnswer ask(std::string_view request, int timeout_ms = VaultClient::kAnswerMs);
    VaultAnswer ask(std::string_view request, const VaultClient::Item& each);
    VaultClient& client();

  private:
    template <class Ask>
    VaultAnswer attempt(const Ask& ask);

    std::string helper_;
    std::unique_ptr<VaultClient> client_;
};

}  // namespace immbackup
