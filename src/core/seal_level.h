// How far the local seal of an artifact holds, weakest first. What each stops is in
// docs/security.md.
#pragma once

#include <optional>
#include <string_view>

namespace immbackup {

enum class SealLevel {
    none,       // not sealed: an error in what was found on disk, never a result of a run
    readonly,   // mode 0400: stops accidents
    immutable,  // the kernel's immutable flag, set by the process itself
    vault_dac,  // "vault-dac": another OS user's file (docs/vault.md), but without the flag
    vault,      // another OS user's file, under the kernel's immutable flag
};

std::string_view seal_level_name(SealLevel level);
std::optional<SealLevel> seal_level_from_name(std::string_view name);

}  // namespace immbackup
