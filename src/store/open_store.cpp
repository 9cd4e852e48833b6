// Which store a directory has, and which one the settings ask for: the one place that decides.

#include <fmt/format.h>

#include "store/local_store.h"
#include "store/vault_store.h"

namespace immbackup {

std::unique_ptr<Store> open_store(const Settings& settings) {
    const Layout layout = find_layout(settings.directory);
    if (settings.vault_helper.empty()) {
        if (layout.vault) {
            throw Error(ErrorCode::config,
                        fmt::format("the backup directory \"{}\" is a vault", settings.directory),
                        "Nothing can be written to it but through its helper, and "
                        "immbackup.vault_helper is empty.",
                        "Set immbackup.vault_helper (BACKUP_VAULT_HELPER) to the program "
                        "immbackup-vault, or to the socket of its service.");
        }
        return open_local_store(settings.directory);
    }
    if (!layout.vault) {
        throw Error(
            ErrorCode::config,
            fmt::format("the backup directory \"{}\" is not a vault", settings.directory),
            fmt::format("immbackup.vault_helper is \"{}\", but the directory has no folder "
                        "\"active\" that belongs to another user than its folder \"work\".",
                        settings.vault_helper),
            "As root, run `make install-vault` with this directory (see docs/vault.md), or set "
            "immbackup.directory (BACKUP_DIR) to the vault, or take immbackup.vault_helper back.");
    }
    return std::make_unique<VaultStore>(layout, settings.vault_helper);
}

std::unique_ptr<Store> open_store_for_reading(const std::string& directory,
                                              const std::string& vault_helper) {
    const Layout layout = find_layout(directory);
    std::error_code error;
    if (!fs::is_directory(layout.active(), error)) {
        throw Error(ErrorCode::config,
                    fmt::format("there is no backup directory at \"{}\"", directory),
                    error ? error.message() + "." : "It has no folder \"active\".",
                    "Name the directory that immbackup.directory (BACKUP_DIR) names, or a copy.");
    }
    if (layout.vault) {
        return std::make_unique<VaultStore>(layout, vault_helper);
    }
    return std::make_unique<LocalStore>(layout);
}

}  // namespace immbackup
