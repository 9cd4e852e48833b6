// Tells the program in the setting on_event what happened.
#pragma once

#include <string>
#include <vector>

#include "io/cancel.h"
#include "store/audit_log.h"

namespace immbackup {

inline constexpr int kNotifySeconds = 30;

// Runs the program with the JSON on its stdin, waits for it up to the limit, and throws what went
// wrong: Error(failed) with the tail of its stderr as detail, Error(timeout).
void notify(const std::vector<std::string>& program, const std::string& json, CancelToken& cancel);

}  // namespace immbackup
