#include "s3/preflight.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/clock.h"

namespace immbackup::s3 {

namespace {

constexpr std::chrono::seconds kProbeLock{60};

std::string said(const StoreError& error) {
    if (error.status == 0) {
        return error.message.empty() ? "no answer" : error.message;
    }
    return fmt::format("{}{}", error.status, error.code.empty() ? "" : " " + error.code);
}

// What the answer to a request that cannot succeed tells of a right.
Answer3 right_by(const StoreError& error) {
    if (error.status == 401 || error.status == 403) {
        return Answer3::no;
    }
    const bool told = error.status >= 200 && error.status < 500 && error.status != 405 &&
                      error.status != 408 && error.status != 429;
    return told ? Answer3::yes : Answer3::unknown;
}

Answer3 yes_if(bool condition) {
    return condition ? Answer3::yes : Answer3::no;
}

bool stops_all(const Error& error) {
    return error.code() == ErrorCode::cancelled || error.code() == ErrorCode::timeout;
}

class Preflight {
  public:
    explicit Preflight(Client& client)
        : client_(client), absent_(client.key_of(".immbackup-probe-" + random_hex(8))) {}

    std::vector<CheckRow> run(Depth depth) {
        if (bucket()) {
            versions_and_locks();
            clock();
            reading_rights();
            writing_right();
            if (depth != Depth::quick) {
                lifecycle();
                listing_right();
                unwanted_rights();
                written_object();
            }
            if (depth == Depth::lock) {
                locked_object();
            }
        }
        return std::move(rows_);
    }

  private:
    CheckRow& add(const char* check, Answer3 verdict, std::string detail, bool required = false) {
        rows_.push_back({check, verdict, std::move(detail), Answer3::yes, required});
        return rows_.back();
    }
    void add_unwanted(const char* check, Answer3 verdict, std::string detail) {
        rows_.push_back({check, verdict, std::move(detail), Answer3::no, false});
    }
    // What throws becomes a row: "no" where it was refused, "unknown" for anything else.
    template <typename Do>
    void guarded(const char* check, bool required, const Do& act) {
        try {
            act();
        } catch (const Error& error) {
            if (stops_all(error)) {
                throw;
            }
            const bool refused = error.code() == ErrorCode::permission;
            add(check, refused ? Answer3::no : Answer3::unknown, error.message(), required);
        }
    }

    bool bucket();
    void versions_and_locks();
    void clock();
    void lifecycle();
    void reading_rights();
    void listing_right();
    void writing_right();
    void unwanted_rights();
    void written_object();
    void locked_object();

