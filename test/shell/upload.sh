#!/usr/bin/env bash
# Uploads of a real server to a real S3 server (radosgw): what a run brings into the bucket, under which lock, by the eyes
# of an independent client; a gateway that is away, frozen or killed; a prefix of another instance; a key that exists;
# anchors of the audit log. What happens when it is stopped in the middle: upload_faults.sh.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-upload.XXXXXX")
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

ok "an S3 server" "$CEPH" start "$WORK/ceph"
bucket_setup
ok "a bucket with Object Lock" client bucket locked locked
ok "and one without" client bucket plain
server_start "immbackup.min_free = 0" "immbackup.databases = 'shop'" "immbackup.globals = off" \
    "immbackup.s3_bucket = 'locked'" "immbackup.s3_endpoint_url = '$S3_TEST_TLS_ENDPOINT'" "immbackup.s3_ca_file = '$S3_TEST_CA_FILE'" "immbackup.s3_object_lock_days = 1" \
    "immbackup.s3_retry_timeout = 2" "immbackup.s3_connect_timeout = 2"
until_true 20 is_state ready
q 'CREATE EXTENSION immbackup'
q 'CREATE DATABASE shop'
sql -d shop -c 'CREATE TABLE t AS SELECT g, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c FROM generate_series(1, 300000) AS g'

# ------------------------------------------------------------------------------------------- a good run
ok "a run" q 'SELECT immbackup.run_now()'
A=$(artifact)
is "its artifact is locked" "$(upload_state "$A")" locked
is "in COMPLIANCE, by the view" "$(q "SELECT lock_mode || ' ' || (locked_until > now() + interval '23 hours') FROM immbackup.artifacts WHERE artifact = '$A'")" "COMPLIANCE true"
ok "the dump went in parts" test "$(events upload_begun)" -ge 1
is "whose lock the store ignored, so it was added, and proven" "$(log "select(.event == \"object_uploaded\" and (.body.file | endswith(\".sql.gz\"))) | .body.how + \" \" + .body.state")" "added locked"
for suffix in .sql.gz .sql.gz.sha256 .sql.gz.manifest.json .receipt.json; do
    read -r key version <<<"$(object "$A" $suffix)"
    is "$suffix has the seed's key" "$key" "backups/$A$suffix"
    is "$suffix cannot be deleted by another client" "$(client delete locked "$key" "$version")" AccessDenied
    [ $suffix = .receipt.json ] || is "$suffix is byte-identical" "$(client sha256 locked "$key" "$version")" "$(sha256sum <"$B/active/$A$suffix" | cut -d' ' -f1)"
done
is "no upload is left unfinished" "$(client uploads locked)" 0
is "the prefix is marked" "$(events prefix_marked)" 1
ok "the audit log is anchored" test "$(events anchor_stored)" -ge 1
is "which status shows" "$(q 'SELECT anchored_seq > 0 FROM immbackup.status')" t
ok "check is content" test "$(cli immbackup check >/dev/null; echo $?)" != 2
sound "after a run with uploads"

# ---------------------------------------------------------------------------------- what can be known before
fails "check --s3 finds that these credentials may delete" 1 '"right to delete versions"|may delete' s3 immbackup check --s3 --json
is "check by SQL says that Object Lock is on" "$(q "SELECT verdict FROM immbackup.s3_check() WHERE \"check\" ILIKE '%object lock%' LIMIT 1")" yes
fails "a bucket without Object Lock" 10 'object lock: no' cli env S3_BUCKET=plain "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" immbackup upload
mkdir "$WORK/second"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/second"
fails "the prefix belongs to one instance" 10 'belongs to another instance' \
    s3 env "BACKUP_DIR=$WORK/second" BACKUP_MIN_FREE=0 S3_REQUIRED=true immbackup backup --database shop --quiet
ok "another one has its own" s3 env "BACKUP_DIR=$WORK/second" BACKUP_MIN_FREE=0 S3_PREFIX=second S3_REQUIRED=true immbackup backup --database shop --quiet

