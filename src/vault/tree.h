// The vault's folders and the files in them: how they are opened, linked and flagged.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vault/config.h"
#include "vault/digest.h"
#include "vault/fd.h"
#include "vault/record.h"

namespace immbackup::vault {

// Walks from / without symbolic links. Failure(config) where a part of it does not belong to root,
// or somebody else may write there: who can replace a folder can replace what is below it.
Fd open_safe_folder(const std::string& path);
// A file of root's that nobody else may write, below such folders; its text.
std::string read_safe_file(const std::string& path, std::size_t limit);

enum class Flag { immutable, append_only };
bool has_flag(const Fd& fd, Flag flag);
// False, with errno, where it cannot be.
bool set_flag(const Fd& fd, Flag flag);

struct Ids {
    uid_t user = 0;
    gid_t user_group = 0;
    uid_t client = 0;
    gid_t client_group = 0;
    gid_t operators = 0;
    bool has_operators = false;
};
// Failure(config) where a name is unknown.
Ids look_up(const Config& config);

class Tree {
  public:
    // Failure(config) where the root or a folder is not as README.md says.
    Tree(const Config& config, const Ids& ids);

    const Fd& active() const { return active_; }
    const Fd& logs() const { return logs_; }
    const Fd& records() const { return records_; }
    uid_t user() const { return user_; }

    // What sealing reaches here, found by trying; `why` where it is not Level::vault.
    Level level(std::string& why) const;

    // Byte of records/lock. Failure(busy) after `patience` milliseconds. Given back when it is
    // destroyed, or the process dies.
    enum class Lock { log, publication, removal, stream };
    enum class Share { shared, exclusive };
    Fd lock(Lock which, Share share, int patience = 10'000) const;

  private:
    Fd active_;
    Fd logs_;
    Fd records_;
    uid_t user_ = 0;
};

// A file without a name, mode 0600, in this folder.
Fd create_unnamed(const Fd& folder);
// Another descriptor of it, for reading only.
Fd reopen_to_read(const Fd& fd);
void write_all(const Fd& fd, std::span<const char> bytes);
void sync(const Fd& fd);  // fsync
// Gives an unnamed file its name; Failure(exists) where that is taken.
void link_file(const Fd& fd, const Fd& folder, const std::string& name);
// For reading; regular files only. An empty Fd where there is none.
Fd open_in(const Fd& folder, const std::string& name);
bool exists_in(const Fd& folder, const std::string& name);
struct stat status_of(const Fd& fd);
// In order.
std::vector<std::string> names_in(const Fd& folder);
// How much of it there is.
std::size_t read_at(const Fd& fd, std::uint64_t begin, std::span<char> out);
std::string read_whole(const Fd& fd, std::size_t limit);
// Of what is sealed: its owner and the group read it.
inline constexpr mode_t kSealedMode = 0440;
// A small file under its name at once: written, its mode set, synced, linked, flagged immutable
// (where `flagged`), the folder synced.
void put_sealed(const Fd& folder, const std::string& name, const std::string& text, bool flagged);

}  // namespace immbackup::vault