    Client& client_;
    const std::string absent_;  // a key that nobody has
    // A version id as AWS makes them, which nobody has, either.
    const std::string no_version_ = "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY";
    std::vector<CheckRow> rows_;
    bool may_list_ = false;
};

bool Preflight::bucket() {
    const std::string before = client_.region();
    const StoreError error = client_.try_head_bucket();
    const bool reached = error.status == 200;
    // Without the right to list, HEAD is refused, and the bucket is there all the same.
    const bool hidden = error.status == 403;
    add("bucket reachable",
        reached  ? Answer3::yes
        : hidden ? Answer3::unknown
                 : Answer3::no,
        reached ? "s3://" + client_.options().bucket : said(error), true);
    if (client_.region() != before) {
        add("region", Answer3::no,
            fmt::format("the bucket is in {}, not in {}; requests go there", client_.region(),
                        before));
    } else {
        add("region", reached ? Answer3::yes : Answer3::unknown, before);
    }
    return reached || hidden;
}

void Preflight::versions_and_locks() {
    const bool required = client_.options().lock_mode != LockMode::none;
    guarded("versioning", required, [&] {
        const std::string status = client_.versioning();
        add("versioning", yes_if(status == "Enabled"), status.empty() ? "never enabled" : status,
            required);
    });
    guarded("object lock", required, [&] {
        const LockConfiguration lock = client_.lock_configuration();
        add("object lock", yes_if(lock.enabled),
            lock.enabled ? "enabled" : "the bucket has no object lock", required);
        auto& row = add("default retention", yes_if(lock.default_mode != LockMode::none),
                        lock.default_mode == LockMode::none
                            ? "none; every object is given its own"
                            : fmt::format("{} for {} days", lock_mode_name(lock.default_mode),
                                          lock.default_days));
        row.wanted = Answer3::unknown;
        if (lock.default_days > client_.options().lock_days) {
            row.wanted = Answer3::no;
            row.detail += ", longer than the settings ask for";
        }
    });
}

void Preflight::clock() {
    const auto difference = client_.clock_difference();
    if (!difference) {
        add("clocks agree", Answer3::unknown, "the store sends no date");
        return;
    }
    const auto seconds = std::chrono::round<std::chrono::seconds>(*difference).count();
    const bool near = std::chrono::abs(*difference) <= kClockBound;
    add("clocks agree", yes_if(near || client_.options().clock_acknowledged),
        seconds == 0 ? "to the second"
                     : fmt::format("this server is {} s {}", std::abs(seconds),
                                   seconds > 0 ? "ahead" : "behind"),
        true);
}

void Preflight::lifecycle() {
    guarded("lifecycle for incomplete uploads", false, [&] {
        int days = 0;
        std::string expires;
        for (const auto& rule : client_.lifecycle()) {
            const bool ours = client_.key_of("").substr(0, rule.prefix.size()) == rule.prefix;
            if (rule.enabled && ours) {
                days = std::max(days, rule.abort_after_days);
                if (rule.expires || rule.expires_noncurrent) {
                    expires = "a rule removes objects under the prefix once their lock has ended";
                }
            }
        }
        add("lifecycle for incomplete uploads", yes_if(days > 0),
            days > 0 ? fmt::format("aborted after {} days", days)
                     : "no rule aborts uploads that were left behind");
        rows_.push_back({"lifecycle expires objects", yes_if(!expires.empty()), expires,
                         Answer3::unknown, false});
    });
}

void Preflight::reading_rights() {
    guarded("right to list", false, [&] {
        client_.list(absent_);
        may_list_ = true;
        add("right to list", Answer3::yes, "");
    });
    // A store hides from those who may not list whether a key exists: 403 says nothing then.
    const Answer3 if_refused = may_list_ ? Answer3::no : Answer3::unknown;
    try {
        client_.head(absent_);
        add("right to read", Answer3::yes, "", true);
    } catch (const Error& error) {
        if (stops_all(error)) {
            throw;
        }
        add("right to read", error.code() == ErrorCode::permission ? if_refused : Answer3::unknown,
            error.message(), true);
    }
    const LockReading reading = client_.read_lock(absent_, {});
    const auto verdict = [&](Reading what) {
        return what == Reading::denied ? if_refused : Answer3::yes;
    };
    add("right to read retention", verdict(reading.retention), "");
    add("right to read legal hold", verdict(reading.legal_hold), "");
}

void Preflight::listing_right() {
    guarded("right to list versions", false, [&] {
        client_.list_versions(absent_);
        add("right to list versions", Answer3::yes, "");
    });
}

// An upload that is begun with lock, storage class and key as every backup is, and aborted.
void Preflight::writing_right() {
    const char* check = "right to write under lock";
    guarded(check, true, [&] {
        ObjectSpec spec;
        spec.key = absent_;
        spec.storage_class = true;
        if (client_.options().lock_mode != LockMode::none) {
            // Nothing comes to be: what the date says does not matter, but it must be a good one.
            spec.lock = {client_.options().lock_mode,
                         std::chrono::ceil<std::chrono::seconds>(now()) +
                             std::chrono::days(std::max(1, client_.options().lock_days))};
        }
        const std::string id = client_.initiate(spec, "probe");
        add(check, Answer3::yes, "", true);
        guarded("right to abort own uploads", false, [&] {
            client_.abort(absent_, id);
            add("right to abort own uploads", Answer3::yes, "");
        });
    });
    guarded("right to set retention", false, [&] {
        try {
            client_.put_retention(
                absent_, {},
                {client_.options().lock_mode == LockMode::none ? LockMode::governance
                                                               : client_.options().lock_mode,
                 std::chrono::ceil<std::chrono::seconds>(now()) + std::chrono::days(1)});
        } catch (const Error& error) {
            if (error.code() != ErrorCode::not_found) {
                throw;
            }
        }
        add("right to set retention", Answer3::yes, "");
    });
}

void Preflight::unwanted_rights() {
    const StoreError deleted = client_.try_delete(absent_, no_version_);
    add_unwanted("right to delete versions", right_by(deleted), said(deleted));
    const StoreError bypassed = client_.try_bypass(absent_, {});
    // AWS judges the right first. Other stores look for the object first, and "not found" then says
    // nothing of the right.
    const bool tells = client_.options().endpoint_url.empty() || bypassed.status != 404;
    add_unwanted("right to bypass governance", tells ? right_by(bypassed) : Answer3::unknown,
                 said(bypassed));
    const StoreError configured = client_.try_lock_configuration();
    add_unwanted("right to change the lock configuration", right_by(configured), said(configured));
}

// Storage class and KMS key: what cannot be read back is no backup.
void Preflight::written_object() {
    guarded("writes and reads back", true, [&] {
        const std::string content = "immbackup probe " + random_hex(16);
        ObjectSpec spec;
        spec.key = client_.key_of(".immbackup-probe");
        spec.storage_class = true;
        const Written written = client_.put(spec, text_body(content));
        const std::string back = client_.get_text(spec.key, written.version_id, 4096);
        add("writes and reads back", yes_if(back == content),
            back == content ? "s3://" + client_.options().bucket + "/" + spec.key
                            : "the store gives back other bytes",
            true);
        if (!written.version_id.empty()) {
            const StoreError error = client_.try_delete(spec.key, written.version_id);
            const bool gone = error.status >= 200 && error.status < 300;
            rows_.push_back({"deletes an unlocked version", yes_if(gone), said(error),
                             Answer3::unknown, false});
        }
    });
}

// The refusal counts only where these credentials can delete what is not locked.
void Preflight::locked_object() {
    const char* check = "lock refuses deletion";
    guarded(check, false, [&] {
        ObjectSpec spec;
        spec.key = client_.key_of(".immbackup-probe");
        // Refused where the clocks are far apart: not even a probe is locked until a wrong date.
        spec.lock = client_.lock_terms(0);
        spec.lock.until += kProbeLock;
        if (!spec.lock.wanted()) {
            add(check, Answer3::unknown, "no lock is asked for");
            return;
        }
        const Written written = client_.put(spec, text_body("immbackup lock probe"));
        if (written.version_id.empty()) {
            add(check, Answer3::no, "the bucket keeps no versions");
            return;
        }
        const auto control = std::find_if(rows_.begin(), rows_.end(), [](const CheckRow& row) {
            return row.check == "deletes an unlocked version";
        });
        const bool testable = control != rows_.end() && control->verdict == Answer3::yes;
        const StoreError error = client_.try_delete(spec.key, written.version_id);
        if (error.status >= 200 && error.status < 300) {
            const bool still_there = client_.head(spec.key, written.version_id).has_value();
            add(check, Answer3::no,
                still_there ? "the store says that it deleted a locked version"
                            : "the store deleted a locked version");
            return;
        }
        add(check, testable ? Answer3::yes : Answer3::unknown,
            testable ? said(error)
                     : "not testable: these credentials may not delete what is not locked either");
    });
}

}  // namespace

std::string_view answer_name(Answer3 answer) {
    switch (answer) {
        case Answer3::yes:
            return "yes";
        case Answer3::no:
            return "no";
        case Answer3::unknown:
            break;
    }
    return "unknown";
}

std::vector<CheckRow> preflight(Client& client, Depth depth) {
    client.credentials();  // no row can stand for there being none
    return Preflight(client).run(depth);
}

void require_usable(const std::vector<CheckRow>& rows) {
    std::string missing;
    ErrorCode code = ErrorCode::permission;
    for (const auto& row : rows) {
        if (row.required && row.verdict == Answer3::no) {
            missing +=
                fmt::format("{}{}: no ({})", missing.empty() ? "" : "; ", row.check, row.detail);
            if (!row.check.starts_with("right")) {
                code = ErrorCode::config;
            }
        }
    }
    if (!missing.empty()) {
        throw Error(code, "S3 cannot be used: " + missing, {}, "See \"immbackup check --s3\".");
    }
}

}  // namespace immbackup::s3
