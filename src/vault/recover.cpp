// The verb recover: what a crash left is finished, or, where it never was sealed, removed.

#include "vault/kept_clock.h"
#include "vault/publish.h"
#include "vault/purge.h"

namespace immbackup::vault {

namespace {

struct Done {
    std::vector<std::string> completed;
    std::vector<std::string> resealed;
    std::vector<RemovedFile> removed;
    std::uint64_t orphans = 0;
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
        ++done.orphans;
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
        done.completed.push_back(stem);
        return;
    }
    if (discard_unsealed(tree, artifact, done.removed)) {
        return;
    }
    if (lost_a_flag(artifact)) {  // sealed again, so that the kernel's time counts from now
        flag_all(tree, artifact);
        done.resealed.push_back(stem);
    }
    if (look_at(tree, stem).state() != ArtifactState::sealed) {
        ++done.orphans;
    }
}

std::string names_list(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) {
        out += (out.empty() ? "\"" : ",\"") + name + '"';
    }
    return '[' + out + ']';
}

void say(const Session& session, const Done& done) {
    std::string removed;
    for (const auto& [name, bytes] : done.removed) {
        removed += (removed.empty() ? "{" : ",{") + member("file", "active/" + name) + ',' +
                   member("bytes", bytes) + '}';
    }
    session.record("sweep", "\"removed\":[" + removed +
                                "],\"completed\":" + names_list(done.completed) +
                                ",\"resealed\":" + names_list(done.resealed) + ",\"foreign\":[]");
}

}  // namespace

std::string recover(Session& session, const Request& /*request*/) {
    const Tree& tree = session.tree();
    const Fd publication = tree.lock(Tree::Lock::publication, Tree::Share::exclusive, 1000);
    const Fd removal = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    Done done;
    for (const std::string& stem : inventory(tree).stems) {
        try {
            recover_one(session, stem, done);
        } catch (const Failure&) {
            // A disk that is full, or a file that cannot be read, keeps nothing else from being
            // recovered, and no run from beginning.
            ++done.orphans;
        }
    }
    if (!done.completed.empty() || !done.removed.empty() || !done.resealed.empty()) {
        say(session, done);
    }
    return field("completed", done.completed.size()) + field("removed", done.removed.size()) +
           field("resealed", done.resealed.size()) + field("orphans", done.orphans);
}

}  // namespace immbackup::vault
