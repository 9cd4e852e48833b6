// /etc/immbackup/vault.conf: what root allows. README.md has the keys.
#pragma once

#include <string>
#include <string_view>

#include "vault/text.h"

namespace immbackup::vault {

inline constexpr const char* kConfigPath = "/etc/immbackup/vault.conf";
inline constexpr std::size_t kMaxConfig = 16 * 1024;

struct Config {
    std::string root;
    std::string user = "immvault";
    std::string client_user = "postgres";
    std::string client_group = "postgres";
    std::string operator_group;  // empty: only root
    Millis min_retention = 2 * 86'400'000LL;
    Millis max_retention = 400 * 86'400'000LL;
    Millis max_extension = 400 * 86'400'000LL;
    std::uint64_t quota_bytes = 0;  // 0: none
    std::uint64_t quota_files = 0;
    std::uint64_t quota_log = 1ULL << 30;
    std::uint64_t keep_newest = 1;
};

// Failure(config) with the number of the line.
Config parse_config(std::string_view text);

}  // namespace immbackup::vault
