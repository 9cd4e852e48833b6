// The verb recover: what a crash left is finished, or, where it never was sealed, removed.

#include "vault/kept_clock.h"
#include "vault/publish.h"
#include "vault/purge.h"

namespace immbackup::vault {

namespace {

// With one artifact.
struct Done {
    bool completed = false;
    bool resealed = false;
    bool orphan = false;
    std::vector<RemovedFile> removed;
};

// What a purge left on its way: of a file that lost its flag others, or the attestation, say that
// it was sealed.
bool lost_a_flag(const Artifact& artifact) {
    bool lost = false;
    bool sealed = artifact.attested;
    for (const SealedFile& file : artifact.files) {
        lost = lost || (file.state == RecordState::sound && !file.sealed());
        sealed = sealed || file.flagged;
    }
    return lost && sealed;
}

void recover_one(const Session& session, const std::string& stem, Done& done) {
    const Tree& tree = session.tree();
    const Artifact artifact = look_at(tree, stem);
    if (artifact.newer()) {
        done.orphan = true;
        return;
    }
    if (artifact.state() == ArtifactState::sealed) {
        return;
    }
    // A removal that was cut off after the last file, before its record or the attestation's end.
    if (artifact.state() == ArtifactState::missing && artifact.attested) {
        remove_artifact(session, artifact, observe_clock(tree), "nothing of it was left");
        return;
    }
    // A whole publication that was cut off before its attestation.
    if (!artifact.attested && artifact.whole()) {
        flag_all(tree, artifact);
        static_cast<void>(prove_and_attest(session, artifact, ReadFrom::device));
        done.completed = true;
        return;
    }
    if (discard_unsealed(tree, artifact, done.removed)) {
        return;
    }
    if (lost_a_flag(artifact)) {  // sealed again, so that the kernel's time counts from now
        flag_all(tree, artifact);
        done.resealed = true;
    }
    done.orphan = look_at(tree, stem).state() != ArtifactState::sealed;
}

// A record for each: what was done is told, whatever comes between that and the next.
void say(const Session& session, const std::string& stem, const Done& done) {
    if (!done.completed && !done.resealed && done.removed.empty()) {
        return;
    }
    std::string removed;
    for (const auto& [name, bytes] : done.removed) {
        removed += (removed.empty() ? "{" : ",{") + member("file", "active/" + name) + ',' +
                   member("bytes", bytes) + '}';
    }
    const auto stems = [&](bool it) { return it ? "[\"" + stem + "\"]" : "[]"; };
    session.record("sweep", "\"removed\":[" + removed + "],\"completed\":" + stems(done.completed) +
                                ",\"resealed\":" + stems(done.resealed) + ",\"foreign\":[]");
}

}  // namespace

std::string recover(Session& session, const Request& /*request*/) {
    const Tree& tree = session.tree();
    const Fd publication = tree.lock(Tree::Lock::publication, Tree::Share::exclusive, 1000);
    const Fd removal = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    std::uint64_t completed = 0;
    std::uint64_t removed = 0;
    std::uint64_t resealed = 0;
    std::uint64_t orphans = 0;
    std::optional<Failure> unsaid;
    for (const std::string& stem : inventory(tree).stems) {
        Done done;
        try {
            recover_one(session, stem, done);
        } catch (const Failure&) {
            // A disk that is full, or a file that cannot be read, keeps nothing else from being
            // recovered, and no run from beginning.
            done.orphan = true;
        }
        try {
            say(session, stem, done);
        } catch (const Failure& failure) {
            unsaid = failure;  // told when all is done that can be
        }
        completed += done.completed ? 1 : 0;
        removed += done.removed.size();
        resealed += done.resealed ? 1 : 0;
        orphans += done.orphan ? 1 : 0;
    }
    if (unsaid) {
        throw *unsaid;
    }
    return field("completed", completed) + field("removed", removed) + field("resealed", resealed) +
           field("orphans", orphans);
}

}  // namespace immbackup::vault
