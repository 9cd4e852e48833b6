// The verb purge, and whatever else makes use of removal.h for what is sealed or says so.

#include "vault/purge.h"

#include "vault/kept_clock.h"
#include "vault/removal.h"

namespace immbackup::vault {

namespace {

[[noreturn]] void refuse_purge(const std::string& stem, const std::string& why,
                               const std::string& hint = {}) {
    throw Failure{Code::permission, "\"" + stem + "\" stays: " + why, hint};
}

void check_file(const Session& session, const SealedFile& file, const std::string& stem,
                Millis now) {
    if (file.state == RecordState::newer) {
        refuse_purge(stem, "its seal record is of a newer version than this helper knows");
    }
    if (file.state != RecordState::sound) {
        refuse_purge(stem, "its seal record is not sound");
    }
    if (!file.sealed()) {
        refuse_purge(stem, "a file of it has lost its flag", "The verb recover gives it again.");
    }
    // The kernel set ctime when the flag was set, and nobody can forge it under the flag.
    const Millis frozen = file.changed + session.config().min_retention;
    if (now < frozen) {
        refuse_purge(stem,
                     "it was sealed too short a time ago, and may go at " + format_time(frozen));
    }
}

void check_all(const Session& session, const Artifact& artifact, const ClockState& clock) {
    const std::string& stem = artifact.stem;
    if (!artifact.any() && !artifact.attested) {
        throw Failure{Code::not_found, "the vault has no artifact \"" + stem + "\""};
    }
    if (artifact.held) {
        refuse_purge(stem, "it is held", "An operator can release it.");
    }
    for (const SealedFile& file : artifact.files) {
        if (file.there()) {
            check_file(session, file, stem, clock.wall);
        }
    }
    if (artifact.undated) {
        refuse_purge(stem,
                     "a record of it cannot be read, so that nobody knows how long it is kept");
    }
    if (clock.wall < artifact.retain_until) {
        refuse_purge(stem, "it is sealed until " + format_time(artifact.retain_until));
    }
    // Also of one that only lacks its attestation, which recover makes; parts of one are no backup.
    const std::uint64_t keep = session.config().keep_newest;
    const SealRecord& seal =
        artifact.attested ? artifact.attestation : artifact.file(FileKind::artifact).record;
    if ((artifact.attested || artifact.whole()) &&
        newer_sealed(session.tree(), seal, keep) < keep) {
        refuse_purge(stem, "it is one of the newest " + std::to_string(keep) + " of its database");
    }
    if (const std::string why = clock.blocked(); !why.empty()) {
        refuse_purge(stem, "the clock is not trusted: " + why, "An operator can accept the clock.");
    }
}

void remove_file(const Tree& tree, const Artifact& artifact, FileKind kind) {
    const SealedFile& file = artifact.file(kind);
    if (!file.there()) {
        return;
    }
    if (file.flagged && !lift_flag(file.fd)) {
        throw Failure{Code::permission, "the immutable flag cannot be lifted here"};
    }
    remove_in(tree.active(), file_name(artifact.stem, kind, artifact.format));
}

void remove_record(const Tree& tree, const std::string& name) {
    if (const Fd fd = open_in(tree.records(), name)) {
        static_cast<void>(lift_flag(fd));
        remove_in(tree.records(), name);
    }
}

// The artifact goes last: while it stands, it says by itself until when it had to.
void remove_files(const Tree& tree, const Artifact& artifact) {
    remove_file(tree, artifact, FileKind::manifest);
    remove_file(tree, artifact, FileKind::digest);
    sync(tree.active());
    remove_file(tree, artifact, FileKind::artifact);
    sync(tree.active());
}

// After all that it is about, and after the log says so: until then a removal that was cut off can
// be asked for again.
void remove_records(const Tree& tree, const Artifact& artifact) {
    for (std::size_t number = artifact.extensions; number > 0; --number) {
        remove_record(tree, extension_name(artifact.stem, number));
    }
    sync(tree.records());
    // One that was not there is not of what was removed, but of what has been sealed since.
    if (artifact.attested) {
        remove_record(tree, attestation_name(artifact.stem));
    }
    sync(tree.records());
}

}  // namespace

Removed remove_artifact(const Session& session, const Artifact& artifact, const ClockState& clock,
                        const std::string& reason) {
    check_all(session, artifact, clock);
    std::uint64_t bytes = 0;
    for (const SealedFile& file : artifact.files) {
        bytes += file.size;
    }
    const std::string about = member("artifact", artifact.stem) + ',';
    const std::string why = member("reason", reason);
    session.record("prune_intended", about + why);
    remove_files(session.tree(), artifact);
    const Appended said =
        session.record("artifact_pruned", about + member("bytes", bytes) + ',' + why);
    remove_records(session.tree(), artifact);
    return {bytes, said};
}

bool discard_unsealed(const Tree& tree, const Artifact& artifact,
                      std::vector<RemovedFile>& removed) {
    bool unsealed = !artifact.attested && !artifact.whole() && !artifact.held;
    for (const SealedFile& file : artifact.files) {
        unsealed =
            unsealed && (!file.there() || (file.state == RecordState::sound && !file.flagged));
    }
    if (!unsealed || !artifact.any()) {
        return false;
    }
    for (const FileKind kind : {FileKind::manifest, FileKind::digest, FileKind::artifact}) {
        if (artifact.file(kind).there()) {
            remove_file(tree, artifact, kind);
            removed.push_back(
                {file_name(artifact.stem, kind, artifact.format), artifact.file(kind).size});
        }
    }
    sync(tree.active());
    return true;
}

void check_releasable(const Fd& hold) {
    if (has_flag(hold, Flag::immutable) && !has_immutable_capability()) {
        throw Failure{Code::permission, "the immutable flag cannot be lifted here"};
    }
}

void remove_hold(const Tree& tree, const std::string& stem) {
    remove_record(tree, hold_name(stem));
    sync(tree.records());
}

std::string purge(Session& session, const Request& request) {
    const Tree& tree = session.tree();
    const ClockState clock = observe_clock(tree);
    // Not while something is recovered; and one at a time, or two removals could each take the
    // other's artifact for the one that stays.
    const Fd no_recovery = tree.lock(Tree::Lock::publication, Tree::Share::shared);
    const Fd lock = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    const Removed removed = remove_artifact(session, look_at(tree, request.text("stem")), clock,
                                            request.text("reason"));
    return field("bytes", removed.bytes) + place(removed.said);
}

}  // namespace immbackup::vault
