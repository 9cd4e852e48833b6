#!/usr/bin/env bash
# What s3_prune deletes from a real bucket (radosgw), and what it leaves, while days pass for us and for the store alike, by
# a clock of the tests' own (test/clock/later.c); and what is told of a bucket whose locks cannot be read back.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-upload-prune.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/bucket.sh"
B=$WORK/backups
finish() {
    "$CEPH" stop "$WORK/ceph" >/dev/null 2>&1
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
pruned_here() { [ ! -e "$B/active/$1.sql.gz" ] && log "select(.event == \"artifact_pruned\") | .body.artifact" | grep -qxF "$1"; }
deleted() { log 'select(.event == "objects_deleted") | .body.artifact' | tr '\n' ' '; }

# ------------------------------------------------------------------------------------- what waits for its end
ok "a backup that is locked for ten days" backup env S3_OBJECT_LOCK_DAYS=10
STANDS=$(newest)
ok "one that is locked for a day" backup env S3_OBJECT_LOCK_DAYS=1
ENDED=$(newest)
ok "and another one" backup env S3_OBJECT_LOCK_DAYS=1
HELD=$(newest)
for suffix in .sql.gz .sql.gz.sha256 .sql.gz.manifest.json .receipt.json; do
    read -r key version <<<"$(object "$HELD" $suffix)"
    ok "which another client holds ($suffix)" client hold locked "$key" "$version" ON
done
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
is "nor the one under a legal hold" "$(in_bucket "$HELD")" 4
is "nor one that is still here" "$(in_bucket "$KEPT")" 4
is "and has it in its log" "$(deleted)" "$ENDED "
ok "once more" later env S3_PRUNE=on immbackup upload --quiet
is "it is not deleted twice" "$(deleted)" "$ENDED "
read -r key version <<<"$(object "$STANDS" .sql.gz)"
is "the store would not have let the other one go" "$(client_then delete locked "$key" "$version")" AccessDenied
for suffix in .sql.gz .sql.gz.sha256 .sql.gz.manifest.json .receipt.json; do
    read -r key version <<<"$(object "$HELD" $suffix)"
    client_then hold locked "$key" "$version" OFF
done
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

# ----------------------------------------------------------------------------- locks that cannot be read back
printf '[default]\naws_access_key_id = WRITERACCESSKEY00001\naws_secret_access_key = writerSecretKey/000000000000000000000001x\n' >"$WORK/home/writer"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/home/writer"
chmod 0400 "$WORK/home/writer"
ok "a user" "$CEPH" admin "$WORK/ceph" user create --uid=writer --display-name=writer \
    --access-key=WRITERACCESSKEY00001 --secret-key=writerSecretKey/000000000000000000000001x
jq '.Statement[].Action |= map(select(. != "s3:GetObjectRetention"))' "$ROOT/docs/s3-policy.json" >"$WORK/policy.json"
ok "a bucket" client bucket least locked
ok "who may not read how long it is locked" client policy least "$WORK/policy.json" blind 2 writer
own_directory "$WORK/third"
blind() { s3 env "AWS_SHARED_CREDENTIALS_FILE=$WORK/home/writer" "BACKUP_DIR=$WORK/third" BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off S3_BUCKET=least S3_PREFIX=blind S3_OBJECT_LOCK_DAYS=1 "$@"; }
fails "an anchor that is not proven locked is told" '[0-9]+' 'anchor "blind/audit/[0-9-]+.jsonl" of the audit log is in the bucket, but its lock is unproven' \
    blind immbackup backup --database shop
is "and recorded so" "$(jq -r 'select(.event == "anchor_stored") | .body.state' "$WORK/third/logs/backup_audit.jsonl" | sort -u)" unproven
ok "no crash" no_crash
done_testing
