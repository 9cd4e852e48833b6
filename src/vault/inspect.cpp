// The verbs status and list: they change nothing.

#include <sys/vfs.h>

#include <unistd.h>

#include "vault/kept_clock.h"
#include "vault/session.h"

namespace immbackup::vault {

namespace {

const char* role_name(Role role) {
    return role == Role::root ? "root" : role == Role::operators ? "operator" : "client";
}

std::string limits(const Config& config) {
    const auto seconds = [](Millis span) { return static_cast<std::uint64_t>(span / 1000); };
    return field("root", config.root) + field("user", config.user) +
           field("min_retention", seconds(config.min_retention)) +
           field("max_retention", seconds(config.max_retention)) +
           field("max_extension", seconds(config.max_extension)) +
           field("keep_newest", config.keep_newest) + field("quota_bytes", config.quota_bytes) +
           field("quota_files", config.quota_files) + field("quota_log", config.quota_log);
}

std::string clock_fields(const ClockState& clock) {
    const std::string why = clock.blocked();
    const char* state = why.empty() ? "trusted" : clock.only_waits() ? "waiting" : "blocked";
    return field("clock", state) + (why.empty() ? std::string{} : field("clock_reason", why));
}

// One that cannot even be looked at (a folder in its place, a bad block) hides no other.
Artifact look_or_unknown(const Tree& tree, const std::string& stem) {
    try {
        return look_at(tree, stem);
    } catch (const Failure&) {
        Artifact unknown;
        unknown.stem = stem;
        unknown.undated = true;
        return unknown;
    }
}

std::string full_fields(const Session& session, const ClockState& clock) {
    const Tree& tree = session.tree();
    std::uint64_t sealed = 0;
    std::uint64_t others = 0;
    std::uint64_t held = 0;
    for (const std::string& stem : inventory(tree).stems) {
        const Artifact artifact = look_or_unknown(tree, stem);
        ++(artifact.state() == ArtifactState::sealed ? sealed : others);
        held += artifact.held ? 1 : 0;
    }
    struct statfs system {};
    const bool known = ::fstatfs(tree.active().get(), &system) == 0;
    return field("capability", has_immutable_capability() ? "1" : "0") +
           field("file_system", known ? static_cast<std::uint64_t>(system.f_type) : 0) +
           field("clock_newest", format_time(clock.newest)) +
           field("clock_jumped_back", clock.jumped < 0 ? "1" : "0") +
           field("clock_jumped_ms",
                 static_cast<std::uint64_t>(clock.jumped < 0 ? -clock.jumped : clock.jumped)) +
           field("clock_steady_ms", static_cast<std::uint64_t>(clock.steady)) +
           field("sealed", sealed) + field("orphans", others) + field("held", held);
}

std::string item_of(const Artifact& artifact) {
    std::string line =
        "artifact" + field("stem", artifact.stem) + field("state", state_name(artifact.state())) +
        field("level", level_name(artifact.level())) + field("held", artifact.held ? "1" : "0");
    for (const FileKind kind : kFileKinds) {
        const SealedFile& file = artifact.file(kind);
        if (file.state == RecordState::sound) {
            line += field("database", file.record.database) +
                    field("retain_until", format_time(artifact.retain_until)) +
                    field("sealed", format_time(file.record.sealed));
            if (kind == FileKind::artifact) {
                line += field("size", file.size) + field("sha256", file.record.sha256);
            }
            break;
        }
    }
    return line;
}

}  // namespace

std::string status(Session& session, const Request& request) {
    const bool full = !request.get("full").empty();
    const std::string common = field("version", IMMBACKUP_VERSION);
    if (session.unusable()) {
        return field("level", "none") + field("reason", session.unusable()->message) + common;
    }
    if (full && session.role() == Role::client) {
        throw Failure{Code::permission, "the whole status is for operators"};
    }
    std::string why;
    Level level = Level::none;
    try {
        level = session.tree().level(why);
    } catch (const Failure& failure) {
        why = failure.message;
    }
    const ClockState clock = peek_clock(session.tree());
    const Usage used = usage(session.tree());
    return field("level", level_name(level)) +
           (why.empty() ? std::string{} : field("reason", why)) + common +
           field("caller", role_name(session.role())) + limits(session.config()) +
           field("used_bytes", used.bytes) + field("used_files", used.files) +
           field("used_log", log_size(session.tree())) +
           field("log", log_exists(session.tree()) ? "1" : "0") + clock_fields(clock) +
           (full ? full_fields(session, clock) : std::string{});
}

std::string list(Session& session, const Request& request) {
    const Tree& tree = session.tree();
    const std::string only = request.text("stem");
    Inventory all = inventory(tree);
    if (!only.empty()) {
        all = {{only}, {}};
    }
    std::uint64_t count = 0;
    for (const std::string& stem : all.stems) {
        const Artifact artifact = look_or_unknown(tree, stem);
        if (artifact.any() || artifact.attested || artifact.undated) {
            session.item(item_of(artifact));
            ++count;
        }
    }
    for (const std::string& name : all.foreign) {
        session.item("foreign" + field("file", "active/" + name));
    }
    return field("count", count);
}

}  // namespace immbackup::vault
