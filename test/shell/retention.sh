#!/usr/bin/env bash
# Retention against a real server: weeks pass by a clock of the tests' own (test/clock/later.c), prunes are killed at each
# system call that matters, a file system fills up, and operators act while a run goes on.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-retention.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
B=$WORK/backups
finish() {
    umount "$WORK/small" 2>/dev/null
    remove_work
}
trap finish EXIT
cc -shared -fPIC -O2 -o "$WORK/later.so" "$ROOT/test/clock/later.c" || exit 1
HOUR=0  # since the beginning of the test
WALL=0  # hours that the wall clock is ahead of that
later() {
    as_server env "LD_PRELOAD=$WORK/later.so" "LATER_MS=$((HOUR * 3600000))" "WALL_MS=$((WALL * 3600000))" \
        BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off "$@"
}
backup() { later immbackup backup --database "${1:-shop}" --quiet >"$WORK/last" 2>&1 || { cat "$WORK/last"; return 1; }; }
plan() { later immbackup prune --dry-run --json; }
prune() { later immbackup prune --json; }
newest() { later immbackup list --json | jq -r 'map(select(.database == "'"${1:-shop}"'")) | last.artifact'; }
stems() { later immbackup list --json | jq -r '.[].artifact' | tr '\n' ' '; }
count() { later immbackup list --json | jq length; }
reason_of() { plan | jq -r --arg a "$1" '.artifacts[] | select(.artifact == $a) | .action + ": " + .reason'; }
sound_log() { later immbackup audit verify >/dev/null; }
events() { jq -r --arg e "$1" 'select(.event == $e) | .event' "$B/logs/backup_audit.jsonl" | wc -l; }
# Every manifest stands for a whole artifact, and nothing else lies about.
whole() {
    local manifest stem
    for manifest in "$B"/active/*.manifest.json; do
        stem=$(basename "$manifest" .sql.gz.manifest.json)
        (cd "$B/active" && sha256sum --quiet -c "$stem.sql.gz.sha256") || return 1
    done
    [ "$(find "$B/active" -type f | wc -l)" = "$(($(find "$B/active" -name '*.manifest.json' | wc -l) * 3))" ]
}

server_start "immbackup.min_free = 0" "immbackup.anomaly_percent = 50"
sql -d postgres -c 'CREATE DATABASE shop' -c 'CREATE DATABASE other'
sql -d postgres -c 'CREATE EXTENSION immbackup'
sql -d shop -c 'CREATE TABLE t AS SELECT g FROM generate_series(1, 2000) AS g'
sql -d other -c 'CREATE TABLE t AS SELECT 1 AS g'

# ------------------------------------------------------------------------------ weeks, in one boot
ok "a first backup" backup
FIRST=$(newest)
is "it is the week's" "$(plan | jq -r '.artifacts[0].tier')" weekly
for HOUR in 1 2 3; do ok "and one an hour later" backup; done
is "they are hourly, but for one where a day begins" "$(plan | jq -r '[.artifacts[1:][].tier] | unique | join(" ")' | grep -c hourly)" 1
HOURLY=$(plan | jq '[.artifacts[] | select(.tier == "hourly")] | length')
HOUR=$((24 * 3))
for _ in 1 2 3; do HOUR=$((HOUR + 1)); ok "a backup after three days" backup; done
is "the hourly ones of the first day are gone, and no others" "$(events artifact_pruned)" "$HOURLY"
HOUR=$((24 * 29))
before=$(count)
ok "a dry run after four weeks" plan
is "touches nothing" "$(count)" "$before"
is "the first one's time is over" "$(reason_of "$FIRST" | cut -d: -f1)" prune
is "the three newest stay whatever their age" "$(plan | jq '[.artifacts[] | select(.action == "keep")] | length')" 3
HELD=$FIRST
ok "a hold" later immbackup hold "$HELD" --reason 'case 4711'
fails "a second one is refused" 24 'under a hold already' later immbackup hold "$HELD" --reason again
ok "prune" prune
is "what is under a hold stays, and the newest three" "$(count)" 4
ok "by its files, too" test -e "$B/active/$HELD.sql.gz"
ok "release" later immbackup release "$HELD" --reason 'closed'
ok "prune" prune
is "now it is gone" "$(count)" 3
ok "the log is sound" sound_log
ok "what is there is whole" whole

# ----------------------------------------------------------------------------------- longer, anomaly
NEWEST=$(newest)
ok "a longer setting" later immbackup prune --retention-days 400 --json
is "lengthens what is there, recorded" "$(events retention_extended)" 1
is "and keeps it" "$(plan | jq -r '[.artifacts[].action] | unique | join(" ")')" keep
sql -d shop -c 'DELETE FROM t'
ok "a backup of an emptied table" backup
ANOMALY=$(newest)
ok "is told" grep -q 'anomaly' "$WORK/last"
fails "check says so" 1 'anomaly that nobody has accepted' later immbackup check
HOUR=$((24 * 500))
sql -d shop -c 'DELETE FROM t'
for _ in 1 2 3; do HOUR=$((HOUR + 1)); backup || echo "# no backup"; done
is "nothing good goes because of bad ones" "$(reason_of "$NEWEST" | grep -cE 'min_keep|anomaly')" 1
ok "accepted" later immbackup accept "$(newest)" --reason 'the table is empty now'
fails "once" 24 'accepted already' later immbackup accept "$(newest)" --reason again
for _ in 1 2 3; do HOUR=$((HOUR + 1)); ok "a normal one" backup; done
ok "now the old ones can go" test "$(later immbackup list --json | jq --arg n "$NEWEST" '[.[] | select(.artifact == $n)] | length')" = 0
ok "and so could the anomaly" test "$ANOMALY" != "$NEWEST"

# ------------------------------------------------------------------------------------------ the clock
ok "another database" backup other
OTHER=$(newest other)
HOUR=$((HOUR + 1))
WALL=$((24 * 900))
before=$(stems)
ok "the wall clock jumps by years" prune
is "nothing goes" "$(stems)" "$before"
ok "a plan says why" test "$(plan | jq -r '.blocked | test("The clock was set forward by (899|900) days while the machine was running")')" = true
backup
fails "and check" 1 'not removed: The clock was set forward' later immbackup check
WALL=0
HOUR=$((HOUR + 5))
is "set back, it is behind the newest record" "$(plan | jq -r '.blocked | test("behind the newest record")')" true
ok "somebody looks at it" later immbackup acknowledge --clock --reason 'checked'
is "and it goes on" "$(plan | jq -r .blocked)" null
echo 11111111-2222-3333-4444-555555555555 >"$WORK/boot_id"
HOUR=$((HOUR + 24 * 60))
rebooted() {
    unshare -m bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && "$@"' - "$WORK/boot_id" \
        bash -c "$(declare -f later as_server); $(declare -p WORK PG_BIN SERVER_USER HOUR WALL); later \"\$@\"" - "$@"
}
is "after a restart nothing goes at once" "$(rebooted immbackup prune --dry-run --json | jq -r '.blocked | test("restarted")')" true
ok "a run" rebooted immbackup backup --database shop --quiet
HOUR=$((HOUR + 3))
is "nor after three hours" "$(rebooted immbackup prune --dry-run --json | jq -r '.blocked | test("steady")')" true
HOUR=$((HOUR + 2))
is "but after five" "$(rebooted immbackup prune --dry-run --json | jq -r .blocked)" null
ok "the newest of each database is there" test -e "$B/active/$OTHER.sql.gz"
ok "a database that is gone" later immbackup retire other --reason 'dropped'
ok "somebody looks at the clock" later immbackup acknowledge --clock --reason 'same boot for the test'
ok "prune" prune
ok "loses its last artifact" test ! -e "$B/active/$OTHER.sql.gz"
ok "the log is sound" sound_log

# ---------------------------------------------------------------------------------------- killed prunes
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    # The newest three stay, and, until its time comes, the one that was taken when the clock was years ahead.
    kills=0 wrong=0
    for call in unlink fsync fdatasync write fchmod ioctl; do
        for n in 1 2 3 5 8 13; do
            for _ in 1 2 3 4; do HOUR=$((HOUR + 1)); backup >/dev/null; done
            HOUR=$((HOUR + 24 * 40))
            strace -f -q -o /dev/null -e "trace=$call" -e "inject=$call:signal=SIGKILL:when=$n" -- bash -c \
                "$(declare -f later as_server); $(declare -p WORK PG_BIN SERVER_USER HOUR WALL); later immbackup prune --quiet" >/dev/null 2>&1 || kills=$((kills + 1))
            prune >/dev/null || { echo "# prune failed after $call $n"; wrong=$((wrong + 1)); }
            { whole && sound_log && [[ $(count) = [34] ]]; } || { echo "# not whole after $call $n: $(stems)"; wrong=$((wrong + 1)); }
        done
    done
    is "killed at each of its system calls, a prune is finished by the next" "$wrong" 0
    ok "kills that hit: $kills" test "$kills" -ge 12
else
    echo "# strace cannot trace here: prunes are killed by the unit tests alone"
fi

# -------------------------------------------------------------------------------------- a full file system
truncate -s 64M "$WORK/image" && mkfs.ext4 -q -m 0 "$WORK/image" && mkdir "$WORK/small" && mount -o loop "$WORK/image" "$WORK/small"
install -d -m 0700 -o "$SERVER_USER" "$WORK/small/b"
small() { later env "BACKUP_DIR=$WORK/small/b" "$@"; }
HOUR=0
for _ in 1 2 3 4 5; do HOUR=$((HOUR + 1)); ok "a backup on a small file system" small immbackup backup --database shop --quiet; done
fails "a run that would leave too little is refused" 16 'immbackup.min_free' \
    small env BACKUP_MIN_FREE=60MB immbackup backup --database shop --quiet
is "and recorded" "$(jq -r 'select(.event == "artifact_failed") | .body.error.code' "$WORK/small/b/logs/backup_audit.jsonl")" no_space
fill() { dd if=/dev/zero of="$WORK/small/fill" bs=64k status=none 2>/dev/null; dd if=/dev/zero of="$WORK/small/fill2" bs=1 count=65536 status=none 2>/dev/null; }
fill
fails "a full one refuses a run" 16 'not enough space|No space' small immbackup backup --database shop --quiet
HOUR=$((24 * 60))
ok "but is pruned" small immbackup prune --quiet
is "by what the log keeps in reserve" "$(find "$WORK/small/b/active" -name '*.manifest.json' | wc -l)" 3
rm -f "$WORK/small/fill" "$WORK/small/fill2"
ok "with room again it goes on by itself" small immbackup backup --database shop --quiet
ok "the log is sound" small immbackup audit verify
umount "$WORK/small"

# ---------------------------------------------------------------------------- operators, beside a run
server_stop
chattr -R -f -i -a "$B" 2>/dev/null
rm -rf "$B"
as_server mkdir -m 0700 "$B"
cat >"$WORK/told.sh" <<EOF
#!/bin/sh
cat >>"$WORK/told"
echo >>"$WORK/told"
EOF
chmod 0755 "$WORK/told.sh"
install -o "$SERVER_USER" -m 0600 /dev/null "$WORK/told"
echo "immbackup.on_event = '$WORK/told.sh'" | as_server tee -a "$WORK/data/postgresql.conf" >/dev/null
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
q() { sql -d postgres -c "$1"; }
until_true 20 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SELECT worker_state FROM immbackup.status')\" = ready ]"
ok "a run" q "SELECT immbackup.run_now('{shop}')"
A=$(q "SELECT max(artifact) FROM immbackup.artifacts")
sql -d shop -c 'BEGIN; LOCK TABLE t; SELECT pg_sleep(600)' >/dev/null 2>&1 &
LOCKER=$!
until_true 20 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q \"SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL\")\" = 1 ]"
q "SELECT immbackup.run_now('{shop}', wait => false)" >/dev/null
ok "a hold while a run waits for a lock" q "SELECT immbackup.hold('$A', 'case 1')"
is "is shown" "$(q "SELECT hold_reason || held_by FROM immbackup.retention WHERE artifact = '$A'")" "case 1postgres"
fails "a second one is refused" '[13]' 'under a hold already' q "SELECT immbackup.hold('$A', 'case 1')"
fails "an unknown artifact" '[13]' 'there is no artifact' q "SELECT immbackup.hold('nope', 'x')"
fails "no reason" '[13]' 'a reason is needed' q "SELECT immbackup.release('$A', ' ')"
fails "a prune says that the run prunes itself" '[13]' 'holds the backup directory' q 'SELECT immbackup.prune(false)'
ok "release" q "SELECT immbackup.release('$A', 'done')"
ok "cancel" q 'SELECT immbackup.cancel_run()'
kill "$LOCKER" 2>/dev/null
q "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE%' AND pid <> pg_backend_pid()" >/dev/null
until_true 30 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SELECT count(*) FROM immbackup.progress')\" = 0 ]"
ok "a prune" q 'SELECT count(*) FROM immbackup.prune(false)'
ok "a longer retention by reload" q "ALTER SYSTEM SET immbackup.retention_weekly_days = 14"
q "SELECT pg_reload_conf()" >/dev/null
until_true 20 grep -q 'the retention was changed, days kept' "$WORK/server.log"
ok "is a warning in the server log" grep -q 'weekly 14 instead of 28' "$WORK/server.log"
until_true 20 grep -q '"event":"retention_changed"' "$WORK/told"
ok "is told" grep -q '"event":"retention_changed"' "$WORK/told"
is "waits for somebody" "$(q "SELECT unacknowledged LIKE 'days kept:%' FROM immbackup.status")" t
ok "who acknowledges it" q "SELECT immbackup.acknowledge_settings('plan 12')"
is "then it is gone" "$(q 'SELECT unacknowledged IS NULL FROM immbackup.status')" t

chattr -f -i "$B/active/$A.sql.gz.sha256" 2>/dev/null
rm -f "$B/active/$A.sql.gz.sha256"
ok "a run after somebody removed a file" q "SELECT immbackup.run_now('{shop}')"
is "it is missing" "$(q "SELECT state FROM immbackup.artifacts WHERE artifact = '$A'")" missing
ok "another run" q "SELECT immbackup.run_now('{shop}')"
is "recorded once" "$(events artifact_verified)" 1
until_true 20 grep -q '"event":"artifact_lost"' "$WORK/told"
ok "told" grep -q '"event":"artifact_lost"' "$WORK/told"
fails "and check is critical" 2 'missing' as_server immbackup check
ok "until it is accepted" q "SELECT immbackup.accept_anomaly('$A', 'known')"
is "then there is only no schedule" "$(as_server immbackup check >/dev/null; echo $?)" 3

# The scheduler dies while it works for somebody: they are told, and the next one is served.
exec 8>>"$B/logs/backup_audit.jsonl"
flock 8
(q "SELECT immbackup.retire_database('shop', 'x')" >"$WORK/waiter" 2>&1; echo "ended" >>"$WORK/waiter") &
until_true 20 pgrep -u "$SERVER_USER" -f 'immbackup job'
kill -KILL "$(pgrep -u "$SERVER_USER" -f 'immbackup job' | head -1)"
until_true 20 grep -q ended "$WORK/waiter"
ok "a waiter whose job is killed is told" grep -qE 'before it reported|terminated' "$WORK/waiter"
flock -u 8
exec 8>&-
ok "and may ask again" q "SELECT immbackup.retire_database('shop', 'x')"
ok "no crash" no_crash
done_testing
