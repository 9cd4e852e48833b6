// One `put` of the vault's protocol: the three files of an artifact, streamed into the helper.
// Nothing of it is there before publish() returned; dropping it discards it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "core/digest.h"
#include "core/seal_level.h"
#include "core/time.h"
#include "store/store.h"
#include "store/vault_client.h"

namespace immbackup {

class VaultPut final : public StagedArtifact {
  public:
    // `latest`: the vault takes no date later than so long from now.
    VaultPut(std::string helper, Staging staging, std::chrono::seconds latest);

    // The first one begins the transaction: the date counts from there.
    void write(std::span<const std::byte> bytes) override;
    // The helper has all of it on the disk, with this digest. It is read back when it is sealed.
    void prove(const CancelToken& cancel) override;
    std::uint64_t size() const override { return size_; }
    Fd reader() const override;
    std::string sha256() const override { return sha256_; }
    std::optional<Time> promised() const override { return promised_; }

    const std::string& stem() const { return staging_.stem; }
    // Error(permission) where it was sealed weaker than `level`.
    void publish(const std::string& manifest, SealLevel level);

  private:
    void begin();
    int patience_ms() const;

    std::string helper_;
    Staging staging_;
    std::chrono::seconds latest_;
    std::unique_ptr<VaultClient> client_;
    Fd reader_;
    Sha256 digest_;
    std::uint64_t size_ = 0;
    std::string sha256_;
    std::optional<Time> promised_;
};

}  // namespace immbackup
