// The local store: where artifacts come to be, are sealed, and are found again. Two do it: the
// plain one, in files of this OS user, and the vault, in files of another one (docs/vault.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/manifest.h"
#include "core/seal_level.h"
#include "core/settings.h"
#include "io/cancel.h"
#include "io/file.h"
#include "store/artifact_source.h"
#include "store/audit_log.h"
#include "store/keeper.h"
#include "store/layout.h"

namespace immbackup {

// An artifact being written. Dropping it discards what was written.
class StagedArtifact {
  public:
    virtual ~StagedArtifact() = default;
    virtual void write(std::span<const std::byte> bytes) = 0;  // hashes as it goes
    // fsync; every byte is read back from the device, once, after it was written out there and
    // dropped from the page cache, and hashed again: Error(corrupt) where the digests differ. What
    // was written out long ago may have been read back already.
    virtual void prove(const CancelToken& cancel) = 0;
    virtual std::uint64_t size() const = 0;
    // A descriptor of its own, to read what is written while it grows; it stays good after the
    // file is published.
    virtual Fd reader() const = 0;
    virtual std::string sha256() const = 0;  // after prove()
    // Until when the store keeps it in any case once it is published; after the first write.
    // Nothing where the store makes no such promise.
    virtual std::optional<Time> promised() const { return std::nullopt; }
};

struct Staging {
    std::string stem;
    DumpFormat format = DumpFormat::gzip;  // how what is written is compressed
    // For a store that seals with a date, known before the first byte: whose artifact it is, as it
    // stands in a stem (core/names.h), and how long it is to be kept, from its first byte on.
    std::string subject;
    std::chrono::seconds keep{0};
    const CancelToken* cancel = nullptr;  // ends what waits for the store; outlives the artifact
};

struct SweepReport {
    struct Removed {
        std::string file;
        std::uint64_t bytes = 0;
    };
    std::vector<Removed> removed;  // from incoming/, and unsealed leftovers of a publication
    std::vector<std::string>
        completed;                     // stems whose publication was finished (sealing, recording)
    std::vector<std::string> foreign;  // files that are none of ours: reported, never touched
    bool empty() const { return removed.empty() && completed.empty() && foreign.empty(); }
};

class Store : public ArtifactSource {
  public:
    virtual const Layout& layout() const = 0;
    // The audit log, for writing. Error(audit).
    virtual AuditLog open_audit(const std::string& origin) const = 0;
    // What publish() will reach, found out by trying on a file of its own.
    virtual SealLevel seal_level() = 0;
    // Why that is no more, a sentence.
    virtual std::string seal_reason() = 0;
    virtual std::unique_ptr<StagedArtifact> stage(const Staging& staging) = 0;
    // Artifact, checksum file, manifest, in this order, never over a name; folder fsynced; all
    // three sealed at the level that the manifest states (Error(permission) and nothing published
    // otherwise).
    virtual void publish(std::unique_ptr<StagedArtifact> staged, const Manifest& manifest) = 0;
    // Leftovers of processes that died. Call with the directory lock held. `known` says whether the
    // audit log has the stem as sealed: a complete one it does not know is completed, not removed.
    virtual SweepReport sweep(const std::vector<std::string>& known) = 0;
    virtual Fd open_artifact(const std::string& stem) const = 0;
    virtual SealLevel seal_of(const std::string& stem) const = 0;  // the weakest of the three files
    // What the three files look like from outside (number, size, times): it changes with whatever
    // is done to one of them, so that what bears the same stamp need not be read again.
    virtual std::string stamp(const std::string& stem) const = 0;
    // What is wrong with the three files: Error(not_found) where one is gone, Error(corrupt) where
    // they do not agree; reads the artifact. Throws what says nothing about them.
    virtual std::optional<Error> problem_of(const std::string& stem,
                                            const CancelToken& cancel) const = 0;
    // Seals what was unsealed, at `level` or as high as possible.
    virtual void reseal(const std::string& stem, SealLevel level) = 0;
    virtual bool has_manifest(const std::string& stem) const = 0;
    virtual bool complete(const std::string& stem) const = 0;  // all three files are there
    // Unseals and removes, or has it removed by the vault, which may refuse (Error(permission)):
    // the manifest first, so that what a crash leaves is no backup. What is
    // not there any more is no error. Returns the bytes that were freed.
    virtual std::uint64_t remove(const std::string& stem, const std::string& reason) = 0;
    // The vault behind this store; null where it is the plain one.
    virtual Keeper* keeper() { return nullptr; }
};

// The store that the settings name, for writing. Error(config) with what helps where the directory
// is missing, not usable, or of the other kind.
std::unique_ptr<Store> open_store(const Settings& settings);
// The plain store in a directory of this OS user. Makes the folders (mode 0700) where they are
// missing; Error(config) with the command that helps as hint where the root is missing or not
// usable.
std::unique_ptr<Store> open_local_store(const std::string& directory);
// A store of either kind to look into: nothing is made or checked beyond that there is one, so that
// a copy on a read-only file system, or of another owner, can be listed, verified and restored
// from. Only for const use. `vault_helper`: what a vault's audit log is written through, if at all.
std::unique_ptr<Store> open_store_for_reading(const std::string& directory,
                                              const std::string& vault_helper = {});
// The check of open_local_store() alone, without changing anything: why the directory cannot be
// used.
std::optional<Error> directory_problem(const std::string& directory);

}  // namespace immbackup
