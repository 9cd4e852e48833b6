#include "core/seal_level.h"

namespace immbackup {

std::string_view seal_level_name(SealLevel level) {
    switch (level) {
        case SealLevel::none:
            return "none";
        case SealLevel::readonly:
            return "readonly";
        case SealLevel::immutable:
            return "immutable";
        case SealLevel::vault_dac:
            return "vault-dac";
        case SealLevel::vault:
            return "vault";
    }
    return "none";
}

std::optional<SealLevel> seal_level_from_name(std::string_view name) {
    for (const SealLevel level : {SealLevel::none, SealLevel::readonly, SealLevel::immutable,
                                  SealLevel::vault_dac, SealLevel::vault}) {
        if (seal_level_name(level) == name) {
            return level;
        }
    }
    return std::nullopt;
}

}  // namespace immbackup
