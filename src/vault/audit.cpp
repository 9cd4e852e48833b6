// The verbs append and adopt: what clients say in the audit log.

#include "vault/session.h"

namespace immbackup::vault {

namespace {

std::uint64_t log_quota(const Session& session) {
    const std::uint64_t quota = session.config().quota_log;
    return quota == 0 ? UINT64_MAX : quota;
}

}  // namespace

std::string append_record(Session& session, const Request& request) {
    session.ok();
    std::string body;
    session.in().read_content([&](std::span<const char> block) {
        if (body.size() + block.size() > kMaxLine) {
            throw Failure{Code::usage, "the record is longer than a line of the log may be"};
        }
        body.append(block.data(), block.size());
    });
    // The helper's own records go beyond the quota, or the vault could never say that it pruned.
    const Appended said = append(session.tree(), request.text("event"), request.text("origin"),
                                 body, log_quota(session));
    return field("seq", said.record.seq) + field("time", said.record.time) +
           field("prev", said.record.prev) + field("hash", said.record.hash) +
           field("offset", said.offset);
}

std::string adopt(Session& session, const Request& /*request*/) {
    const Tree& tree = session.tree();
    if (log_exists(tree)) {
        throw Failure{Code::exists, "the vault has an audit log already",
                      "A log is adopted before the first record is written."};
    }
    Fd fd = create_unnamed(tree.logs());
    session.ok();
    std::uint64_t size = 0;
    const std::uint64_t quota = log_quota(session);
    const Commit commit = session.in().read_content([&](std::span<const char> block) {
        size += block.size();
        if (size > quota) {
            throw Failure{Code::no_space, "the log does not fit into the vault's quota",
                          "Raise quota_log in the vault's configuration."};
        }
        write_all(fd, block);
    });
    if (size == 0) {
        throw Failure{Code::audit, "there is no record in the log"};
    }
    const Fd lock = tree.lock(Tree::Lock::log, Tree::Share::exclusive);
    const Appended said = begin_log(
        tree, fd, "log_adopted", kOrigin,
        session.with_caller(member("bytes", size) + ',' + member("sha256", to_hex(commit.sha256))));
    return field("records", said.record.seq - 1) + place(said) + field("offset", said.offset);
}

}  // namespace immbackup::vault