# --------------------------------------------------------------------------- the policy of the documentation
# Another user, who may do only what docs/s3-policy.json allows.
printf '[default]\naws_access_key_id = WRITERACCESSKEY00001\naws_secret_access_key = writerSecretKey/000000000000000000000001x\n' >"$WORK/home/writer"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/home/writer"
chmod 0400 "$WORK/home/writer"
ok "a user of the least rights" "$CEPH" admin "$WORK/ceph" user create --uid=writer --display-name=writer \
    --access-key=WRITERACCESSKEY00001 --secret-key=writerSecretKey/000000000000000000000001x
ok "a bucket of their own" client bucket least locked
ok "by the policy of the documentation" client policy least "$ROOT/docs/s3-policy.json" policy 2 writer
mkdir "$WORK/third"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/third"
least() { s3 env "AWS_SHARED_CREDENTIALS_FILE=$WORK/home/writer" "BACKUP_DIR=$WORK/third" BACKUP_MIN_FREE=0 S3_BUCKET=least S3_PREFIX=policy S3_REQUIRED=true "$@"; }
ok "it suffices for a run that must be proven locked" least S3_OBJECT_LOCK_DAYS=1 immbackup backup --database shop --quiet
least immbackup check --s3 --json >"$WORK/least.json"
verdict() { jq -r --arg r "$1" '.. | objects | select(.check? == $r) | .verdict' "$WORK/least.json"; }
is "no right to delete" "$(verdict 'right to delete versions')" no
is "nor to change the bucket's lock" "$(verdict 'right to change the lock configuration')" no
is "nothing but rights that are wanted" "$(jq -r '[.. | objects | select(.finding? == true and (.check | startswith("right to"))) | .check] | join(", ")' "$WORK/least.json")" ""

# --------------------------------------------------------------------------------------------- holds
ok "a hold" q "SELECT immbackup.hold('$A', 'case 1')"
is "goes along into the bucket" "$(log 'select(.event == "legal_hold_changed") | .body.on')" true
ok "release" q "SELECT immbackup.release('$A', 'done')"

