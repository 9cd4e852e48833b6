// The verb recover: what a crash left is finished, or, where no flag holds it, removed.

#include "vault/publish.h"
#include "vault/purge.h"

namespace immbackup::vault {

namespace {

struct Done {
    std::vector<std::string> completed;
    std::vector<std::string> resealed;
    std::vector<std::pair<std::string, std::uint64_t>> removed;
    std::uint64_t orphans = 0;
};

bool lost_a_flag(const Artifact& artifact) {
    bool lost = false;
    for (const SealedFile& file : artifact.files) {
        lost = lost || (file.state == RecordState::sound && !file.sealed());
    }
    return lost;
}

bool bears_a_flag(const Artifact& artifact) {
    bool flagged = artifact.attested;
    for (const SealedFile& file : artifact.files) {
        flagged = flagged || file.flagged;
    }
    return flagged;
}

// Removes what a publication that was cut off left of a stem: not attested, not whole, no flag,
// each file with a sound seal record, which it had before its name. What has no record of ours is
// nothing of ours to remove. False where there is no such thing.
bool discard(const Tree& tree, const Artifact& artifact, Done& done) {
    bool unsealed = !artifact.attested && !artifact.whole();
    for (const SealedFile& file : artifact.files) {
        unsealed =
            unsealed && (!file.there() || (file.state == RecordState::sound && !file.flagged));
    }
    if (!unsealed || !artifact.any()) {
        return false;
    }
    for (const FileKind kind : {FileKind::manifest, FileKind::digest, FileKind::artifact}) {
        if (artifact.file(kind).there()) {
            const std::string name = file_name(artifact.stem, kind, artifact.format);
            remove_in(tree.active(), name);
            done.removed.emplace_back(name, artifact.file(kind).size);
        }
    }
    sync(tree.active());
    return true;
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
        static_cast<void>(prove_and_attest(session, artifact, nullptr));
        done.completed.push_back(stem);
        return;
    }
    if (discard(tree, artifact, done)) {
        return;
    }
    // What a purge left on its way: sealed again, so that the kernel's time counts from now.
    if (lost_a_flag(artifact) && bears_a_flag(artifact)) {
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
        out += (out.empty() ? "" : ",") + json_string(name).value_or("\"?\"");
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
