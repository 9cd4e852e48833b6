// The plain store's class, shared by the files that implement it; everybody else uses store.h.
#pragma once

#include <array>
#include <optional>

#include "store/store.h"

namespace immbackup {

// incoming/seal-probe.<pid>: the file on which seal_level() tries what is possible.
inline constexpr std::string_view kProbePrefix = "seal-probe.";

class LocalStore final : public Store {
  public:
    explicit LocalStore(Layout layout) : layout_(std::move(layout)) {}

    const Layout& layout() const override { return layout_; }
    SealLevel seal_level() override;
    std::unique_ptr<StagedArtifact> stage(const std::string& stem, DumpFormat format) override;
    void publish(std::unique_ptr<StagedArtifact> staged, const Manifest& manifest) override;
    SweepReport sweep(const std::vector<std::string>& known) override;
    std::vector<std::string> list() const override;
    std::string manifest_text(const std::string& stem) const override;
    std::string digest_text(const std::string& stem) const override;
    std::uint64_t artifact_size(const std::string& stem) const override;
    void read_artifact(const std::string& stem,
                       const std::function<void(std::span<const std::byte>)>& sink) const override;
    Fd open_artifact(const std::string& stem) const override;
    SealLevel seal_of(const std::string& stem) const override;
    std::string stamp(const std::string& stem) const override;
    std::optional<Error> problem_of(const std::string& stem,
                                    const CancelToken& cancel) const override;
    void reseal(const std::string& stem, SealLevel level) override;
    bool has_manifest(const std::string& stem) const override;
    std::uint64_t remove(const std::string& stem) override;

  private:
    std::array<fs::path, 3> files_of(const std::string& stem) const;
    void seal_file(const fs::path& path, SealLevel level) const;
    static SealLevel seal_of_file(const fs::path& path);
    static void unseal(const fs::path& path);
    static void unseal_and_remove(const fs::path& path);
    void withdraw(const std::vector<fs::path>& placed);
    void place(const fs::path& path, const std::string& content) const;
    static void discard(const fs::path& path, const std::string& name, std::uint64_t size,
                        SweepReport& report);
    void sweep_incoming(SweepReport& report);
    void sweep_active(const std::vector<std::string>& known, SweepReport& report);
    void sweep_stem(const std::string& stem, bool known, SweepReport& report);

    Layout layout_;
    std::optional<SealLevel> level_;
};

}  // namespace immbackup
