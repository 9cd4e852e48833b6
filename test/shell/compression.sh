#!/usr/bin/env bash
# How dumps are compressed, and how gently they are taken, in a real server: zstd beside gzip through the whole life of an
# artifact, read by the system's own programs; threads, priorities and the rate limit as /proc and the clock show them.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-compression.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT
trap 'exit 130' INT TERM
B=$WORK/backups

has_option() { [ "$(q "SHOW immbackup.$1")" = "$2" ]; }
set_option() {  # NAME VALUE: and waits until it counts
    q "ALTER SYSTEM SET immbackup.$1 = '$2'" && q 'SELECT pg_reload_conf()' >/dev/null && until_true 10 has_option "$1" "$2"
}
newest() { q 'SELECT max(artifact) FROM immbackup.artifacts'; }
cli() { as_server immbackup "$@"; }

server_start "immbackup.min_free = 0" "immbackup.databases = 'shop'" "immbackup.globals = off"
until_true 20 is_state ready
q 'CREATE EXTENSION immbackup' && q 'CREATE DATABASE shop'
sql -d shop -f "$ROOT/test/data/sample.sql" >/dev/null
# 20 MB, of which some are no text; a lock on t holds a dump.
sql -d shop -c 'CREATE TABLE t AS SELECT g AS id, md5(g::text) AS a, repeat(md5((g % 977)::text), 4) AS b FROM generate_series(1, 110000) AS g'
sql -d shop -f "$ROOT/test/data/content_hash.sql" >"$WORK/before"

# ------------------------------------------------------------------------------------- zstd beside gzip
is "the default" "$(q 'SHOW immbackup.compression')" gzip:2
ok "a backup" q 'SELECT immbackup.run_now()'
GZIP=$(newest)
set_option compression zstd:3
ok "one by zstd" q 'SELECT immbackup.run_now()'
ZSTD=$(newest)
is "three files each" "$(cd "$B/active" && ls | tr '\n' ' ')" \
    "$GZIP.sql.gz $GZIP.sql.gz.manifest.json $GZIP.sql.gz.sha256 $ZSTD.sql.zst $ZSTD.sql.zst.manifest.json $ZSTD.sql.zst.sha256 "
ok "sha256sum checks both" bash -c "cd '$B/active' && sha256sum --quiet -c *.sha256"
ok "zstd reads its own" zstd -q -t "$B/active/$ZSTD.sql.zst"
is "the SQL of both is the same but for the time" "$(zstd -dcq "$B/active/$ZSTD.sql.zst" | sed '/^\\\(un\)\?restrict/d' | sha256sum)" \
    "$(gzip -dc "$B/active/$GZIP.sql.gz" | sed '/^\\\(un\)\?restrict/d' | sha256sum)"
is "the manifest says how" "$(jq -r '.compression + " " + (.compressor | split(" ")[0])' "$B/active/$ZSTD.sql.zst.manifest.json")" "zstd:3 zstd"
is "views know both" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE state = 'good'")" 2
ok "verify" cli verify "$ZSTD"
ok "restore, into a database of its own" cli restore "$ZSTD" --to restored
sql -d restored -f "$ROOT/test/data/content_hash.sql" >"$WORK/after"
ok "which has the same rows" cmp "$WORK/before" "$WORK/after"
sql -d postgres -c 'CREATE DATABASE by_hand'
ok "and by hand, with zstd and psql alone" bash -c "$(declare -f sql as_server); $(declare -p WORK PG_BIN SERVER_USER); set -o pipefail; zstd -dcq '$B/active/$ZSTD.sql.zst' | sql -d by_hand >/dev/null"
sql -d by_hand -f "$ROOT/test/data/content_hash.sql" >"$WORK/by_hand"
ok "the same rows, too" cmp "$WORK/before" "$WORK/by_hand"

