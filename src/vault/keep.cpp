// The verbs that make artifacts stay longer, and the operators' two: extend, hold, release,
// accept-clock.

#include "vault/kept_clock.h"
#include "vault/purge.h"

namespace immbackup::vault {

namespace {

// An artifact of which something stands, sealed as far as it does.
Artifact sealed_artifact(const Tree& tree, const std::string& stem) {
    Artifact artifact = look_at(tree, stem);
    if (!artifact.any()) {
        throw Failure{Code::not_found, "the vault has no artifact \"" + stem + "\""};
    }
    return artifact;
}

std::string said_by(const Request& request) {
    const std::string reason = request.text("reason");
    return member("actor", request.text("actor")) + ',' + member("reason", reason);
}

void check_extension(const Session& session, const Artifact& artifact, const ClockState& clock,
                     Millis until) {
    const Config& config = session.config();
    if (const std::string why = clock.blocked(); !why.empty()) {
        throw Failure{Code::permission,
                      "nothing is lengthened while the clock is not trusted: " + why,
                      "An operator can accept the clock."};
    }
    const Millis sealed = artifact.file(FileKind::artifact).record.sealed;
    if (until > clock.wall + config.max_extension || until > sealed + config.max_retention) {
        throw Failure{Code::config,
                      "the artifact would be kept until " + format_time(until) +
                          ", longer than the vault's maximum",
                      "max_extension and max_retention are in the vault's configuration; a hold "
                      "has no date."};
    }
    if (artifact.extensions >= kMaxExtensions) {
        throw Failure{Code::config, "the artifact was lengthened 99 times already",
                      "A hold has no date."};
    }
}

}  // namespace

std::string extend(Session& session, const Request& request) {
    const Tree& tree = session.tree();
    const std::string stem = request.text("stem");
    const Millis until = parse_time(request.get("retain_until")).value_or(0);
    const ClockState clock = observe_clock(tree);
    const Fd lock = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    const Artifact artifact = sealed_artifact(tree, stem);
    if (!artifact.whole()) {
        throw Failure{Code::corrupt, "\"" + stem + "\" is not a whole artifact"};
    }
    if (until <= artifact.retain_until) {
        return field("retain_until", format_time(artifact.retain_until)) + field("changed", "0");
    }
    check_extension(session, artifact, clock, until);
    SealRecord record = artifact.file(FileKind::artifact).record;
    record.retain_until = until;
    put_sealed(tree.records(), extension_name(stem, artifact.extensions + 1),
               format_record(record) + '\n', session.level() == Level::vault);
    const Appended said = session.record(
        "retention_extended", "\"artifacts\":{" + member(stem.c_str(), format_time(until)) + '}');
    return field("retain_until", format_time(until)) + field("changed", "1") + place(said);
}

std::string hold(Session& session, const Request& request) {
    const Tree& tree = session.tree();
    const std::string stem = request.text("stem");
    const Fd lock = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    if (sealed_artifact(tree, stem).held) {
        return field("changed", "0");
    }
    const std::string text =
        "1" + field("stem", stem) + field("time", format_time(sample_clocks().wall)) +
        field("uid", session.caller().uid) + field("actor", request.get("actor")) +
        (request.get("reason").empty() ? "" : field("reason", request.get("reason"))) + '\n';
    put_sealed(tree.records(), hold_name(stem), text, session.level() == Level::vault);
    const Appended said =
        session.record("artifact_held", member("artifact", stem) + ',' + said_by(request));
    return field("changed", "1") + place(said);
}

std::string release(Session& session, const Request& request) {
    const Tree& tree = session.tree();
    const std::string stem = request.text("stem");
    const Fd lock = tree.lock(Tree::Lock::removal, Tree::Share::exclusive);
    const Fd held = open_in(tree.records(), hold_name(stem));
    if (!held) {
        static_cast<void>(sealed_artifact(tree, stem));
        return field("changed", "0");
    }
    check_releasable(held);
    const Appended said =
        session.record("artifact_released", member("artifact", stem) + ',' + said_by(request));
    remove_hold(tree, stem);
    return field("changed", "1") + place(said);
}

std::string accept_clock(Session& session, const Request& request) {
    const ClockSample clock = sample_clocks();
    const Appended said =
        session.record("clock_acknowledged",
                       said_by(request) + ',' + member("boot_id", clock.boot_id) + ',' +
                           member("monotonic_ms", static_cast<std::uint64_t>(clock.monotonic)));
    observe_clock(session.tree(), true);
    return place(said);
}

}  // namespace immbackup::vault
