#!/usr/bin/env bash
# The life of artifacts in a vault, through SQL and the command line: a plain store becomes a vault, runs, verification,
# restore, holds, pruning before and after the date, import, killed jobs, lost capabilities, the helper as a service.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/test/lib/vault.sh"
own_namespace "$@"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-vault.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
CEPH=$ROOT/test/s3/ceph.sh
SERVICE=
stop_service() {
    [ -z "$SERVICE" ] || { kill "$SERVICE"; wait "$SERVICE"; } 2>/dev/null
    SERVICE=
}
finish() {
    stop_service
    "$CEPH" stop "$WORK/ceph" >/dev/null 2>&1
    server_stop
    lab_end
}
trap finish EXIT
lab_begin
make_fs ext4
BACKUPS=$LAB/ext4/backups
B=$BACKUPS
cc -shared -fPIC -O2 -o "$WORK/later.so" "$ROOT/test/clock/later.c" || exit 1

ready() { is_state ready; }
helper_is() { q "ALTER SYSTEM SET immbackup.vault_helper = '$1'" && q 'SELECT pg_reload_conf()' >/dev/null; }
require() { q "ALTER SYSTEM SET immbackup.require_seal = '$1'" && q 'SELECT pg_reload_conf()' >/dev/null; }
run() { q 'SELECT immbackup.run_now()'; }
newest() { q "SELECT artifact FROM immbackup.artifacts WHERE database = 'shop' AND state <> 'pruned' ORDER BY run DESC LIMIT 1"; }
of() { q "SELECT $2 FROM immbackup.artifacts WHERE artifact = '$1'"; }
events() { q "SELECT count(*) FROM immbackup.audit WHERE event = '$1' AND origin = '${2:-vault}'"; }
sound_log() { [ "$(q 'SELECT sound FROM immbackup.verify_audit()')" = t ]; }
whole() { (cd "$B/active" && sha256sum --quiet -c ./*.sha256) && [ "$(find "$B/active" -type f | wc -l)" = $(($(find "$B/active" -name '*.manifest.json' | wc -l) * 3)) ]; }
good() {
    ok "$1: what stands in active/ is whole" whole
    ok "$1: the audit chain is sound" sound_log
    ok "$1: and by sed, sha256sum and jq" independent_audit_of "$B/logs/backup_audit.jsonl"
}
independent_audit_of() {
    sed -n '/^<!-- tested by scripts\/test.sh docs -->/,/^```$/p' "$ROOT/docs/formats.md" | sed '1,2d;$d' >"$WORK/verify-audit.sh"
    sh "$WORK/verify-audit.sh" "$1"
}
scheduler_pid() { q "SELECT pid FROM pg_stat_activity WHERE backend_type = 'immbackup scheduler'"; }
job_pid() { pgrep -P "$(scheduler_pid)" -f '^[^ ]*immbackup job'; }
# One helper for the log, one for what is asked, one for the artifact; without a pause, since that is soon over.
putting() {  # JOB
    local deadline=$((SECONDS + 20))
    until [ "$(pgrep -c -P "$1" -u immvault)" -ge 3 ]; do [ $SECONDS -lt $deadline ] || return 1; done
}
# The server with its clock, and that of its jobs, ahead by so many hours.
restart_later() { as_server env "LD_PRELOAD=$WORK/later.so" "LATER_MS=$(($1 * 3600000))" pg_ctl -D "$WORK/data" -l "$WORK/server.log" -m fast -w restart >/dev/null && until_true 20 ready; }

# ------------------------------------------------------------------------------------- a plain store
install -d -o postgres -g postgres -m 0700 "$B"
server_start "immbackup.directory = '$B'" "immbackup.min_free = 0" "immbackup.dump_globals = off" "immbackup.databases = 'shop'" \
    "immbackup.retention_days = 1" "immbackup.min_keep = 1"
q 'CREATE EXTENSION immbackup'
q 'CREATE DATABASE shop'
sql -d shop -c "CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 20000) AS n"
ok "the worker is ready" until_true 20 ready
ok "a backup in the plain store" run
FIRST=$(newest)
ok "and another" run
SECOND=$(newest)
q "SELECT immbackup.hold('$FIRST', 'case 1')"
INSTANCE=$(q "SELECT body->>'instance' FROM immbackup.audit WHERE seq = 1")
RECORDS=$(q 'SELECT max(seq) FROM immbackup.audit')
server_stop

# ------------------------------------------------------------------------------- which becomes a vault
ok "the installation makes one of it" env "VAULT_ROOT=$B" "VAULT_HELPER=$HELPER" "VAULT_CLIENT=$SERVER_USER" VAULT_OPERATORS=immops "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
sed -i 's/^min_retention.*/min_retention = 1s/' /etc/immbackup/vault.conf
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
until_true 20 ready
fails "without a helper nothing is written" 1 'is a vault' run
helper_is "$HELPER"
ok "with it, a run is good" run
THIRD=$(newest)
is "its seal is the vault's" "$(of "$THIRD" seal)" vault
is "the status says so" "$(q 'SELECT seal, vault, vault_problem, outside_vault FROM immbackup.status')" 'vault|vault||2'
is "the log goes on: the same instance" "$(q "SELECT body->>'instance' FROM immbackup.audit WHERE seq = 1")" "$INSTANCE"
ok "and all of its records" test "$(q "SELECT count(*) FROM immbackup.audit WHERE seq <= $RECORDS")" = "$RECORDS"
is "it was adopted once" "$(events log_adopted)" 1
is "the vault attested the artifact" "$(q "SELECT body->>'artifact' FROM immbackup.audit WHERE event = 'vault_sealed'")" "$THIRD"
is "the manifest states the seal" "$(jq -r .seal "$B/active/$THIRD.sql.gz.manifest.json")" vault
is "and the date that is in it" "$(getfattr --only-values -n user.immbackup.seal "$B/active/$THIRD.sql.gz" | tr ' ' '\n' | sed -n 's/^retain_until=//p')" \
    "$(jq -r .retain_until "$B/active/$THIRD.sql.gz.manifest.json")"
is "files belong to the vault's user, read-only" "$(stat -c '%U %a' "$B/active/$THIRD.sql.gz")" 'immvault 440'
ok "under the flag" bash -c "lsattr '$B/active/$THIRD.sql.gz' | grep -q '^....i'"
good "a run"
is "what the plain store holds is in the catalog too" "$(q "SELECT string_agg(state, ' ') FROM immbackup.artifacts WHERE artifact IN ('$FIRST', '$SECOND')")" 'good good'
ok "verify finds all three good" as_server immbackup verify --all
q 'CREATE DATABASE back' && q 'DROP DATABASE back'
ok "restore works from the vault" as_server immbackup restore "$THIRD" --to back
is "with every row" "$(sql -d back -c 'SELECT count(*) FROM t')" 20000
ok "check finds nothing wrong" as_server immbackup check
ok "nor does the vault" bash -c "$(declare -f as_server); $(declare -p WORK PG_BIN SERVER_USER BACKUPS); as_server immbackup check --vault; [ \$? -le 1 ]"
is "what is not in it yet is told" "$(as_server immbackup check --vault --json | jq -r '.[] | select(.check == "plain store") | .verdict')" WARNING

# --------------------------------------------------------------------------------------------- import
is "import moves both" "$(q 'SELECT count(*), min(seal) FROM immbackup.import()')" '2|vault'
is "nothing is outside any more" "$(q 'SELECT outside_vault FROM immbackup.status')" 0
is "the plain store is empty" "$(find "$B/plain/active" -type f | wc -l)" 0
is "the hold moved along" "$(of "$FIRST" hold)" 'case 1'
is "into the vault" "$(as_client "$HELPER" <<<"list stem=$FIRST" | grep -c 'held=1')" 1
is "once more, there is nothing to move" "$(as_server immbackup import)" 'there is nothing to import'
good "the import"
ok "verify finds all good there" as_server immbackup verify --all

# ------------------------------------------------------------------------------- before the date, nothing goes
fails "postgres cannot remove the file" 1 'not permitted|denied' as_server rm -f "$B/active/$THIRD.sql.gz"
is "a prune removes nothing before the date" "$(q "SELECT count(*) FROM immbackup.prune(false) WHERE action <> 'keep'")" 0
why='case 2: "Größe \\ 5", 😀'
ok "a hold by SQL" q "SELECT immbackup.hold('$SECOND', '$why')"
is "is the vault's record" "$(q "SELECT origin FROM immbackup.audit WHERE event = 'artifact_held' AND body->>'artifact' = '$SECOND'")" vault
fails "a second one is refused" 1 'under a hold already' q "SELECT immbackup.hold('$SECOND', 'again')"
fails "SQL cannot release" 1 'does not take this from the OS user of the server' q "SELECT immbackup.release('$SECOND', 'let go')"
fails "and says who can" 1 "HINT:.*operator_group.*immbackup release $SECOND" q "SELECT immbackup.release('$SECOND', 'let go')"
fails "nor can postgres on the command line" 25 'does not take this' as_server immbackup release "$SECOND" --reason 'let go'
is "it is held, for what was said" "$(of "$SECOND" hold)" "$why"
is "in the log, too" "$(q "SELECT body->>'reason' FROM immbackup.audit WHERE event = 'artifact_held' AND body->>'artifact' = '$SECOND'")" "$why"
operator() { as_operator env "BACKUP_DIR=$B" "BACKUP_VAULT_HELPER=$HELPER" "$(command -v immbackup)" "$@"; }
ok "an operator releases it" operator release "$SECOND" --reason 'case 2 is closed'
is "and the views know" "$(of "$SECOND" hold)" ''
is "by the vault's record" "$(q "SELECT body->>'actor' FROM immbackup.audit WHERE event = 'artifact_released'")" immop
fails "SQL cannot accept the vault's clock" 1 'acknowledge --clock' q "SELECT immbackup.acknowledge_clock('it is right')"
ok "root can" env "BACKUP_DIR=$B" immbackup acknowledge --clock --reason 'it is right'

# ------------------------------------------------------------------------------------- what may go wrong
hold
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
ok "a run waits in the middle of its put" until_true 30 dump_waits
kill -KILL "$(job_pid)"
release
ok "a killed job: its run is closed" until_true 40 ended
ok "no process is left over" until_true 20 no_jobs
good "a killed job"
ok "the next run is good" run
is "and sealed" "$(of "$(newest)" seal)" vault

# Killed when the dump is done and the helper is at work: what it finished is found, nothing is there in part.
for n in 1 2 3; do
    hold
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null
    until_true 30 dump_waits
    JOB=$(job_pid)
    release
    ok "the helpers are at work ($n)" putting "$JOB"
    # shellcheck disable=SC2046  # a list
    kill -KILL "$JOB" $(pgrep -P "$JOB" -u immvault)
    ok "killed with its helper ($n): the run is closed" until_true 40 ended
    ok "the next run is good ($n)" run
done
good "killed helpers"
is "every artifact in active/ is recorded" "$(find "$B/active" -name '*.manifest.json' | wc -l)" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE state <> 'pruned'")"

helper_is /nonexistent/immbackup-vault
fails "a helper that is missing is named" 1 'nonexistent/immbackup-vault' run
printf '#!/bin/sh\necho "immbackup-vault 7 9.9"\nread -r line\n' >"$WORK/other" && chmod 0755 "$WORK/other"
helper_is "$WORK/other"
fails "one of another version too" 1 'protocol version 7' run
printf '#!/bin/sh\nkill -SEGV $$\n' >"$WORK/dying" && chmod 0755 "$WORK/dying"
helper_is "$WORK/dying"
fails "one that dies too" 1 'ended without an answer' run
helper_is "$HELPER"
ok "the right one again: a run is good" run

# The capability is lost, as in an upgrade that forgot it.
install -o immvault -g immvault -m 4755 "$HELPER_BUILT" "$WORK/weak"
helper_is "$WORK/weak"
require vault
DUMPS=$(q 'SELECT count(*) FROM immbackup.artifacts')
fails "without the capability, a run that must be sealed fails" 1 'sealed as "vault-dac" only' run
fails "and says why" 1 'DETAIL:.*(capability|CAP_LINUX_IMMUTABLE)' run
is "before anything is dumped" "$(q 'SELECT count(*) FROM immbackup.artifacts')" "$DUMPS"
fails "check is critical" 2 'must be as "vault"' as_server immbackup check
require readonly
ok "where it need not be, a run is good" run
is "and tells it" "$(q "SELECT body->>'warnings' ~ 'now sealed as .*vault-dac.*, the last one was as .*vault' FROM immbackup.audit WHERE event = 'run_finished' ORDER BY seq DESC LIMIT 1")" t
is "and stated" "$(of "$(newest)" seal)" vault-dac
is "the status says it, too" "$(q 'SELECT seal, vault, vault_problem IS NOT NULL FROM immbackup.status')" 'vault-dac|vault-dac|t'
chmod 0755 "$WORK/weak"
fails "without set-uid nothing is sealed" 1 'does not run as "immvault"' run
helper_is "$HELPER"
ok "with all of it, a run is good" run
good "a lost capability"

# ------------------------------------------------------------------------- an upload follows the stream
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE
ok "an S3 server" "$CEPH" start "$WORK/ceph"
. "$WORK/ceph/env"
export AWS_EC2_METADATA_DISABLED=true PYTHONDONTWRITEBYTECODE=1
ok "a bucket with Object Lock" env "HOME=$WORK" /usr/bin/python3 "$ROOT/test/s3/boto.py" bucket locked locked
sql -d shop -c 'CREATE TABLE large AS SELECT g, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c FROM generate_series(1, 300000) AS g'
uploading() {
    as_server env S3_BUCKET=locked "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" S3_REQUIRED=true S3_OBJECT_LOCK_DAYS=1 BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off \
        BACKUP_RETENTION_DAYS=1 "DB_HOST=$WORK" immbackup backup --database "$1" --database "$2" --quiet
}
began_before_its_seal() { [ "$(q "SELECT min(seq) FILTER (WHERE event = 'upload_begun') < min(seq) FILTER (WHERE event = 'vault_sealed') FROM immbackup.audit WHERE body->>'artifact' = '$1'")" = t ]; }
# The bucket is looked at while the first one is dumped; that the second one's upload follows is a matter of when that is done.
FOLLOWED=
for _ in 1 2 3 4 5; do
    ok "a run with uploads" uploading back shop
    UPLOADED=$(newest)
    is "its artifact is locked in the bucket" "$(of "$UPLOADED" upload)" locked
    if began_before_its_seal "$UPLOADED"; then FOLLOWED=yes && break; fi
done
is "an upload began before the vault had sealed what it uploads" "$FOLLOWED" yes
"$CEPH" stop "$WORK/ceph" >/dev/null 2>&1
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
sql -d shop -c 'DROP TABLE large'
run >/dev/null 2>&1
q "SELECT immbackup.accept_anomaly('$(newest)', 'the table was a test')"

# ---------------------------------------------------------------------------------- the helper as a service
# Without set-uid and capability of its own, as systemd or an entrypoint start it; its clock is three days ahead.
install -m 0755 "$HELPER_BUILT" "$WORK/served"
serve() {  # HOURS
    stop_service
    rm -f "$WORK/vault.socket"
    env "LD_PRELOAD=$WORK/later.so" "LATER_MS=$(($1 * 3600000))" "$WORK/served" serve --socket "$WORK/vault.socket" &
    SERVICE=$!
    until_true 20 test -S "$WORK/vault.socket"
}
serve 0
helper_is "$WORK/vault.socket"
ok "a run through the service is good" run
FOURTH=$(newest)
is "and sealed" "$(of "$FOURTH" seal)" vault
is "nobody but the vault's user serves" "$(ps -o user= -p "$SERVICE" | tr -d ' ')" immvault
good "the service"
stop_service
fails "a service that is gone is named" 1 'connect to the vault' run

# -------------------------------------------------------------------------------------- after the date
serve 72
restart_later 72
SECOND_HELD=$(of "$FIRST" hold)
is "after the date the plan lets them go, but for the newest and the held" "$(q "SELECT count(*) > 3 FROM immbackup.prune() WHERE action = 'prune'")" t
ok "a prune" q 'SELECT count(*) FROM immbackup.prune(false)'
q "SELECT DISTINCT action || ': ' || reason FROM immbackup.prune()" | sed 's/^/# /'
is "removes them in the vault" "$(q "SELECT count(*) > 3 FROM immbackup.artifacts WHERE state = 'pruned'")" t
is "by the vault's own records" "$(events artifact_pruned)" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE state = 'pruned'")"
is "none of which is ours" "$(events artifact_pruned job)" 0
is "the held one stays" "$(of "$FIRST" "state || ' ' || hold")" "good $SECOND_HELD"
is "the newest one too" "$(of "$FOURTH" state)" good
good "the prune"
# keep_newest of the vault is more than min_keep of the settings: it refuses, says why, and blocks no other.
ok "a run three days later" run
FIFTH=$(newest)
sed -i '/^keep_newest/d' /etc/immbackup/vault.conf && echo 'keep_newest = 50' >>/etc/immbackup/vault.conf
serve 120
restart_later 120
ok "and two days after that" run
is "what the vault keeps is shown, with its reason" "$(q "SELECT DISTINCT action || ': ' || (reason ~ 'one of the newest 50 of its database') FROM immbackup.prune(false) WHERE artifact = '$FIFTH'")" 'refused: true'
is "recorded once" "$(q 'SELECT count(*) FROM immbackup.prune(false)' >/dev/null; q "SELECT count(*) FROM immbackup.audit WHERE event = 'prune_refused' AND body->>'artifact' = '$FIFTH'")" 1
is "it is there" "$(of "$FIFTH" state)" good
ok "a longer retention reaches the vault" q "ALTER SYSTEM SET immbackup.retention_days = 30"
q 'SELECT pg_reload_conf()' >/dev/null
q 'SELECT count(*) FROM immbackup.prune(false)' >/dev/null
ok "as its own record" test "$(events retention_extended)" -ge 1
good "the end"
ok "no server process crashed" no_crash
done_testing
