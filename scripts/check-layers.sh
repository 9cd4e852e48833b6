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
        [ "$used" = .. ] || [ -d "src/$used" ] || continue
        case " ${may_use[$folder]} " in
            *" $used "*) ;;
            *) echo "$file includes $used/, which src/$folder may not use"; status=1 ;;
        esac
    done < <(grep -nE '^#include "[a-z0-9.]+/' "src/$folder"/*.h "src/$folder"/*.cpp)
done
if grep -nE '^#include +["<]postgres(_fe)?\.h[">]' src/*/*.h src/*/*.cpp | grep -v '^src/postgres/'; then
    echo "postgres.h is for src/postgres alone"
    status=1
fi
exit "$status"
