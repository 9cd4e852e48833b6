#!/usr/bin/env bash
# What s3_prune deletes from a real bucket (radosgw), and what it leaves, while days pass for us and for the store alike, by
# a clock of the tests' own (test/clock/later.c); what is told of a store whose locks are not proven; and a
# store that is frozen for a minute.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-upload-prune.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/bucket.sh"
B=$WORK/backups
finish() {
    [ -z "${SCRIPTED:-}" ] || kill "$SCRIPTED" 2>/dev/null
    [ -z "${FROZEN:-}" ] || kill "$FROZEN" 2>/dev/null
    "$CEPH" stop "$WORK/ceph" >/dev/null 2>&1
    [ ! -d "$WORK/frozen-ceph" ] || "$CEPH" stop "$WORK/frozen-ceph" >/dev/null 2>&1
    remove_work
}
trap finish EXIT
trap 'exit 130' INT TERM
cc -shared -fPIC -O2 -o "$WORK/later.so" "$ROOT/test/clock/later.c" || exit 1

ok "an S3 server" "$CEPH" start "$WORK/ceph"
bucket_setup
ok "a bucket with Object Lock" client bucket locked locked
server_start "immbackup.min_free = 0"
sql -d postgres -c 'CREATE DATABASE shop'
sql -d shop -c 'CREATE TABLE t AS SELECT g FROM generate_series(1, 2000) AS g'

# ------------------------------------------------------------------------------------ frozen for a minute
# In the background, with a store of its own: it mostly sleeps. Its findings are looked at in the end.
sql -d postgres -c 'CREATE DATABASE large'
# 19 MB that do not compress: parts are sent while it is dumped.
sql -d large -c 'CREATE TABLE t AS SELECT g, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c FROM generate_series(1, 300000) AS g'
frozen_for_a_minute() {
    local store=$WORK/frozen-ceph stopped run
    B=$WORK/frozen
    own_directory "$B"
    "$CEPH" start "$store" || return 1
    export S3_TEST_ENDPOINT
    S3_TEST_ENDPOINT=http://127.0.0.1:$(. "$store/started" && echo "$PORT")
    client bucket locked locked
    s3 env "BACKUP_DIR=$B" BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off S3_OBJECT_LOCK_DAYS=1 S3_STALL_TIMEOUT=5 S3_REQUIRED=true \
        immbackup backup --database large --quiet >"$WORK/frozen.log" 2>&1 &
    run=$!
    until_true 60 begun || return 1
    "$CEPH" pause "$store"
    stopped=$SECONDS
    until_true 60 sealed && echo "sealed"
    sleep $((60 - (SECONDS - stopped)))
    echo "then uploaded: $(events object_uploaded)"
    "$CEPH" resume "$store"
    wait $run
    echo "run: $?"
    echo "artifacts uploaded: $(log 'select(.event == "artifact_uploaded") | .body.state')"
    echo "failures: $(events upload_failed), left unfinished: $(client uploads locked)"
}
begun() { [ "$(events upload_begun)" -ge 1 ]; }
sealed() { [ "$(events artifact_sealed)" = 1 ]; }
frozen_for_a_minute >"$WORK/frozen.out" 2>"$WORK/frozen.err" &
FROZEN=$!

HOUR=0  # since the beginning of the test
later() {
    s3 env "LD_PRELOAD=$WORK/later.so" "LATER_MS=$((HOUR * 3600000))" BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off BACKUP_RETENTION_DAYS=2 \
        S3_EXTEND_LOCKS=off "$@"
}
backup() { later "$@" immbackup backup --database shop --quiet; }
store_follows() {
    LD_PRELOAD=$WORK/later.so LATER_MS=$((HOUR * 3600000)) "$CEPH" restart "$WORK/ceph"
}
client_then() { LD_PRELOAD=$WORK/later.so LATER_MS=$((HOUR * 3600000)) client "$@"; }
newest() { later immbackup list --json | jq -r 'last.artifact'; }
in_bucket() { client_then names locked "backups/$1" | wc -l; }
pruned_here() { [ ! -e "$B/active/$1.sql.gz" ] && log "select(.event == \"artifact_pruned\") | .body.artifact" | grep -xF "$1" >/dev/null; }
deleted() { log 'select(.event == "objects_deleted") | .body.artifact' | tr '\n' ' '; }

# ------------------------------------------------------------------------------------- what waits for its end
ok "a backup that is locked for ten days" backup env S3_OBJECT_LOCK_DAYS=10
STANDS=$(newest)
ok "one that is locked for a day" backup env S3_OBJECT_LOCK_DAYS=1
ENDED=$(newest)
ok "and another one" backup env S3_OBJECT_LOCK_DAYS=1
HELD=$(newest)
read -r key version <<<"$(object "$HELD" .sql.gz)"
ok "whose dump another client holds" client hold locked "$key" "$version" ON
read -r key version <<<"$(object "$ENDED" .sql.gz)"
is "today its lock stands" "$(client delete locked "$key" "$version")" AccessDenied

