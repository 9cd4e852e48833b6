#!/usr/bin/env bash
# Uploads of a real server to a real S3 server, with faults at exactly the wrong moment: a gate (test/s3/gate.py) holds the
# one request that a test names, while the job is killed, the server is stopped, the disk is filled, or pg_dump goes on.
# Afterwards: no half object, no orphaned upload, no second locked copy, and the records say what happened.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-faults.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/bucket.sh"
B=$WORK/backups
finish() {
    release
    [ -z "${GATE_PID:-}" ] || kill "$GATE_PID" 2>/dev/null
    "$CEPH" stop "$WORK/ceph" >/dev/null 2>&1
    server_stop
    chattr -R -f -i -a "$B" 2>/dev/null
    if mountpoint -q "$B"; then until_true 10 umount "$B"; fi
    remove_work
}
trap finish EXIT
trap 'exit 130' INT TERM

# The newer one where it can be had (the installed one is that of upload.sh).
NEWER=${CEPH_NEWER:-$WORK/newer}
if "$CEPH" fetch "$NEWER" >"$WORK/fetch.log" 2>&1; then export CEPH_ROOT=$NEWER; else echo "# no newer radosgw: $(tail -1 "$WORK/fetch.log")"; fi
ok "an S3 server" "$CEPH" start "$WORK/ceph"
bucket_setup
ok "a bucket with Object Lock" client bucket locked locked
ok "and one without" client bucket plain
mkdir "$WORK/gate"
python3 "$ROOT/test/s3/gate.py" "${S3_TEST_ENDPOINT##*:}" "$WORK/gate" 2>"$WORK/gate.log" &
GATE_PID=$!
ok "a gate before it" until_true 20 test -s "$WORK/gate/port"

