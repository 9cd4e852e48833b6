// Who we are and who calls. The caller may own everything that a process inherits: descriptors,
// environment, limits, working directory, umask, signals, timers. None of it survives here.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace immbackup::vault {

struct Caller {
    uid_t uid = 0;
    std::vector<gid_t> groups;
};

// Ends the process where a standard descriptor is missing; closes the others, empties
// the environment, blocks every signal, resets working directory, umask and limits, and forbids
// core files and being traced.
void shed_inheritance(bool keep_signals);

// False where a limit of the caller's could cut a write: who cuts a record may choose where.
bool writes_whole_files();

// The caller by real uid and groups, for a process started by exec.
Caller caller_by_exec();
// The process at the other end of a Unix socket. Failure(permission) where it cannot be told.
Caller caller_by_socket(int socket);

// Takes `user` for real, effective and saved uid. From uid 0 the groups become `group` alone.
// Afterwards nobody but root and `user` can signal this process, and it holds no capability but
// CAP_LINUX_IMMUTABLE, in its permitted set, where it had it. False where it is neither root nor
// set-uid to `user`; then nothing is changed.
bool become(uid_t user, gid_t group);
// All of them, for good.
void drop_capabilities();

bool has_immutable_capability();
// While it lives the capability is effective, where it is there at all.
class Immutable {
  public:
    Immutable();
    ~Immutable();
    Immutable(const Immutable&) = delete;
    Immutable& operator=(const Immutable&) = delete;
};

}  // namespace immbackup::vault
