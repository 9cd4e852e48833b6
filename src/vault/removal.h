// Everything that takes something away: a name, a flag, what stands under a name. For tree.cpp (its
// probe), purge.cpp and kept_clock.cpp alone; scripts/check-vault.sh holds that it stays so.
#pragma once

#include <string>

#include "vault/fd.h"

namespace immbackup::vault {

// The immutable flag. False, with errno, where it cannot be.
bool lift_flag(const Fd& fd);
// Failure(io); what is not there is no error.
void remove_in(const Fd& folder, const std::string& name);
// A small file in the place of the one of that name, or of none. Where the disk is full, the old
// one is written over: then a crash may leave a mixture of both.
void replace_in(const Fd& folder, const std::string& name, const std::string& text);

}  // namespace immbackup::vault
