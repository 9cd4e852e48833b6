#!/usr/bin/env bash
# Who asks what can take something away from the vault reads the users of removal.h (src/vault/README.md, "How to read it"). So no other
# file of the helper may include that, nor call what could change or remove a file in any other way than these do: the whole list is here.
# What is new in it needs a reader who asks what it could take away.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

status=0
calls='creat|unlink|unlinkat|remove|remove_all|rename|renameat2?|rmdir|f?truncate(64)?|pwritev?2?(64)?|copy_file_range|sendfile(64)?|splice|system|popen|exec[lv]p?e?|execveat|fexecve|posix_spawnp?|mmap(64)?|syscall|ioctl|fallocate(64)?|[fl]?setxattr|[fl]?removexattr|f?chmod(at)?|[fl]?chown(at)?|mount|umount2?|fopen(64)?|freopen'
by_other_ways="(::|\\b)($calls)\\(|&(::)?($calls)\\b|\\b(lift_flag|remove_in|replace_in)\\(|\\b(O_(WRONLY|RDWR|TRUNC|PATH)|(SYS|FS_IOC|FALLOC_FL)_[A-Z0-9_a-z]*|FICLONE[A-Z]*)\\b|fstream|filesystem|\"(vault/)?(removal|purge)\\.h\""
known='inspect.cpp:&system
keep.cpp:"vault/purge.h"
kept_clock.cpp:"vault/removal.h"
kept_clock.cpp:replace_in(
log.cpp:::fallocate(
log.cpp:::fchmod(
log.cpp:FALLOC_FL_KEEP_SIZE
log.cpp:O_RDWR
privileges.cpp:::syscall(
privileges.cpp:SYS_close_range
publish.cpp:::fchmod(
publish.cpp:::fsetxattr(
purge.cpp:"vault/purge.h"
purge.cpp:"vault/removal.h"
purge.cpp:lift_flag( 2
purge.cpp:remove_in( 2
recover.cpp:"vault/purge.h"
removal.cpp:"vault/removal.h"
removal.cpp:::ftruncate(
removal.cpp:::ioctl( 2
removal.cpp:::renameat(
removal.cpp:::unlinkat(
removal.cpp:FS_IOC_GETFLAGS
removal.cpp:FS_IOC_SETFLAGS
removal.cpp:O_WRONLY
removal.cpp:lift_flag(
removal.cpp:remove_in( 2
removal.cpp:replace_in(
removal.h:lift_flag(
removal.h:remove_in(
removal.h:replace_in(
service.cpp:::unlink(
tree.cpp:"vault/removal.h"
tree.cpp:&system
tree.cpp:::fchmod(
tree.cpp:::fsetxattr(
tree.cpp:::ioctl( 3
tree.cpp:::syscall(
tree.cpp:FS_IOC_GETFLAGS 2
tree.cpp:FS_IOC_SETFLAGS
tree.cpp:O_PATH 2
tree.cpp:O_RDWR 2
tree.cpp:SYS_openat2
tree.cpp:lift_flag('
calls_in() { (cd "$1" && grep -oHE "$by_other_ways" -- *.cpp *.h || [ $? = 1 ]) | sort | uniq -c | awk '{n = $1; sub(/^ *[0-9]+ /, ""); print $0 (n > 1 ? " " n : "")}'; }
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
printf '    ::ftruncate64(fd, 0);\n    remove_in(a, b);\n' >"$planted/a.cpp"
printf '#include "removal.h"\nconst auto call = &::unlink;\n' >"$planted/a.h"
if [ "$(calls_in "$planted")" != $'a.cpp:::ftruncate64(\na.cpp:remove_in(\na.h:"removal.h"\na.h:&::unlink' ]; then
    echo "this check finds nothing any more"
    status=1
fi
if ! diff <(echo "$known") <(calls_in src/vault) >"$planted/diff"; then
    echo "what can change or remove files in src/vault is not what it was (<), but (>):"
    cat "$planted/diff"
    status=1
fi
exit "$status"
