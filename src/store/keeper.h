// The vault as its client sees it (docs/vault.md, src/vault/README.md): another OS user, who keeps
// artifacts and decides himself what becomes of them. What he does he records himself, in the same
// audit log; his refusals are Error(permission) with the reason.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/manifest.h"
#include "core/seal_level.h"
#include "core/time.h"
#include "io/cancel.h"

namespace immbackup {

struct VaultStatus {
    SealLevel level = SealLevel::none;
    std::string reason;  // why it is not `vault`; empty where it is
    std::string version;
    std::string clock;  // "trusted", "waiting", "blocked"
    std::string clock_reason;
    std::string caller;  // what this process may do: "root", "client", "operator"
    bool log = false;    // there is an audit log
    std::chrono::seconds min_retention{0};
    std::chrono::seconds max_retention{0};
    std::chrono::seconds max_extension{0};  // from now, in one call
    std::uint64_t keep_newest = 0;
    std::uint64_t quota_bytes = 0;  // 0: none
    std::uint64_t quota_files = 0;
    std::uint64_t quota_log = 0;
    std::uint64_t used_bytes = 0;
    std::uint64_t used_files = 0;
    std::uint64_t used_log = 0;
};

// One artifact as the vault has it.
struct VaultItem {
    std::string stem;
    std::string state;  // "sealed", "unattested", "orphan", "missing", "unknown"
    SealLevel level = SealLevel::none;
    bool held = false;
    std::string retain_until;  // as in records; empty where it cannot be read
    std::string sealed;
};

struct VaultListing {
    std::vector<VaultItem> artifacts;
    std::vector<std::string> foreign;  // names that are none of ours
};

class Keeper {
  public:
    virtual ~Keeper() = default;
    // Is it the vault's? Otherwise it is still in the plain store that was there before.
    virtual bool has(const std::string& stem) const = 0;
    virtual VaultStatus status() = 0;
    virtual VaultListing listing() = 0;
    // The vault's date becomes this one, or the latest that its bounds allow; never an earlier one.
    // Returns the date it has then.
    virtual Time extend(const std::string& stem, Time until) = 0;
    virtual void hold(const std::string& stem, const std::string& actor,
                      const std::string& reason) = 0;
    // For root and the operators' group alone, as is accept_clock().
    virtual void release(const std::string& stem, const std::string& actor,
                         const std::string& reason) = 0;
    virtual void accept_clock(const std::string& actor, const std::string& reason) = 0;
    // The artifacts that are still in the plain store.
    virtual std::vector<std::string> plain() const = 0;
    // Copies one of them into the vault, byte for byte, sealed for `until` within the vault's
    // bounds. Error(corrupt) where its files do not agree. It is in both then.
    virtual void take_in(const std::string& stem, const Manifest& manifest, Time until,
                         const CancelToken& cancel) = 0;
    // Removes the copy in the plain store of what the vault has. Returns the bytes freed.
    virtual std::uint64_t drop_plain(const std::string& stem) = 0;
};

}  // namespace immbackup