# -------------------------------------------------------------------------------------------- four days later
HOUR=$((4 * 24))
ok "four days pass" store_follows
for _ in 1 2 3; do ok "a backup" backup env S3_OBJECT_LOCK_DAYS=1; done
KEPT=$(newest)
for artifact in "$STANDS" "$ENDED" "$HELD"; do ok "$artifact is pruned here" pruned_here "$artifact"; done
ok "a pass without s3_prune" later immbackup upload --quiet
is "deletes nothing" "$(in_bucket "$STANDS") $(in_bucket "$ENDED") $(in_bucket "$HELD") $(deleted)" "4 4 4 "
ok "one with it" later env S3_PRUNE=on immbackup upload --quiet
is "deletes the one whose lock is over" "$(in_bucket "$ENDED")" 0
is "not the one whose lock stands" "$(in_bucket "$STANDS")" 4
is "nor anything of the one whose dump is under a legal hold" "$(in_bucket "$HELD")" 4
is "nor one that is still here" "$(in_bucket "$KEPT")" 4
is "and has it in its log" "$(deleted)" "$ENDED "
ok "once more" later env S3_PRUNE=on immbackup upload --quiet
is "it is not deleted twice" "$(deleted)" "$ENDED "
read -r key version <<<"$(object "$STANDS" .sql.gz)"
is "the store would not have let the other one go" "$(client_then delete locked "$key" "$version")" AccessDenied
read -r key version <<<"$(object "$HELD" .sql.gz)"
client_then hold locked "$key" "$version" OFF
ok "once the hold is lifted" later env S3_PRUNE=on immbackup upload --quiet
is "it goes, too" "$(in_bucket "$HELD") $(in_bucket "$STANDS")" "0 4"

# -------------------------------------------------------------------------------------------- twelve days later
HOUR=$((12 * 24))
ok "eight days more" store_follows
ok "a pass" later env S3_PRUNE=on immbackup upload --quiet
is "the lock of ten days is over" "$(in_bucket "$STANDS")" 0
is "what is still here stays in the bucket, though its lock is over" "$(in_bucket "$KEPT")" 4
ok "the log is sound" later immbackup audit verify
HOUR=0
ok "the clock of today" store_follows

# ----------------------------------------------------------------------------- what the settings lead to
own_directory "$WORK/second"
second() { s3 env "BACKUP_DIR=$WORK/second" BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off S3_PREFIX=second S3_OBJECT_LOCK_DAYS=2 "$@"; }
row() { jq -r --arg r "$1" '.. | objects | select(.check? == $r) | .verdict + ": " + .detail' "$WORK/rows.json"; }
ok "a backup of another instance" second immbackup backup --database shop --quiet
second immbackup check --s3 --json >"$WORK/rows.json"
is "a class that can be read at once" "$(row 'storage class can be read at once')" "yes: the bucket's default"
is "one backup a day, four objects each, two days" "$(row 'locked objects in the long run' | sed 's/with [0-9]* bytes/with N bytes/')" \
    "unknown: about 8 objects with N bytes, locked for 2 days each"
is "and their bytes" "$(row 'locked objects in the long run' | grep -oE '[0-9]+ bytes')" \
    "$(($(stat -c %s "$WORK"/second/active/*.sql.gz) * 2)) bytes"
for class in GLACIER DEEP_ARCHIVE; do
    second env S3_STORAGE_CLASS=$class immbackup check --s3 --json >"$WORK/rows.json"
    is "$class needs a thaw" "$(row 'storage class can be read at once')" "no: $class must be thawed before a restore, which takes hours"
    is "which is a finding" "$(jq -r '.. | objects | select(.check? == "storage class can be read at once") | .finding' "$WORK/rows.json")" true
done

# ------------------------------------------------------------------------------- a store that holds nothing
# scripted SCENARIO: a server of test/s3/scenarios, its port in $WORK/port
scripted() {
    rm -f "$WORK/port"
    python3 - "$ROOT/test/s3" "$1" >"$WORK/port" 2>"$WORK/scripted.log" <<'EOP' &
import importlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/scenarios']
import scripted_server
print(scripted_server.Server(importlib.import_module(sys.argv[2]).Scenario()).server_port, flush=True)
EOP
    SCRIPTED=$!
    until_true 20 test -s "$WORK/port"
}
printf '[default]\naws_access_key_id = SCRIPTEDACCESSKEY001\naws_secret_access_key = scriptedSecret/DoNotShow/0000000000000001\n' >"$WORK/home/scripted"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/home/scripted"
chmod 0400 "$WORK/home/scripted"
for scenario in lies:unlocked may_not_read_retention:unproven; do
    state=${scenario#*:} scenario=${scenario%:*}
    scripted "$scenario"
    own_directory "$WORK/$scenario"
    fails "$scenario: an anchor that is not proven locked is told" '[0-9]+' "anchor \"backups/audit/[0-9-]+.jsonl\" of the audit log is in the bucket, but its lock is $state: ." \
        cli env "AWS_SHARED_CREDENTIALS_FILE=$WORK/home/scripted" "BACKUP_DIR=$WORK/$scenario" BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off S3_BUCKET=bucket \
        "S3_ENDPOINT_URL=http://127.0.0.1:$(cat "$WORK/port")" S3_OBJECT_LOCK_DAYS=1 immbackup backup --database shop
    is "$scenario: and recorded so" "$(jq -r 'select(.event == "anchor_stored") | .body.state' "$WORK/$scenario/logs/backup_audit.jsonl" | sort -u)" "$state"
    kill "$SCRIPTED"
done

# ---------------------------------------------------------------------------------------- after the minute
wait $FROZEN
is "a store that is frozen for a minute: the dump does not wait, and the upload goes on" "$(cat "$WORK/frozen.out")" "sealed
then uploaded: 0
run: 0
artifacts uploaded: locked
failures: 0, left unfinished: 0"
[ ! -s "$WORK/frozen.err" ] || sed 's/^/# /' "$WORK/frozen.err"
ok "no crash" no_crash
done_testing
