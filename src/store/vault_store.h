// The vault: artifacts and log belong to another OS user, and its helper (src/vault/) is the only
// way to write them. What may be read is read from the directory itself; nothing that the helper
// says is believed where the directory can be asked. Shared by the files that implement it;
// everybody else uses store.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/local_store.h"
#include "store/store.h"
#include "store/vault_client.h"

namespace immbackup {

class VaultStore final : public Store, public Keeper {
  public:
    // `helper`: path of the program or of the socket; empty where nothing is to be written.
    VaultStore(Layout layout, std::string helper)
        : layout_(std::move(layout)),
          helper_(std::move(helper)),
          link_(helper_),
          vault_(layout_),
          plain_(layout_.plain()) {}

    const Layout& layout() const override { return layout_; }
    AuditLog open_audit(const std::string& origin) const override;
    SealLevel seal_level() override;
    std::string seal_reason() override;
    std::unique_ptr<StagedArtifact> stage(const Staging& staging) override;
    void publish(std::unique_ptr<StagedArtifact> staged, const Manifest& manifest) override;
    SweepReport sweep(const std::vector<std::string>& known) override;
    void reseal(const std::string& stem, SealLevel level) override;
    std::uint64_t remove(const std::string& stem, const std::string& reason) override;
    Keeper* keeper() override { return this; }

    bool has(const std::string& stem) const override { return !is_plain(stem); }
    VaultStatus status() override;
    VaultListing listing() override;
    Time extend(const std::string& stem, Time until) override;
    void hold(const std::string& stem, const std::string& actor,
              const std::string& reason) override;
    void release(const std::string& stem, const std::string& actor,
                 const std::string& reason) override;
    void accept_clock(const std::string& actor, const std::string& reason) override;
    std::vector<std::string> plain() const override;
    void take_in(const std::string& stem, const Manifest& manifest, Time until,
                 const CancelToken& cancel) override;
    std::uint64_t drop_plain(const std::string& stem) override;

    std::vector<std::string> list() const override;
    std::string manifest_text(const std::string& stem) const override {
        return at(stem).manifest_text(stem);
    }
    std::string digest_text(const std::string& stem) const override {
        return at(stem).digest_text(stem);
    }
    std::uint64_t artifact_size(const std::string& stem) const override {
        return at(stem).artifact_size(stem);
    }
    void read_artifact(const std::string& stem,
                       const std::function<void(std::span<const std::byte>)>& sink) const override {
        at(stem).read_artifact(stem, sink);
    }
    Fd open_artifact(const std::string& stem) const override {
        return at(stem).open_artifact(stem);
    }
    SealLevel seal_of(const std::string& stem) const override;
    std::string stamp(const std::string& stem) const override { return at(stem).stamp(stem); }
    std::optional<Error> problem_of(const std::string& stem,
                                    const CancelToken& cancel) const override {
        return at(stem).problem_of(stem, cancel);
    }
    bool has_manifest(const std::string& stem) const override {
        return at(stem).has_manifest(stem);
    }
    bool complete(const std::string& stem) const override { return at(stem).complete(stem); }

  private:
    // Where an artifact is kept: the plain store has it until it is imported.
    bool is_plain(const std::string& stem) const {
        return !vault_.has_manifest(stem) && plain_.has_manifest(stem);
    }
    const LocalStore& at(const std::string& stem) const { return is_plain(stem) ? plain_ : vault_; }

    VaultListing list_items(const std::string& request);
    void recover();

    Layout layout_;
    std::string helper_;
    VaultLink link_;    // for what needs no content
    LocalStore vault_;  // what reads; what writes goes through the helper
    LocalStore plain_;  // the plain store that was here before
};

}  // namespace immbackup
