#!/usr/bin/env bash
# The worker in a real server: settings from file, ALTER SYSTEM and environment; runs, refusals, cancellation;
# shutdown in each mode during a run.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-worker.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT

# Starts the server with further environment variables.
start_with() { as_server env "$@" pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null; }
stop() { as_server pg_ctl -D "$WORK/data" -m "${1:-fast}" -w -t 30 stop >/dev/null; }
restart_with() { stop && start_with "$@"; }

server_start
q 'CREATE EXTENSION immbackup'
ok "the worker becomes ready" until_true 20 is_state ready
is "it is one of pg_stat_activity" "$(q "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'immbackup scheduler'")" 1

# Settings: bad values are refused, or, where PostgreSQL does not let us, stop the worker and not the server.
fails "ALTER SYSTEM refuses a bad schedule with its reason" 1 '99 is not a minute' q "ALTER SYSTEM SET immbackup.schedule = '99 * * * *'"
fails "and an impossible date" 1 'would never run' q "ALTER SYSTEM SET immbackup.schedule = '0 0 31 2 *'"
fails "and an option that would break the format" 1 'not allowed' q "ALTER SYSTEM SET immbackup.pg_dump_options = '--form=c'"
fails "and an unknown time zone" 1 'not a time zone' q "ALTER SYSTEM SET immbackup.timezone = 'Mars/Olympus'"
q "ALTER SYSTEM SET immbackup.nice = 7" && q 'SELECT pg_reload_conf()' >/dev/null
ok "a good value is taken at reload, and recorded" until_true 20 bash -c "grep -q '\"nice\":{\"from\":\"10\",\"to\":\"7\"}' '$WORK/backups/logs/backup_audit.jsonl'"
echo "immbackup.compression = 'lzma'" >>"$WORK/data/postgresql.conf"
ok "a bad value in the file never stops the server" restart_with X=1
ok "but the worker" until_true 20 is_state misconfigured
fails "which says why" 0 'compression' q 'SELECT problem FROM immbackup.status'
fails "and takes no run" 1 'compression' q 'SELECT immbackup.run_now()'
sed -i '/immbackup.compression/d' "$WORK/data/postgresql.conf"
q 'SELECT pg_reload_conf()' >/dev/null
ok "a corrected file is enough" until_true 20 is_state ready
ok "a bad value in the environment never stops the server" restart_with BACKUP_COMPRESSION=lzma
ok "but the worker, too" until_true 20 is_state misconfigured
ok "DB_PASSWORD" restart_with DB_PASSWORD=secret-in-environment
ok "is refused" until_true 20 is_state misconfigured
fails "with a hint" 0 'DB_PASSWORD_FILE' q 'SELECT problem_hint FROM immbackup.status'
ok "a missing directory" restart_with BACKUP_DIR=/nowhere/backups
ok "is refused, too" until_true 20 is_state misconfigured
fails "with the command that makes it" 0 'install -d -m 0700' q 'SELECT problem_hint FROM immbackup.status'
ok "a good environment" restart_with BACKUP_RETENTION_DAYS=9 DB_NAME=postgres
ok "is taken" until_true 20 is_state ready
is "as the value" "$(q 'SHOW immbackup.retention_days')" 9
q 'ALTER SYSTEM SET immbackup.retention_days = 4' && q 'SELECT pg_reload_conf()' >/dev/null
ok "ALTER SYSTEM goes before it" until_true 20 bash -c "$(declare -f q sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SHOW immbackup.retention_days')\" = 4 ]"
q 'ALTER SYSTEM RESET immbackup.retention_days' && q 'SELECT pg_reload_conf()' >/dev/null
ok "and when it is taken back the environment holds again" until_true 20 bash -c "$(declare -f q sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SHOW immbackup.retention_days')\" = 9 ]"
stop && start_with X=1
until_true 20 is_state ready

