#include "vault/artifacts.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "vault/failure.h"

namespace immbackup::vault {

namespace {

constexpr std::string_view kAttested = ".sealed";

RecordState read_record(const Fd& fd, SealRecord& record) {
    std::array<char, kMaxSealRecord> text{};
    const ssize_t size = ::fgetxattr(fd.get(), kSealAttribute, text.data(), text.size());
    if (size < 0) {
        if (errno == ENODATA || errno == ENOTSUP) {
            return RecordState::absent;
        }
        return RecordState::broken;
    }
    return parse_record({text.data(), static_cast<std::size_t>(size)}, record);
}

SealedFile look_at_file(const Tree& tree, const std::string& stem, FileKind kind, Format format) {
    SealedFile file;
    file.fd = open_in(tree.active(), file_name(stem, kind, format));
    if (!file.fd) {
        return file;
    }
    const struct stat status = status_of(file.fd);
    file.size = static_cast<std::uint64_t>(status.st_size);
    file.changed = static_cast<Millis>(status.st_ctim.tv_sec) * 1000 +
                   status.st_ctim.tv_nsec / 1'000'000 + 1;  // never earlier than it was
    file.flagged = has_flag(file.fd, Flag::immutable);
    file.state = read_record(file.fd, file.record);
    if (file.state == RecordState::sound &&
        (file.record.stem != stem || file.record.kind != kind || file.record.size != file.size ||
         status.st_uid != tree.user() || (status.st_mode & 07777) != kSealedMode)) {
        file.state = RecordState::broken;
    }
    return file;
}

// A line of records/ that only the helper can have written.
RecordState read_beside(const Tree& tree, const std::string& name, SealRecord& record) {
    const Fd fd = open_in(tree.records(), name);
    if (!fd) {
        return RecordState::absent;
    }
    if (status_of(fd).st_size > static_cast<off_t>(kMaxSealRecord)) {
        return RecordState::newer;  // no version that we know writes so much
    }
    const std::string text = read_whole(fd, kMaxSealRecord);
    return text.size() < 2 || text.back() != '\n'
               ? RecordState::broken
               : parse_record({text.data(), text.size() - 1}, record);
}

bool is_newer(const SealRecord& one, const SealRecord& other) {
    return std::tie(one.sealed, one.stem) > std::tie(other.sealed, other.stem);
}

}  // namespace

const char* state_name(ArtifactState state) {
    constexpr std::array kNames{"sealed", "unattested", "orphan", "missing", "unknown"};
    return kNames.at(static_cast<std::size_t>(state));
}

bool Artifact::whole() const {
    const SealRecord& first = files[0].record;
    return std::all_of(files.begin(), files.end(), [&](const SealedFile& file) {
        return file.state == RecordState::sound && file.record.database == first.database &&
               file.record.retain_until == first.retain_until &&
               file.record.sealed == first.sealed && file.record.level == first.level;
    });
}

bool Artifact::any() const {
    return std::any_of(files.begin(), files.end(), [](const auto& file) { return file.there(); });
}

bool Artifact::newer() const {
    return undated || std::any_of(files.begin(), files.end(), [](const auto& file) {
               return file.state == RecordState::newer;
           });
}

Level Artifact::level() const {
    if (!whole()) {
        return Level::none;
    }
    return std::all_of(files.begin(), files.end(), [](const auto& file) { return file.flagged; })
               ? Level::vault
               : Level::dac;
}

ArtifactState Artifact::state() const {
    if (newer()) {
        return ArtifactState::unknown;
    }
    if (!any()) {
        return ArtifactState::missing;
    }
    if (!whole() || level() < files[0].record.level) {
        return attested || !whole() ? ArtifactState::orphan : ArtifactState::unattested;
    }
    return attested ? ArtifactState::sealed : ArtifactState::unattested;
}

std::string attestation_name(const std::string& stem) {
    return stem + std::string(kAttested);
}

std::string hold_name(const std::string& stem) {
    return stem + ".held";
}

std::string extension_name(const std::string& stem, std::size_t number) {
    return stem + ".extended." + std::to_string(number);
}

Artifact look_at(const Tree& tree, const std::string& stem) {
    Artifact artifact;
    artifact.stem = stem;
    // A stem has files of one format: check_free() refuses a second one.
    for (const Format format : kFormats) {
        if (artifact.any()) {
            break;
        }
        artifact.format = format;
        for (const FileKind kind : kFileKinds) {
            artifact.files.at(static_cast<std::size_t>(kind)) =
                look_at_file(tree, stem, kind, format);
        }
    }
    for (const SealedFile& file : artifact.files) {
        if (file.state == RecordState::sound) {
            artifact.retain_until = std::max(artifact.retain_until, file.record.retain_until);
        }
    }
    const auto until = [&](RecordState state, const SealRecord& record) {
        // A date that nobody can read is not over.
        const bool readable = state == RecordState::sound && record.stem == stem;
        artifact.undated = artifact.undated || !readable;
        artifact.retain_until =
            std::max(artifact.retain_until, readable ? record.retain_until : kForever);
    };
    const RecordState attested = read_beside(tree, attestation_name(stem), artifact.attestation);
    artifact.attested = attested != RecordState::absent;
    if (artifact.attested) {
        until(attested, artifact.attestation);
    }
    artifact.held = exists_in(tree.records(), hold_name(stem));
    while (artifact.extensions < kMaxExtensions) {
        SealRecord extension;
        const RecordState state =
            read_beside(tree, extension_name(stem, artifact.extensions + 1), extension);
        if (state == RecordState::absent) {
            break;
        }
        ++artifact.extensions;
        until(state, extension);
    }
    return artifact;
}

void check_free(const Tree& tree, const std::string& stem) {
    bool taken = exists_in(tree.records(), attestation_name(stem));
    for (const Format format : kFormats) {
        for (const FileKind kind : kFileKinds) {
            taken = taken || exists_in(tree.active(), file_name(stem, kind, format));
        }
    }
    if (taken) {
        throw Failure{Code::exists, "the vault has files of an artifact \"" + stem + "\" already"};
    }
}

Inventory inventory(const Tree& tree) {
    Inventory out;
    for (const std::string& name : names_in(tree.active())) {
        if (auto parts = parse_file_name(name)) {
            out.stems.push_back(std::move(parts->stem));
        } else {
            out.foreign.push_back(name);
        }
    }
    for (const std::string& name : names_in(tree.records())) {
        if (name.ends_with(kAttested)) {
            out.stems.push_back(name.substr(0, name.size() - kAttested.size()));
        }
    }
    std::sort(out.stems.begin(), out.stems.end());
    out.stems.erase(std::unique(out.stems.begin(), out.stems.end()), out.stems.end());
    return out;
}

Usage usage(const Tree& tree) {
    Usage out;
    for (const std::string& name : names_in(tree.active())) {
        struct stat status {};
        if (::fstatat(tree.active().get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
            out.bytes += static_cast<std::uint64_t>(status.st_size);
            ++out.files;
        }
    }
    return out;
}

std::uint64_t newer_sealed(const Tree& tree, const SealRecord& seal, std::uint64_t enough) {
    std::uint64_t count = 0;
    const std::vector<std::string> names = names_in(tree.records());
    // Names begin with a time: the newest are mostly at the end.
    for (auto at = names.rbegin(); at != names.rend() && count < enough; ++at) {
        const std::string& name = *at;
        SealRecord other;
        if (!name.ends_with(kAttested) || name == attestation_name(seal.stem) ||
            read_beside(tree, name, other) != RecordState::sound ||
            other.database != seal.database || !is_newer(other, seal)) {
            continue;
        }
        // What is named sealed, but gone or damaged, saves nobody.
        if (look_at(tree, other.stem).state() == ArtifactState::sealed) {
            ++count;
        }
    }
    return count;
}

}  // namespace immbackup::vault
