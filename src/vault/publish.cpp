#include "vault/publish.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>

#include "vault/clock.h"

namespace immbackup::vault {

namespace {

// The record and the mode, while the file still has no name. From here on its owner, too, can
// write neither content nor attributes by opening it anew.
void finish(const Unnamed& file, const SealRecord& record) {
    const std::string text = format_record(record);
    if (::fsetxattr(file.fd.get(), kSealAttribute, text.data(), text.size(), XATTR_CREATE) != 0) {
        throw system_failure(errno, "set the seal record");
    }
    if (::fchmod(file.fd.get(), kSealedMode) != 0) {
        throw system_failure(errno, "set the mode of a sealed file");
    }
}

// The stem once more, since others may have published meanwhile, and all three names, the
// manifest's last: who sees it sees the rest, after a power failure too.
void link_all(const Tree& tree, const std::string& stem, Format format,
              const std::array<Unnamed, 3>& files) {
    const Fd lock = tree.lock(Tree::Lock::log, Tree::Share::exclusive);
    check_free(tree, stem);
    for (const FileKind kind : kFileKinds) {
        if (kind == FileKind::manifest) {
            sync(tree.active());
        }
        link_file(files.at(static_cast<std::size_t>(kind)).fd, tree.active(),
                  file_name(stem, kind, format));
    }
    sync(tree.active());
}

// What stands under the names is what was written: nobody else can have put a file there, but a
// sealed artifact is worth a look.
void check_same(const Artifact& artifact, const std::array<Unnamed, 3>& files) {
    for (std::size_t i = 0; i < files.size(); ++i) {
        const struct stat written = status_of(files.at(i).fd);
        if (!artifact.files.at(i).there()) {
            throw Failure{Code::io, "a file of the artifact is gone"};
        }
        const struct stat named = status_of(artifact.files.at(i).fd);
        if (written.st_ino != named.st_ino || written.st_dev != named.st_dev) {
            throw Failure{Code::io, "a file of the artifact was replaced"};
        }
    }
}

void flag_file(const SealedFile& file) {
    if (file.record.level == Level::vault && !file.flagged &&
        (!set_flag(file.fd, Flag::immutable) || !has_flag(file.fd, Flag::immutable))) {
        Failure failure = system_failure(errno, "set the immutable flag");
        failure.code = Code::permission;
        throw failure;
    }
}

void check_content(const SealedFile& file, ReadFrom from) {
    if (!reads_back(file.fd, file.record.size, file.record.sha256, from)) {
        throw Failure{Code::corrupt,
                      std::string("the ") + kind_name(file.record.kind) + " of \"" +
                          file.record.stem + "\" does not read back as it was written",
                      "Check the disk and its file system."};
    }
}

}  // namespace

// All are changed before the first is synced: a file system with a journal then writes it once.
void flag_all(const Tree& tree, const Artifact& artifact) {
    for (const SealedFile& file : artifact.files) {
        if (file.there()) {
            flag_file(file);
        }
    }
    for (const SealedFile& file : artifact.files) {
        if (file.there()) {
            sync(file.fd);
        }
    }
    sync(tree.active());
}

Appended prove_and_attest(const Session& session, const Artifact& artifact, ReadFrom from) {
    const Tree& tree = session.tree();
    if (!artifact.whole()) {
        throw Failure{Code::corrupt, "the seal records of \"" + artifact.stem + "\" do not agree"};
    }
    for (const SealedFile& file : artifact.files) {
        check_content(file, from);
    }
    const SealRecord& seal = artifact.file(FileKind::artifact).record;
    const ClockSample clock = sample_clocks();
    const Appended said = session.record(
        "vault_sealed",
        member("artifact", seal.stem) + ',' + member("database", seal.database) + ',' +
            member("retain_until", format_time(seal.retain_until)) + ',' +
            member("sealed", format_time(seal.sealed)) + ',' + member("size", seal.size) + ',' +
            member("sha256", seal.sha256) + ',' +
            member("manifest_sha256", artifact.file(FileKind::manifest).record.sha256) + ',' +
            member("level", level_name(seal.level)) +
            (from == ReadFrom::cache ? "" : ",\"recovered\":true") + ',' +
            member("boot_id", clock.boot_id) + ',' +
            member("monotonic_ms", static_cast<std::uint64_t>(clock.monotonic)));
    put_sealed(tree.records(), attestation_name(seal.stem), format_record(seal) + '\n',
               seal.level == Level::vault);
    return said;
}

Appended publish(const Session& session, const SealRecord& seal, Format format,
                 std::array<Unnamed, 3> files) {
    const Tree& tree = session.tree();
    for (const FileKind kind : kFileKinds) {
        const Unnamed& file = files.at(static_cast<std::size_t>(kind));
        SealRecord record = seal;
        record.kind = kind;
        record.size = file.size;
        record.sha256 = to_hex(file.sha256);
        finish(file, record);
    }
    for (const Unnamed& file : files) {
        sync(file.fd);
    }
    // Shared: several may publish; recovery and removal wait.
    const Fd lock = tree.lock(Tree::Lock::publication, Tree::Share::shared);
    link_all(tree, seal.stem, format, files);
    const Artifact artifact = look_at(tree, seal.stem);
    check_same(artifact, files);
    files = {};  // no descriptor that can write is left when the flags are set
    flag_all(tree, artifact);
    return prove_and_attest(session, artifact, ReadFrom::cache);
}

}  // namespace immbackup::vault
