#!/usr/bin/env bash
# Lower folders never include higher ones, and only src/postgres includes postgres.h (docs/architecture.md).
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

declare -A may_use=(
    [core]="core" [io]="core io" [dump]="core io dump" [store]="core io store" [s3]="core io s3" [vault]="vault"
    [backup]="core io dump store s3 backup" [restore]="core io dump store s3 restore"
    [cli]="core io dump store s3 backup restore cli" [postgres]="core io store postgres"
)
status=0
for folder in "${!may_use[@]}"; do
    while IFS=: read -r file _ include; do
        used=${include#*\"}
        used=${used%%/*}
        # PostgreSQL's headers have folders, too.
        [ -d "src/$used" ] || continue
        case " ${may_use[$folder]} " in
            *" $used "*) ;;
            *) echo "$file includes $used/, which src/$folder may not use"; status=1 ;;
        esac
    done < <(grep -nE '^#include "[a-z]+/' "src/$folder"/*.h "src/$folder"/*.cpp)
done
if grep -nE '^#include +["<]postgres(_fe)?\.h[">]' src/*/*.h src/*/*.cpp | grep -v '^src/postgres/'; then
    echo "postgres.h is for src/postgres alone"
    status=1
fi
# Who asks what can take something away from the vault reads the users of removal.h (src/vault/README.md, "How to read it"). So no other
# file of it may include that, nor call what could change or remove a file in any other way than these do: the whole list is here.
by_other_ways='\b(creat|unlink|unlinkat|remove|remove_all|rename|renameat2?|rmdir|f?truncate(64)?|pwrite(v|64)?|pwritev2?|copy_file_range|sendfile|splice|system|popen|exec[lv]p?e?|posix_spawnp?|mmap|syscall|ioctl|fallocate|[fl]?setxattr|[fl]?removexattr|f?chmod(at)?|[fl]?chown(at)?|mount|umount2?)\(|O_(WRONLY|RDWR|TRUNC|PATH)|ofstream|filesystem|FICLONE|vault/removal\.h'
known='kept_clock.cpp:vault/removal.h
log.cpp:O_RDWR
log.cpp:fallocate(
log.cpp:fchmod(
privileges.cpp:syscall(
publish.cpp:fchmod(
publish.cpp:fsetxattr(
purge.cpp:vault/removal.h
removal.cpp:ioctl( 2
removal.cpp:renameat(
removal.cpp:unlinkat(
removal.cpp:vault/removal.h
service.cpp:unlink(
tree.cpp:O_PATH 2
tree.cpp:O_RDWR 2
tree.cpp:fchmod(
tree.cpp:fsetxattr(
tree.cpp:ioctl( 3
tree.cpp:syscall( 2
tree.cpp:vault/removal.h'
calls_in() { (cd "$1" && grep -oHE "$by_other_ways" -- *.cpp *.h || [ $? = 1 ]) | sort | uniq -c | awk '{n = $1; sub(/^ *[0-9]+ /, ""); print $0 (n > 1 ? " " n : "")}'; }
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
printf '    ::ftruncate64(fd, 0);\n' >"$planted/a.cpp"
printf '#include "vault/removal.h"\n' >"$planted/a.h"
if [ "$(calls_in "$planted")" != $'a.cpp:ftruncate64(\na.h:vault/removal.h' ]; then
    echo "this check finds nothing any more"
    status=1
fi
if ! diff <(echo "$known") <(calls_in src/vault) >"$planted/diff"; then
    echo "what can change or remove files in src/vault is not what it was (<), but (>):"
    cat "$planted/diff"
    status=1
fi
exit "$status"
