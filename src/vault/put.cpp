// The verb put: the stream of one artifact, until it is sealed.

#include <algorithm>

#include "vault/kept_clock.h"
#include "vault/publish.h"

namespace immbackup::vault {

namespace {

constexpr std::uint64_t kMaxManifest = 64ULL * 1024 * 1024;

void check_names(const Session& session, const std::string& stem, const std::string& database) {
    const std::string_view token = token_of_stem(stem).value_or("");
    if (token.empty() ? database == "globals" : token != database) {
        throw Failure{Code::usage, "the database is not the one that the artifact's name says"};
    }
    const Tree& tree = session.tree();
    check_free(tree, stem);
    if (!log_exists(tree)) {
        throw Failure{Code::audit, "the vault has no audit log yet",
                      "Begin it with instance_created, or adopt the plain store's."};
    }
}

// The date of the seal: what was asked for, raised to the minimum. Where the clock jumped, the
// later of the times that may be right counts for the minimum, and the earlier for the maximum.
Millis seal_date(const Config& config, const ClockState& clock, Millis asked) {
    const Millis until = std::max(asked, clock.latest() + config.min_retention);
    if (until > clock.earliest() + config.max_retention) {
        const bool jumped = clock.earliest() != clock.latest();
        throw Failure{Code::config,
                      "the artifact would be kept until " + format_time(until) +
                          ", longer than the vault's maximum" +
                          (jumped ? ", if the clock is right: " + clock.blocked() : ""),
                      jumped ? "Set the clock right, or let an operator accept it."
                             : "Shorten the retention, or raise max_retention in the vault's "
                               "configuration."};
    }
    return until;
}

// Takes one content into an unnamed file: what is committed to is compared with what the device
// gives back. Failure(no_space) beyond `room`.
Unnamed receive(Session& session, Fd fd, std::uint64_t room, const char* what) {
    std::uint64_t size = 0;
    ReadBehind behind(fd);
    const auto take = [&](std::span<const char> block) {
        size += block.size();
        if (size > room) {
            throw Failure{Code::no_space, what, "Prune, or raise the quota."};
        }
        write_all(fd, block);
        behind.written(size);
    };
    const Commit commit = session.in().read_content(take, Channel::Check::size);
    sync(fd);
    if (behind.finish(size) != commit.sha256) {
        throw Failure{Code::corrupt, "what reads back from the device is not what the commit says",
                      "Either it was not what came, or the disk does not keep what is written."};
    }
    return {std::move(fd), commit.size, commit.sha256};
}

Unnamed checksum_file(const Tree& tree, const std::string& stem, Format format,
                      const Digest& sha256) {
    const std::string text =
        to_hex(sha256) + "  " + file_name(stem, FileKind::artifact, format) + '\n';
    Sha256 sha;
    sha.update(text);
    Unnamed file{create_unnamed(tree.active()), text.size(), sha.finish()};
    write_all(file.fd, text);
    return file;
}

// For the artifact and its manifest, beside the checksum file.
std::uint64_t room_for_one(const Session& session) {
    constexpr std::uint64_t kChecksumFile = 512;
    const Config& config = session.config();
    const Usage used = usage(session.tree());
    const bool full =
        (config.quota_bytes != 0 && used.bytes + kChecksumFile >= config.quota_bytes) ||
        (config.quota_files != 0 && used.files + kFileKinds.size() > config.quota_files);
    if (full) {
        throw Failure{Code::no_space, "the vault's quota is used up",
                      "Prune, or raise the quota in the vault's configuration."};
    }
    return config.quota_bytes == 0 ? UINT64_MAX : config.quota_bytes - used.bytes - kChecksumFile;
}

}  // namespace

std::string put(Session& session, const Request& request) {
    const std::string stem = request.text("stem");
    const std::string database = request.text("database");
    const bool wants_reader = !request.get("reader").empty();
    if (wants_reader && !session.can_pass_descriptors()) {
        throw Failure{Code::usage, "a reader needs answers to go to a Unix stream socket"};
    }
    const Format format = format_from_name(request.get("format")).value_or(Format::gzip);
    check_names(session, stem, database);
    // Where there is a quota, one at a time: what an open one takes would count for no other.
    const Config& config = session.config();
    const bool bounded = config.quota_bytes != 0 || config.quota_files != 0;
    constexpr int kPatience = 5'000;
    const Fd alone =
        bounded ? session.tree().lock(Tree::Lock::stream, Tree::Share::exclusive, kPatience) : Fd();
    const std::uint64_t room = room_for_one(session);
    const Level level = session.level();
    const ClockState clock = observe_clock(session.tree());
    const Millis until =
        seal_date(config, clock, parse_time(request.get("retain_until")).value_or(0));

    Fd fd = create_unnamed(session.tree().active());
    {
        const Fd reader = wants_reader ? reopen_to_read(fd) : Fd();
        session.ok(
            field("retain_until", format_time(until)) + field("level", level_name(level)) +
                field("min_retain_until", format_time(clock.latest() + config.min_retention)),
            reader.get());
    }
    Unnamed artifact =
        receive(session, std::move(fd), room, "the artifact does not fit into the vault's quota");
    session.ok(field("size", artifact.size) + field("sha256", to_hex(artifact.sha256)));
    Unnamed manifest =
        receive(session, create_unnamed(session.tree().active()),
                std::min(kMaxManifest, room - artifact.size),
                "the manifest is larger than 64 MiB, or than what is left of the quota");
    SealRecord seal;
    seal.stem = stem;
    seal.database = database;
    seal.retain_until = until;
    seal.sealed = sample_clocks().wall;
    seal.level = level;
    Unnamed digest = checksum_file(session.tree(), stem, format, artifact.sha256);
    const Appended said = publish(session, seal, format,
                                  {std::move(artifact), std::move(digest), std::move(manifest)});
    return field("stem", stem) + field("level", level_name(level)) +
           field("retain_until", format_time(until)) + field("sealed", format_time(seal.sealed)) +
           place(said);
}

}  // namespace immbackup::vault
