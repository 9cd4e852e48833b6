#!/usr/bin/env bash
# What the vault costs: a run into a vault against the same run into a plain store, on one file system, in pairs that take
# turns at who is first. Prints each figure (seconds elapsed, user, system), the medians, and the quotients of the pairs. Needs immbackup installed and the helper
# built; as root, in a mount namespace of its own.
#
#   bench/vault.sh [ROWS [PAIRS]]     10 million rows are about 1.1 GB of SQL
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/lib/vault.sh"
own_namespace "$@"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-bench.XXXXXX")
. "$ROOT/scripts/lib.sh"
finish() {
    server_stop
    lab_end
}
trap finish EXIT
rows=${1:-5000000} pairs=${2:-7}
lab_begin
truncate -s 12G "$WORK/image"
mkfs.ext4 -q -m 0 "$WORK/image"
mkdir "$LAB/ext4"
mount -o loop "$WORK/image" "$LAB/ext4"
BACKUPS=$LAB/ext4/plain
install -d -o postgres -g postgres -m 0700 "$LAB/ext4/plain"
mkdir "$LAB/ext4/vault"
make_vault "$LAB/ext4/vault" 'keep_newest = 1'
server_start >/dev/null
q() { as_server psql -XAtqd "$1" -c "$2"; }
q postgres 'CREATE DATABASE bench'
q bench "CREATE TABLE events AS SELECT g AS id, now() + g * interval '1 second' AS at, md5(g::text) AS token,
    'customer ' || g % 5000 || ' ordered ' || g % 17 || ' of article ' || g % 900 AS what FROM generate_series(1, $rows) AS g"
q bench 'SELECT count(*) FROM events' >/dev/null

backup() {  # NAME [VARIABLE=VALUE...]
    local name=$1
    shift
    sync
    /usr/bin/time -a -o "$WORK/$name" -f '%e %U %S' runuser -u "$SERVER_USER" -- env "PATH=$PG_BIN:$PATH" "DB_HOST=$WORK" BACKUP_MIN_FREE=0 \
        BACKUP_GLOBALS=off "$@" immbackup backup --database bench --quiet >/dev/null 2>"$WORK/errors" || { cat "$WORK/errors"; exit 1; }
    tail -1 "$WORK/$name" | sed "s/^/$name  /"
}
plain() { backup plain "BACKUP_DIR=$LAB/ext4/plain"; }
vault() { backup vault "BACKUP_DIR=$LAB/ext4/vault" "BACKUP_VAULT_HELPER=$HELPER"; }
elapsed() { awk '{print $1}' "$WORK/$1"; }
cpu() { awk '{print $2 + $3}' "$WORK/$1"; }
median() { "$1" "$2" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
compare() {  # WHAT
    echo "$(median "$1" vault) $(median "$1" plain) $(paste -d' ' <("$1" vault) <("$1" plain) | awk '{print $1 / $2}' | sort -n |
        awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)], v[1], v[NR]}')" |
        awk -v what="$1" '{printf "%s, medians: vault %s s, plain store %s s; vault / plain store, pair by pair: %.3f (%.2f - %.2f)\n", what, $1, $2, $3, $4, $5}'
}

printf '%s rows, %s cores, ext4 on a loop device\n' "$rows" "$(nproc)"
plain >/dev/null && vault >/dev/null && rm "$WORK/plain" "$WORK/vault"  # caches are warm
for n in $(seq "$pairs"); do
    if [ $((n % 2)) = 1 ]; then plain && vault; else vault && plain; fi
done
compare elapsed
compare cpu
