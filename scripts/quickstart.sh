#!/usr/bin/env bash
# Shows the whole way once, on a private server in a temporary folder: build, install, back up, look at it, verify it,
# restore it, compare. Installs the Debian packages that are missing; touches no existing cluster; cleans up.
#
#   scripts/quickstart.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

STEP=0
BEGIN=$SECONDS
step() {
    STEP=$((STEP + 1))
    CURRENT=$1
    printf '\n\033[1m== %d. %s\033[0m\n' "$STEP" "$1"
}
finish() {
    local status=$?
    if [ "$status" != 0 ]; then
        printf '\nquickstart FAILED in step %d: %s\n' "$STEP" "$CURRENT" >&2
        [ -z "${WORK:-}" ] || tail -n 20 "$WORK/server.log" >&2 2>/dev/null || true
    fi
    [ -z "${WORK:-}" ] || remove_work
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step "Packages"
install_packages "${BUILD_PACKAGES[@]}"
. scripts/lib.sh
echo "PostgreSQL $("$PG_CONFIG" --version | cut -d' ' -f2-), g++ $(g++ -dumpfullversion)"

step "Build and install"
LOG=$(mktemp)
# A first build goes several files at once, in about half of the time, where there is the memory for as many compilers; another
# is left as it is.
OPTIONS=${CMAKE_OPTIONS:-}
if [ ! -e build/immbackup ]; then
    FAST=$(awk -v n="$(nproc)" '/^MemAvailable:/ && $2 > 1300000 * n {fast = 1} END {print fast ? "ON" : "OFF"}' /proc/meminfo)
    OPTIONS+=" -DIMMBACKUP_UNITY=$FAST"
fi
if ! { make -j"$(nproc)" CMAKE_OPTIONS="$OPTIONS" && as_root make install CMAKE_OPTIONS="$OPTIONS"; } >"$LOG" 2>&1; then
    tail -n 30 "$LOG" >&2
    exit 1
fi
rm -f "$LOG"
echo "installed: $(command -v immbackup), $(immbackup --version)"

step "A private server with sample data"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-quickstart.XXXXXX")
server_start "immbackup.databases = ''"
sql() { as_server psql -X -q -v ON_ERROR_STOP=1 "$@"; }
sql -d postgres -c 'CREATE DATABASE shop'
sql -d shop <test/data/sample.sql
sql -d shop -c 'CREATE EXTENSION immbackup'
sql -d shop -c 'ANALYZE' -c "SELECT sum(n_live_tup) AS rows, pg_size_pretty(pg_database_size('shop')) AS size FROM pg_stat_user_tables"

step "SELECT immbackup.run_now()"
RUN=$(sql -d shop -At -c 'SELECT immbackup.run_now()')
echo "run $RUN"
sql -d shop -c 'SELECT artifact, database, pg_size_pretty(size) AS size, rows, seal, state FROM immbackup.artifacts ORDER BY artifact'
sql -d shop -c 'SELECT seq, time, event, left(body::text, 60) AS body FROM immbackup.audit ORDER BY seq'

step "Anyone can check it"
(
    cd "$WORK/backups/active"
    for file in *.sha256; do sha256sum -c "$file"; done
    gunzip -t ./*.sql.gz && echo "gunzip -t: OK"
    ls -l
    lsattr . 2>/dev/null || echo "(this file system has no inode flags)"
)
sql -d shop -c 'SELECT records, sound, left(head, 16) AS head FROM immbackup.verify_audit()'

step "immbackup verify"
as_server immbackup verify --all

step "Restore into a new database, and compare"
as_server immbackup restore "$RUN.shop" --to shop_restored
sql -d shop <test/data/content_hash.sql >"$WORK/before"
sql -d shop_restored <test/data/content_hash.sql >"$WORK/after"
diff "$WORK/before" "$WORK/after"
echo "identical: $(wc -l <"$WORK/before") facts (content of every table, sequences, large objects, definitions, grants)"
no_crash

step "Done in $((SECONDS - BEGIN)) s"
echo "A backup was taken, proven, sealed, recorded, verified and restored; the server and its folder are removed now."
