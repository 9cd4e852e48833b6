// The anchors of a bucket against the local log.
#pragma once

#include <string>

#include "core/anchors.h"
#include "s3/client.h"
#include "store/layout.h"

namespace immbackup {

// Reads every version of every object under "<prefix>/audit/", asks how the store holds it, and
// compares all of them with each other and, where `local` is not null, with the log there.
AnchorReport verify_anchors(s3::Client& client, const Layout* local);

}  // namespace immbackup