hold_request() { rm -f "$WORK/gate/held"; echo "$1" >"$WORK/gate/rule"; }
held_request() { [ -e "$WORK/gate/held" ]; }
let_go() { rm -f "$WORK/gate/rule"; }
job_pid() { pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job'; }
newest() { q 'SELECT max(artifact) FROM immbackup.artifacts'; }
is_sealed() { [ "$(newest)" != "$1" ]; }
has_error() { [ -n "$(q "SELECT upload_error FROM immbackup.artifacts WHERE artifact = '$1'")" ]; }
last_run() { q 'SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1'; }
# Whatever is pending is tried until it is locked: the worker does so by itself, and one of both has the upload lock.
all_locked() { q 'SELECT immbackup.upload_pending()' >/dev/null 2>&1; [ "$(q "SELECT count(*) FROM immbackup.artifacts WHERE upload IS DISTINCT FROM 'locked'")" = 0 ]; }
# refused STATUS CODE REGEX: the state of a backup that meets such an answer
refused() {
    echo "answer $*" >"$WORK/gate/rule"
    q 'SELECT immbackup.run_now()' >/dev/null
    q "SELECT upload || ' ' || (upload_error ~ '$1 $2') FROM immbackup.artifacts ORDER BY artifact DESC LIMIT 1"
}
# What must hold after every fault.
settled() {
    ok "$1: the run is closed" until_true 60 ended
    ok "$1: all is locked in the end" until_true 90 all_locked
    is "$1: no upload is left unfinished" "$(client uploads locked)" 0
    is "$1: each object is there once, and none beside it" "$(client names locked backups/2 | sort | uniq -c | awk '$1 != 1 || /~/ {print}')" ""
    is "$1: four for each artifact" "$(client names locked backups/2 | wc -l)" "$(($(q 'SELECT count(*) FROM immbackup.artifacts') * 4))"
    sound "$1"
}

server_start "immbackup.min_free = 0" "immbackup.databases = 'shop'" "immbackup.globals = off" \
    "immbackup.s3_bucket = 'locked'" "immbackup.s3_endpoint_url = 'http://127.0.0.1:$(cat "$WORK/gate/port")'" \
    "immbackup.s3_object_lock_days = 1" "immbackup.s3_retry_timeout = 5" "immbackup.s3_connect_timeout = 2"
server_stop
# On a file system of its own, which can be filled.
rm -rf "${B:?}"/*
truncate -s 600M "$WORK/image"
mkfs.ext4 -q -m 0 "$WORK/image"
mount -o loop "$WORK/image" "$B"
chown "$SERVER_USER" "$B"
chmod 0700 "$B"
rmdir "$B/lost+found"
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
until_true 20 is_state ready
q 'CREATE EXTENSION immbackup' && q 'CREATE DATABASE shop'
# 19 MB that do not compress: two parts.
sql -d shop -c 'CREATE TABLE t AS SELECT g, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c FROM generate_series(1, 300000) AS g'

# A foreign table whose rows come out of a pipe: a dump of it ends when the test says so.
mkfifo "$WORK/rows"
chmod 0666 "$WORK/rows"
sql -d shop -c 'CREATE EXTENSION file_fdw' -c 'CREATE SERVER slow FOREIGN DATA WRAPPER file_fdw' \
    -c "CREATE FOREIGN TABLE zz_slow (line text) SERVER slow OPTIONS (program 'cat $WORK/rows')"
slow_dumps() { set_option pg_dump_options "${1:+--include-foreign-data=slow}"; }

# ------------------------------------------------------------------------------- it follows the dump
slow_dumps on
BEFORE=$(newest)
hold_request 'after ^PUT .*partNumber=1&'
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
ok "parts are sent while the dump goes on" until_true 60 held_request
is "which is still a dump" "$(newest) $(q 'SELECT count(*) FROM immbackup.artifacts')" "$BEFORE 0"
is "and whose upload is recorded" "$(events upload_begun)" 1
: >"$WORK/rows"
ok "a dump does not wait for a store that is silent" until_true 60 is_sealed "$BEFORE"
let_go
settled "silent store"

# ------------------------------------------------------------- the server is stopped while a part hangs
slow_dumps ""
BEFORE=$(newest)
hold_request 'before ^PUT .*partNumber=1&'
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
ok "a part hangs" until_true 60 held_request
ok "the dump is done" until_true 60 is_sealed "$BEFORE"
RUN=$(q 'SELECT max(run) FROM immbackup.runs')
ok "the server stops" as_server pg_ctl -D "$WORK/data" -m fast -w -t 60 stop
is "the run has its end, the upload is pending" "$(log "select(.event == \"run_finished\" and .body.run == \"$RUN\") | .event") $(log "select(.event == \"upload_failed\" and (.body.artifact | startswith(\"$RUN\"))) | .body.state")" "run_finished pending"
let_go
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
until_true 20 is_state ready
settled "after a shutdown"

# ----------------------------------------------------------------------- the job is killed at each step
kill_at() {  # NAME RULE
    hold_request "$2"
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null
    ok "killed $1" until_true 60 held_request
    job_pid | xargs kill -KILL
    let_go
    settled "killed $1"
}
kill_at "when the upload has begun, before its record" 'after ^POST .*[?]uploads'
kill_at "in the middle of a part" 'before ^PUT .*partNumber=2&'
kill_at "before Complete" 'before ^POST .*[?]uploadId='
kill_at "after Complete, before its record" 'after ^POST .*[?]uploadId='
# The newer one takes the lock along with the upload.
[ -n "${CEPH_ROOT:-}" ] || kill_at "before the lock is set" 'before ^PUT .*sql.gz[?]retention'
kill_at "between the objects" 'after ^PUT .*/[^/]*sql.gz.sha256$'
kill_at "before the receipt" 'before ^PUT .*receipt.json$'
kill_at "after the receipt, before its record" 'after ^PUT .*receipt.json$'
kill_at "while it anchors" 'after ^PUT .*/audit/'

# --------------------------------------------------------------------------------- the local disk is full
fill() {
    dd if=/dev/zero of="$B/filler" bs=64k 2>/dev/null
    truncate -s "-$1" "$B/filler"
    sync "$B/filler"
}
slow_dumps on
BEFORE=$(newest)
hold_request 'before ^PUT .*partNumber=1&'
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
ok "an upload follows a dump" until_true 60 held_request
fill 1000000
(base64 </dev/urandom | head -c 30000000 >"$WORK/rows") 2>/dev/null &
ROWS=$!
ok "whose disk is full" until_true 60 ended
kill $ROWS 2>/dev/null
is "which fails" "$(last_run)" failed
rm -f "$B/filler"
let_go
slow_dumps ""
settled "after a full disk"
hold_request 'after ^POST .*[?]uploadId='
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
ok "no space for the record of what was completed" until_true 60 held_request
fill 0
let_go
ok "ends the run" until_true 60 no_jobs
rm -f "$B/filler"
settled "after a record that could not be written"

# -------------------------------------------------------------------------------------- locks grow longer
hold_request 'before ^PUT .*sha256[?]retention'
set_option s3_object_lock_days 2
q "SELECT immbackup.acknowledge_settings('two days')" >/dev/null
ok "locks are extended, by the worker alone" until_true 60 held_request
job_pid | xargs kill -KILL
let_go
# Where its job dies, the worker tries again after an hour; or now:
ok "all of them, though a job was killed among them" until_true 60 bash -c "$(declare -f sql as_server q); $(declare -p WORK PG_BIN SERVER_USER); q 'SELECT immbackup.upload_pending()'; [ \"\$(q \"SELECT count(*) FROM immbackup.artifacts WHERE locked_until < now() + interval '47 hours'\")\" = 0 ]"
is "none is told as a failure" "$(grep -ac 'could not be extended' "$WORK/server.log")" 0
A=$(artifact)
read -r key version <<<"$(object "$A" .sql.gz.sha256)"
is "by the eyes of another client" "$(client retention locked "$key" "$version" | cut -d' ' -f1) $([ "$(date -d "$(client retention locked "$key" "$version" | cut -d' ' -f2)" +%s)" -gt "$(date -d '+47 hours' +%s)" ] && echo longer)" "COMPLIANCE longer"

# A store that refuses, in a loop, would be asked dozens of times.
set_option s3_object_lock_days 3
echo 'answer 403 AccessDenied ^PUT .*[?]retention' >"$WORK/gate/rule"
q "SELECT immbackup.acknowledge_settings('three days')" >/dev/null
tried_locks() { [ "$(events locks_tried)" -gt 0 ]; }
ok "an extension that is refused is recorded" until_true 60 tried_locks
sleep 3
is "told once, and not tried again at once" "$(events locks_tried) $(grep -ac 'its lock could not be extended' "$WORK/server.log")" "1 1"
ok "a check warns of it" bash -c "$(declare -f as_server cli s3); $(declare -p PG_BIN SERVER_USER S3_TEST_ENDPOINT WORK); s3 immbackup check --directory '$B' | grep 'locks in the bucket are not as they should be'"
let_go
q 'SELECT immbackup.upload_pending()' >/dev/null
is "by hand it is done at once, and is well again" "$(events locks_tried) $(log 'select(.event == "locks_tried") | .body.problem' | tail -1) $(q "SELECT count(*) FROM immbackup.artifacts WHERE locked_until < least(retain_until, now() + interval '71 hours') - interval '61 minutes'")" "2  0"

# ------------------------------------------------------------------- a lock that cannot be read back
echo 'answer 403 AccessDenied ^GET .*sql.gz[?]retention' >"$WORK/gate/rule"
q 'SELECT immbackup.run_now()' >/dev/null
A=$(newest)
is "is unproven" "$(upload_state "$A")" unproven
q 'SELECT immbackup.upload_pending()' >/dev/null
is "and stays so while that lasts" "$(upload_state "$A") $(events lock_proven)" "unproven 0"
let_go
is "afterwards it is proven" "$(q "SELECT artifact || ' ' || state FROM immbackup.upload_pending()")" "$A locked"
is "and shown so" "$(q "SELECT upload || ' ' || lock_mode || ' ' || (upload_error IS NULL) || ' ' || (locked_until > now() + interval '71 hours') FROM immbackup.artifacts WHERE artifact = '$A'")" "locked COMPLIANCE true true"
# What the store says before an upload of its own has begun parks no artifact.
is "a bad answer about the marker leaves it pending" "$(refused 404 NoSuchKey '^GET .*immbackup-instance.json')" "pending true"
let_go
settled "after a bad answer"

# ------------------------------------------------------------------------- a hold before it is uploaded
hold_request 'before ^PUT .*partNumber=1&'
BEFORE=$(newest)
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
until_true 60 held_request
until_true 60 is_sealed "$BEFORE"
A=$(newest)
ok "an artifact is held before it is in the bucket" q "SELECT immbackup.hold('$A', 'case 2')"
let_go
settled "held early"
read -r key version <<<"$(object "$A" .sql.gz)"
is "the hold follows it" "$(client legal-hold locked "$key" "$version")" ON
ok "and is lifted" q "SELECT immbackup.release('$A', 'done')"
is "there, too" "$(client legal-hold locked "$key" "$version")" OFF

# ---------------------------------------------------------------------------- two instances, one prefix
own_directory "$WORK/one"
own_directory "$WORK/two"
# Both look at the same time. The older store knows no If-None-Match, and takes both markers; the newer one refuses one.
by_gate() { cli env S3_BUCKET=locked S3_PREFIX=both S3_RETRY_TIMEOUT=5 S3_OBJECT_LOCK_DAYS=1 BACKUP_MIN_FREE=0 S3_REQUIRED=true "S3_ENDPOINT_URL=http://127.0.0.1:$(cat "$WORK/gate/port")" "$@"; }
hold_request 'before ^PUT .*/both/immbackup-instance.json$'
by_gate env "BACKUP_DIR=$WORK/one" immbackup backup --database shop --quiet >"$WORK/one.log" 2>&1 &
ONE=$!
ok "one is about to mark the prefix" until_true 60 held_request
ok "another one does" by_gate env "BACKUP_DIR=$WORK/two" immbackup backup --database shop --quiet
let_go
STATUS=0
wait $ONE || STATUS=$?
is "the first is refused" "$STATUS $(grep -qF 'belongs to another instance' "$WORK/one.log" && echo so)" "10 so"
is "nothing of it is in the bucket" "$(client names locked both/2 | wc -l)" 4

# --------------------------------------------------------------------- what the store will never take
is "an object that is too large is parked" "$(refused 400 EntityTooLarge '^PUT .*partNumber=')" "failed true"
A=$(newest)
is "a storage class that the store does not have may come to be had" "$(refused 400 InvalidStorageClass '^POST .*sql.gz[?]uploads')" "pending true"
let_go
is "the parked one blocks no other" "$(q 'SELECT immbackup.run_now()' >/dev/null; upload_state "$(newest)") $(upload_state "$A")" "locked failed"
settled "tried by hand"

# -------------------------------------------------------------------------- a good answer is remembered
probes() { grep -c 'immbackup-probe-' "$WORK/gate/seen"; }
q 'SELECT immbackup.run_now()' >/dev/null
: >"$WORK/gate/seen"
q 'SELECT immbackup.run_now()' >/dev/null
is "the next run does not look at the bucket again" "$(probes) $(upload_state "$(newest)")" "0 locked"
set_option s3_object_lock_mode GOVERNANCE
q 'SELECT immbackup.run_now()' >/dev/null
ok "with another setting it does" test "$(probes)" -gt 0
set_option s3_object_lock_mode COMPLIANCE
: >"$WORK/gate/seen"
refused 400 InvalidStorageClass '^POST .*sql.gz[?]uploads' >/dev/null
let_go
: >"$WORK/gate/seen"
settled "looked at once more"
ok "and after an upload that failed" test "$(probes)" -gt 0

# ------------------------------------------------------------------- a bucket that cannot be used
# What is pending and never was tried is due at once; what stops every try must not become a loop.
hold_request 'before ^PUT .*partNumber=1&'
BEFORE=$(newest)
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
until_true 60 held_request
until_true 60 is_sealed "$BEFORE"
set_option s3_bucket plain
job_pid | xargs kill -KILL
let_go
tried() { grep -aq 'immbackup upload job: S3 cannot be used' "$WORK/server.log"; }
ok "a bucket without Object Lock is refused" until_true 60 tried
is "which counts as a try, and is told" "$(until_true 20 has_error "$(newest)"; q "SELECT upload || ' ' || (upload_error ~ 'Object Lock|object lock') FROM immbackup.artifacts WHERE artifact = '$(newest)'")" "pending true"
# The new setting, too, has the bucket looked at: that comes first, or after the run was closed. From then on the next try is
# a minute away; a pass takes a fraction of a second.
tries() { grep -ac 'immbackup upload job: S3 cannot be used' "$WORK/server.log"; }
recorded() { [ "$(q "SELECT count(*) FROM immbackup.audit WHERE event = 'settings_changed' AND body::text ~ '\"to\": *\"plain\"'")" != 0 ]; }
at_rest() { no_jobs && sleep 1 && no_jobs; }
ok "the setting is recorded" until_true 20 recorded
until_true 20 at_rest
TRIES=$(tries)
sleep 5
is "and not repeated at once" "$(tries)" "$TRIES"
set_option s3_bucket locked
settled "in the end"

fails "no secret in logs or records" 1 '^$' grep -raFl "$SECRET" "$WORK/server.log" "$B/logs" "$WORK/one.log" "$WORK/data/postgresql.auto.conf"
ok "no crash" no_crash
done_testing
