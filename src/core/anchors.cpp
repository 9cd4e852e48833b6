#include "core/anchors.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace immbackup {

namespace {

// The records of a piece; empty with a reason where it is none.
std::vector<AuditRecord> piece_of_log(std::string_view text, std::string& why) {
    std::vector<AuditRecord> out;
    while (!text.empty()) {
        const auto newline = text.find('\n');
        if (newline == std::string_view::npos) {
            why = "its last line is cut off";
            return {};
        }
        auto record = parse_audit_line(text.substr(0, newline), why);
        if (!record) {
            return {};
        }
        if (!out.empty() &&
            (record->seq != out.back().seq + 1 || record->prev != out.back().hash)) {
            why = fmt::format("record {} does not follow the one before", record->seq);
            return {};
        }
        out.push_back(std::move(*record));
        text.remove_prefix(newline + 1);
    }
    if (out.empty()) {
        why = "it is empty";
    }
    return out;
}

}  // namespace

void AnchorBook::add(const std::string& name, std::string_view text, const std::string& until) {
    std::string why;
    const auto piece = piece_of_log(text, why);
    if (piece.empty()) {
        unreadable(name, why);
        return;
    }
    ++report_.objects;
    bool forked = false;
    for (const auto& record : piece) {
        const auto [at, added] =
            records_.try_emplace(record.seq, Anchored{record.hash, record.prev, name, until});
        if (added) {
            continue;
        }
        if (at->second.hash == record.hash) {
            at->second.until = std::max(at->second.until, until);
        } else if (!forked) {
            forked = true;
            report_.findings.push_back(
                fmt::format("the log forks: record {} is another in \"{}\" than in \"{}\"",
                            record.seq, name, at->second.name));
        }
    }
}

void AnchorBook::unreadable(const std::string& name, const std::string& why) {
    report_.notes.push_back(fmt::format("\"{}\" is no piece of an audit log: {}", name, why));
}

void AnchorBook::compare(const AuditRecord& record) {
    local_head_ = std::max(local_head_, record.seq);
    const auto anchored = records_.find(record.seq);
    if (anchored != records_.end() && anchored->second.hash != record.hash && !rewritten_) {
        rewritten_ = true;  // what follows differs, too
        report_.findings.push_back(
            fmt::format("the local log was rewritten: record {} is not the one that \"{}\" holds",
                        record.seq, anchored->second.name));
    }
}

// Where one object ends and the next begins.
void AnchorBook::check_links() {
    for (auto at = records_.begin(); at != records_.end(); ++at) {
        const auto next = std::next(at);
        if (next != records_.end() && next->first == at->first + 1 &&
            next->second.prev != at->second.hash && next->second.name != at->second.name) {
            report_.findings.push_back(fmt::format(
                "the log forks: record {} of \"{}\" does not follow record {} of \"{}\"",
                next->first, next->second.name, at->first, at->second.name));
        }
    }
}

void AnchorBook::add_range(std::uint64_t seq, const std::string& until) {
    auto& ranges = until.empty() ? report_.unanchored : report_.anchored;
    if (ranges.empty() || ranges.back().last + 1 != seq) {
        ranges.push_back({seq, seq, until});
        return;
    }
    ranges.back().last = seq;
    ranges.back().until = std::min(ranges.back().until, until);
}

AnchorReport AnchorBook::finish(bool local) {
    if (report_.findings.empty()) {
        check_links();
    }
    const std::uint64_t anchored_head = records_.empty() ? 0 : records_.rbegin()->first;
    if (local && anchored_head > local_head_) {
        report_.findings.push_back(
            fmt::format("the local log was cut off: it ends with record {}, and \"{}\" holds "
                        "record {}",
                        local_head_, records_.rbegin()->second.name, anchored_head));
    }
    std::uint64_t next = 1;
    const auto gap = [&](std::uint64_t before) {
        if (next < before) {
            add_range(next, {});
            report_.unanchored.back().last = before - 1;
        }
    };
    for (const auto& [seq, record] : records_) {
        gap(seq);
        add_range(seq, record.until);
        next = seq + 1;
    }
    gap(local_head_ + 1);
    return std::move(report_);
}

}  // namespace immbackup
