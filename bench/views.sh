#!/usr/bin/env bash
# How long views, the prune plan and verify_audit() take on a directory of years: 10,000 artifacts and 100,000 audit
# records. Prints the median of seven, in milliseconds. Needs immbackup installed.
#
#   bench/views.sh [ARTIFACTS [RECORDS]]
set -euo pipefail
cd "$(dirname "$0")/.."
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-bench.XXXXXX")
. scripts/lib.sh
trap remove_work EXIT
artifacts=${1:-10000} records=${2:-100000}

cmake -S . -B build-test -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
ninja -C build-test make_history >/dev/null
server_start "immbackup.directory = '$WORK/backups'" "immbackup.min_free = 0" >/dev/null
server_stop
chattr -a "$WORK/backups/logs/backup_audit.jsonl" 2>/dev/null || true
rm -rf "$WORK/backups"
install -d -m 0700 -o "$SERVER_USER" "$WORK/backups"
as_server "$PWD/build-test/make_history" "$WORK/backups" "$artifacts" "$records"
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
as_server psql -XAtqd postgres -c 'CREATE EXTENSION immbackup'
until [ "$(as_server psql -XAtqd postgres -c "SELECT worker_state FROM immbackup.status")" = ready ]; do sleep 0.1; done

printf '%s artifacts, %s records, %s cores\n' "$artifacts" "$records" "$(nproc)"
for query in \
    'SELECT count(*) FROM immbackup.status' \
    'SELECT count(*) FROM immbackup.runs' \
    'SELECT count(*) FROM immbackup.artifacts' \
    'SELECT count(*) FROM immbackup.retention' \
    'SELECT count(*) FROM immbackup.coverage' \
    'SELECT count(*) FROM immbackup.prune(dry_run => true)' \
    'SELECT count(*) FROM immbackup.retention_preview(1, 3, 14)' \
    'SELECT count(*) FROM immbackup.audit((SELECT max(seq) - 1000 FROM immbackup.audit(99000)), 1000)' \
    'SELECT count(*) FROM immbackup.verify_audit()'; do
    for _ in 1 2 3 4 5 6 7; do
        printf '\\timing on\n%s;\n' "$query" | as_server psql -XAtqd postgres | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
    done | sort -n | sed -n 4p | tr '\n' ' '
    printf 'ms  %s\n' "$query"
done