# Runs.
q 'CREATE DATABASE shop' && sql -d shop -c 'CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n'
R=$(q 'SELECT immbackup.run_now()')
is "a run is good" "$(q "SELECT state FROM immbackup.runs WHERE run = '$R'")" good
is "with an artifact for each database and the globals" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE run = '$R' AND state = 'good'")" 3
is "and rows" "$(q "SELECT rows FROM immbackup.artifacts WHERE run = '$R' AND database = 'shop'")" 1000
fails "one database fails: the run does, and names it" 1 'nosuch' q "SELECT immbackup.run_now('{shop,nosuch}')"
is "the other one is good all the same" "$(q "SELECT count(*) FROM immbackup.artifacts WHERE database = 'shop'")" 2
fails "waiting inside a transaction that wrote is refused" 1 'transaction' sql -d postgres -c "BEGIN; CREATE TABLE x (); SELECT immbackup.run_now(); COMMIT"
is "the audit in SQL is sound" "$(q 'SELECT sound FROM immbackup.verify_audit()')" t

# A lock holds pg_dump, so that a run is certainly going on.
hold
R=$(q "SELECT immbackup.run_now(wait => false)")
ok "a held run waits for the lock" until_true 30 dump_waits
fails "a second run is refused by name" 1 "$R" q 'SELECT immbackup.run_now()'
is "progress shows it" "$(q 'SELECT run FROM immbackup.progress')" "$R"
is "DROP DATABASE of another database is not held up" "$(q 'CREATE DATABASE dropme' && q 'DROP DATABASE dropme' && echo dropped)" dropped
is "cancel_run" "$(q 'SELECT immbackup.cancel_run()')" t
ok "ends it" until_true 30 bash -c "$(declare -f q sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q \"SELECT state FROM immbackup.runs WHERE run = '$R'\")\" = cancelled ]"
ok "without a process left" until_true 20 no_jobs
sound "after a cancellation"
R=$(q "SELECT immbackup.run_now(wait => false)")
until_true 30 dump_waits
sql -d postgres -c 'SELECT immbackup.cancel_run()' >/dev/null
until_true 20 no_jobs
sql -d postgres -c "SELECT immbackup.run_now()" >"$WORK/waiter" 2>&1 &
until_true 30 dump_waits
q "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%run_now%' AND pid <> pg_backend_pid()" >/dev/null
ok "Ctrl-C of the waiter" until_true 20 grep -q 'cancel' "$WORK/waiter"
ok "leaves the run going" dump_waits
release
ok "which ends well" until_true 60 bash -c "$(declare -f q sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(q 'SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1')\" = good ]"

for mode in fast immediate; do
    hold
    q "SELECT immbackup.run_now(wait => false)" >/dev/null
    until_true 30 dump_waits
    begin=$SECONDS
    ok "shutdown in mode $mode during a run" stop $mode
    ok "within seconds ($((SECONDS - begin)))" test $((SECONDS - begin)) -lt 20
    ok "leaves no process" until_true 20 no_jobs
    release
    start_with X=1
    until_true 20 is_state ready
    is "the run is not open any more" "$(q "SELECT count(*) FROM immbackup.runs WHERE state IN ('requested', 'running')")" 0
    sound "after shutdown in mode $mode"
done
# Smart: the session that holds the lock ends it; what was not begun is recorded as cancelled.
hold
q "SELECT immbackup.run_now('{shop,postgres}', wait => false)" >/dev/null
until_true 30 dump_waits
as_server pg_ctl -D "$WORK/data" -m smart -W stop >/dev/null
release
ok "shutdown in mode smart ends" until_true 60 bash -c "! test -e '$WORK/data/postmaster.pid'"
start_with X=1
until_true 20 is_state ready
# (The first database, too, where the server was quicker than the proof of its dump.)
fails "the remaining database is recorded as cancelled" 0 '"postgres"' q "SELECT body ->> 'remaining' FROM immbackup.audit WHERE event = 'run_cancelled' ORDER BY seq DESC LIMIT 1"
sound "after shutdown in mode smart"
ok "no secret is in any log" bash -c "! grep -raq secret-in-environment '$WORK/server.log' '$WORK/backups/logs'"
ok "no crash in the server log" no_crash
done_testing