# One byte in the middle, and the end cut off.
for damage in flipped cut; do
    mkdir -p "$WORK/$damage/active"
    cp -r "$B/logs" "$WORK/$damage/"
    cp "$B/active/$ZSTD".* "$WORK/$damage/active/"
    chmod -R u+w "$WORK/$damage"
    chattr -R -f -i -a "$WORK/$damage"
    size=$(stat -c %s "$WORK/$damage/active/$ZSTD.sql.zst")
    if [ $damage = cut ]; then
        truncate -s -5 "$WORK/$damage/active/$ZSTD.sql.zst"
    else
        printf '\125' | dd of="$WORK/$damage/active/$ZSTD.sql.zst" bs=1 seek=$((size / 2)) conv=notrunc status=none
        cmp -s "$B/active/$ZSTD.sql.zst" "$WORK/$damage/active/$ZSTD.sql.zst" &&
            printf '\252' | dd of="$WORK/$damage/active/$ZSTD.sql.zst" bs=1 seek=$((size / 2)) conv=notrunc status=none
    fi
    [ "$(id -u)" != 0 ] || chown -R "$SERVER_USER" "$WORK/$damage"
    fails "$damage: verify says so" 17 "$ZSTD" as_server env "BACKUP_DIR=$WORK/$damage" immbackup verify "$ZSTD"
done

# ----------------------------------------------------------------------------- what a held run has running
job() { pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job'; }
pg_dump_of() { pgrep -u "$SERVER_USER" -x pg_dump; }
threads() { find "/proc/$(job)/task" -mindepth 1 -maxdepth 1 | wc -l; }
# Where the kernel knows no such sessions, there is nothing to read.
session_nice() { if [ -e /proc/self/autogroup ]; then sed 's/.*nice //' "/proc/$1/autogroup"; else echo none; fi; }
with_autogroup() { if [ -e /proc/self/autogroup ]; then echo "$1"; else echo none; fi; }
held_run() { hold; q 'SELECT immbackup.run_now(wait => false)' >/dev/null; ok "$1: a run is held" until_true 30 dump_waits; }
let_go() { exec 9>&-; ok "$1: it ends" until_true 60 ended; }

set_option compression gzip:2
set_option nice 11
set_option io_priority idle
set_option compression_threads 1
held_run "gently"
is "the job is as nice as was asked" "$(ps -o ni= -p "$(job)" | tr -d ' ')" 11
is "so is its session, where the kernel shares among sessions" "$(session_nice "$(job)")" "$(with_autogroup 11)"
is "so is pg_dump" "$(ps -o ni= -p "$(pg_dump_of)" | tr -d ' ')" 11
is "and both read and write when nobody else does" "$(ionice -p "$(job)") $(ionice -p "$(pg_dump_of)")" "idle idle"
ONE=$(threads)
let_go "gently"
set_option compression_threads 5
set_option nice 0
is "the worker's session is as before" "$(session_nice "$(pgrep -u "$SERVER_USER" -f 'immbackup scheduler')")" "$(with_autogroup 0)"
set_option io_priority normal
held_run "plainly"
is "four more threads compress" "$(threads)" $((ONE + 4))
is "at the server's own priority" "$(ps -o ni= -p "$(job)" | tr -d ' ') $(ionice -p "$(job)" | cut -d: -f1)" "0 none"
let_go "plainly"
set_option compression zstd:3
held_run "zstd"
let_go "zstd"
ok "all of them are whole" cli verify --all

# ----------------------------------------------------------------------------------------- a rate limit
# A lower bound on time is all that is asked of the clock.
set_option compression gzip:2
set_option rate_limit 4
SQL=$(q "SELECT sql_size FROM immbackup.artifacts WHERE artifact = '$GZIP'")
BEGIN=$(date +%s%3N)
ok "a run at 4 MB a second" q 'SELECT immbackup.run_now()'
TOOK=$(($(date +%s%3N) - BEGIN))
# A tenth of a second is saved up at most.
ok "does not take more than that ($SQL bytes in $TOOK ms)" test "$TOOK" -ge $((SQL / 4000 - 1000))
ok "and more than a second is asked for" test "$SQL" -gt 12000000
ok "the artifact is whole" cli verify "$(newest)"
ok "no crash" no_crash
done_testing