# ------------------------------------------------------------------------------------- after a restart
if unshare -m true 2>/dev/null; then
    echo 11111111-2222-3333-4444-555555555555 >"$WORK/boot_id"
    chmod 0444 "$WORK/boot_id"
    rebooted() { unshare -m bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec runuser -u "$1" -- "${@:2}"' - "$WORK/boot_id" "$SERVER_USER" env "BACKUP_DIR=$B" S3_BUCKET=locked S3_OBJECT_LOCK_DAYS=1 "AWS_SHARED_CREDENTIALS_FILE=$AWS_SHARED_CREDENTIALS_FILE" AWS_CONFIG_FILE=/dev/null "$@"; }
    is "after a restart nothing is pruned" "$(rebooted immbackup prune --dry-run --json | jq -r '.blocked | test("restarted")')" true
    ok "a store without a certificate says nothing of the time" rebooted "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" immbackup upload
    is "so it still waits" "$(rebooted immbackup prune --dry-run --json | jq -r '.blocked | test("restarted")')" true
    ok "one with a certificate does" rebooted "S3_ENDPOINT_URL=$S3_TEST_TLS_ENDPOINT" "S3_CA_FILE=$S3_TEST_CA_FILE" immbackup upload
    is "which is recorded" "$(events clock_confirmed)" 1
    is "and it waits no longer" "$(rebooted immbackup prune --dry-run --json | jq -r .blocked)" null
    ok "in the boot of the rest of this test" cli immbackup acknowledge --clock --reason test --directory "$B"
fi

# --------------------------------------------------------------------------------- the gateway is away
"$CEPH" kill "$WORK/ceph"
ok "a run without the gateway is good" q 'SELECT immbackup.run_now()'
P=$(artifact)
is "its upload is pending" "$(upload_state "$P")" pending
is "which status counts" "$(q 'SELECT uploads_pending FROM immbackup.status')" 1
ok "with s3_required" q "ALTER SYSTEM SET immbackup.s3_required = on"
q 'SELECT pg_reload_conf()' >/dev/null
until_true 10 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SHOW immbackup.s3_required')\" = on ]"
fails "a run raises" '[13]' 'upload failed' q 'SELECT immbackup.run_now()'
is "and has failed" "$(q 'SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1')" failed
is "its artifact is good" "$(q "SELECT state FROM immbackup.artifacts WHERE artifact = '$(artifact)'")" good
"$CEPH" restart "$WORK/ceph"
ok "what is pending is uploaded on demand" q 'SELECT immbackup.upload_pending()'
is "all of it" "$(q "SELECT string_agg(DISTINCT upload, ',') FROM immbackup.artifacts")" locked
q 'ALTER SYSTEM RESET immbackup.s3_required' && q 'SELECT pg_reload_conf()' >/dev/null

# ----------------------------------------------------------------------------------- the gateway hangs
"$CEPH" pause "$WORK/ceph"
ok "a dump does not wait for a gateway that hangs" q "SELECT immbackup.run_now(wait => false)"
N=$(q "SELECT max(run) FROM immbackup.runs")
until_true 60 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q \"SELECT count(*) FROM immbackup.artifacts WHERE run = '$N'\")\" = 1 ]"
is "it is sealed already" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE run = '$N'")" 1
"$CEPH" resume "$WORK/ceph"
ok "the run ends" until_true 90 ended
ok "and sooner or later it is locked" until_true 90 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q \"SELECT upload FROM immbackup.artifacts WHERE run = '$N'\")\" = locked ]"

# -------------------------------------------------------------------------- from the bucket alone
URL=s3://locked/backups
from() { cli env "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" BACKUP_DIR=/nonexistent immbackup "$@"; }
state_in_bucket() { from list --from "${2:-$URL}" --json | jq -r --arg a "$1" '.[] | select(.artifact == $a) | .state'; }
is "every artifact is attested" "$(from list --from $URL --json | jq -r '[.[].state] | unique | join(" ")')" attested
is "as many as the directory has" "$(from list --from $URL --json | jq length)" "$(cli immbackup list --directory "$B" --json | jq length)"
fails "show asks how the store holds it" 0 'lock +COMPLIANCE until' from show "$A" --from $URL
is "show --json is the manifest" "$(from show "$A" --from $URL --json | sha256sum)" "$(sha256sum <"$B/active/$A.sql.gz.manifest.json")"
is "verify reads all of them" "$(from verify --all --from $URL --json | jq -r '[.[].result] | unique | join(" ")')" good
mkdir "$WORK/fetched"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/fetched"
ok "fetch" from fetch "$A" --from $URL --to "$WORK/fetched"
is "what came is what was kept" "$(cd "$WORK/fetched/active" && sha256sum -- *)" "$(cd "$B/active" && sha256sum -- "$A".*)"
ok "sha256sum agrees" bash -c "cd '$WORK/fetched/active' && sha256sum -c --quiet '$A.sql.gz.sha256'"
fails "once more, it is there" 0 '^present' from fetch --latest shop "$A" --from $URL --to "$WORK/fetched"
ok "restore from what was fetched" cli immbackup restore "$A" --directory "$WORK/fetched" --to shop_fetched --quiet
is "all rows" "$(sql -d shop_fetched -c 'SELECT count(*) FROM t')" 300000
ok "restore from the bucket" from restore --latest shop --from $URL --to shop_again --host "$WORK" --quiet
is "all of them" "$(sql -d shop_again -c 'SELECT count(*) FROM t')" 300000

# Somebody who may write, and hide, but not delete what is locked.
head -c 100000 /dev/urandom >"$WORK/garbage"
for suffix in .sql.gz .sql.gz.sha256 .sql.gz.manifest.json; do
    client put locked "backups/$A$suffix" "$WORK/garbage" >/dev/null
    client hide locked "backups/$A$suffix"
done
client hide locked "backups/$A.receipt.json"
is "overwritten and hidden, it is attested" "$(state_in_bucket "$A")" attested
fails "and good" 0 "^$A +good" from verify "$A" --from $URL
client put locked "backups/$A.receipt.json" "$WORK/garbage" >/dev/null
is "a receipt that is none changes nothing" "$(state_in_bucket "$A")" attested
read -r _ REAL <<<"$(object "$A" .receipt.json)"
client get locked "backups/$A.receipt.json" "$REAL" "$WORK/receipt"
VERSION=$(client put locked "backups/$A.sql.gz" "$WORK/garbage")
jq --arg f "$A.sql.gz" --arg v "$VERSION" '.objects[$f].version_id = $v' "$WORK/receipt" >"$WORK/forged"
client put locked "backups/$A~1.receipt.json" "$WORK/forged" >/dev/null
is "a forged one makes it ambiguous" "$(state_in_bucket "$A")" ambiguous
fails "which is not used" 17 'choose one by --receipt' from restore "$A" --from $URL --to nowhere --host "$WORK" --quiet
fails "and what verify says" 17 "^$A +ambiguous" from verify "$A" --from $URL
fails "show tells them apart" '[0-9]+' "receipt +$REAL" from show "$A" --from $URL
fails "a person chooses" 0 "^$A +good" from verify "$A" --from $URL --receipt "$REAL"
# One that names the genuine versions and lies about their time would choose what --latest is.
FORGED=$(q "SELECT min(artifact) FROM immbackup.artifacts WHERE database = 'shop' AND upload = 'locked' AND artifact <> '$A'")
ok "there is a newer one" test "$FORGED" != "$(q "SELECT max(artifact) FROM immbackup.artifacts WHERE database = 'shop' AND upload = 'locked'")"
is "an old one is attested" "$(state_in_bucket "$FORGED")" attested
read -r key version <<<"$(object "$FORGED" .receipt.json)"
client get locked "$key" "$version" "$WORK/receipt"
jq '.taken = "2099-01-01T00:00:00.000Z"' "$WORK/receipt" >"$WORK/forged"
client put locked "backups/$FORGED~1.receipt.json" "$WORK/forged" >/dev/null
is "a receipt that lies about its time makes it ambiguous" "$(state_in_bucket "$FORGED")" ambiguous
is "--latest does not follow it" "$(from verify --latest shop --from $URL 2>&1 | grep -cF "$FORGED")" 0
for suffix in .sql.gz .sql.gz.sha256 .sql.gz.manifest.json; do
    client put locked "bare/$A$suffix" "$B/active/$A$suffix" >/dev/null
done
is "without a receipt it is unattested" "$(state_in_bucket "$A" s3://locked/bare)" unattested
fails "and not used" 17 'is unattested' from fetch "$A" --from s3://locked/bare --to "$WORK/fetched"
fails "unless that is said" 0 "^$A +good" from verify "$A" --from s3://locked/bare --unattested

# ------------------------------------------------------------------------------------------- anchors
verify_audit() { cli env "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" immbackup audit verify --from $URL "$@"; }
fails "the log agrees with its anchors" 0 'anchored: records 1 to [0-9]+, until' verify_audit --directory "$B"
fails "on a bare machine they stand alone" 0 '^[1-9][0-9]* anchors' env BACKUP_DIR=/nonexistent bash -c "$(declare -f as_server cli verify_audit); $(declare -p PG_BIN SERVER_USER S3_TEST_ENDPOINT URL WORK); verify_audit"
mkdir -p "$WORK/copy/active" "$WORK/copy/logs"
head -n 5 "$B/logs/backup_audit.jsonl" >"$WORK/copy/logs/backup_audit.jsonl"
chmod -R a+rX "$WORK/copy"
fails "a log that was cut off is found" 19 'was cut off: it ends with record 5' verify_audit --directory "$WORK/copy"
rm "$WORK/copy/logs/backup_audit.jsonl"
fails "and one that is gone" 19 'was cut off: it ends with record 0' verify_audit --directory "$WORK/copy"
fails "another sound log in its place is found" 19 'was rewritten: record 1' verify_audit --directory "$WORK/second"
cp "$WORK/second/logs/backup_audit.jsonl" "$WORK/copy.jsonl"
truncate -s 65M "$WORK/huge"
client put locked "backups/audit/000000000001-000000000002.jsonl" "$WORK/huge" >/dev/null
fails "an object that is too large to be an anchor hides no other" 0 'anchored: records 1 to [0-9]+, until' verify_audit --directory "$B"
client put locked "backups/audit/000000000001-000000000009.jsonl" "$WORK/copy.jsonl" >/dev/null
fails "an anchor that says otherwise is a fork" 19 'the log forks: record 1 ' verify_audit --directory "$B"

# ------------------------------------------------------------------------------------------ no secrets
fails "no secret in logs, records or settings" 1 '^$' grep -rFl "$SECRET" "$WORK/server.log" "$B/logs" "$WORK/data/postgresql.conf" "$WORK/data/postgresql.auto.conf"
ok "no crash" no_crash
done_testing
