// What can be known of bucket, store and credentials before a backup depends on them, each as a row
// with a verdict. Nothing is changed but for what the depth says; rights are probed by requests
// that cannot succeed, and whose refusal tells whether the right was missing.
#pragma once

#include <string>
#include <vector>

#include "s3/client.h"

namespace immbackup::s3 {

enum class Answer3 { yes, no, unknown };
std::string_view answer_name(Answer3 answer);  // "yes", "no", "unknown"

struct CheckRow {
    std::string check;
    Answer3 verdict = Answer3::unknown;
    std::string detail;
    Answer3 wanted = Answer3::yes;  // what it should be; unknown: either will do
    bool required = false;          // without it no upload is tried
    bool finding() const {
        return wanted != Answer3::unknown && verdict != Answer3::unknown && verdict != wanted;
    }
};

enum class Depth {
    quick,  // before a run, what it needs: writes nothing, but begins an upload and aborts it
    full,   // also what is unwanted or good to know; writes a small unlocked object, reads it back,
            // tries to delete it
    lock,   // also writes one under a lock of a minute, whose deletion must be refused
};

// Never throws for what the store answers; throws the token's reason when cancelled, and
// Error(config) where there are no credentials.
std::vector<CheckRow> preflight(Client& client, Depth depth);

// Error(config or permission) with the required rows that are not so.
void require_usable(const std::vector<CheckRow>& rows);

}  // namespace immbackup::s3
