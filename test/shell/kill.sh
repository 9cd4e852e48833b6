#!/usr/bin/env bash
# Kills the job, pg_dump, the scheduler and the postmaster in each phase of a run, also with the postmaster as PID 1.
# Afterwards: the next run is good, active/ holds only complete backups, the chain verifies, nothing is left over, and
# no session died but where the server itself was killed.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-kill.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT

ready() { [ "$(q 'SELECT worker_state FROM immbackup.status' 2>/dev/null)" = ready ]; }
job_pid() { pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job'; }
dump_pid() { pgrep -u "$SERVER_USER" -x pg_dump; }
scheduler_pid() { q "SELECT pid FROM pg_stat_activity WHERE backend_type = 'immbackup scheduler'"; }
# Another process than before: what the one that ends says of itself may still stand.
started_again() {  # PID
    local pid
    pid=$(scheduler_pid 2>/dev/null) && [ -n "$pid" ] && [ -n "$1" ] && [ "$pid" != "$1" ]
}
# What must hold after each: recovered, sound, and able to take a good run.
recovered() {
    release
    ok "$1: the worker is ready again" until_true 40 ready
    ok "$1: the run is closed" until_true 40 ended
    ok "$1: no process is left over" until_true 20 no_jobs
    sound "$1"
    is "$1: the next run is good" "$(q "SELECT state FROM immbackup.runs WHERE run = '$(q 'SELECT immbackup.run_now()')'")" good
    sound "$1, and a run"
}
# A session that must survive: it holds a value that only it knows.
survivor() {
    exec 8> >(PGOPTIONS='' exec runuser -u "$SERVER_USER" -- env "PGHOST=$WORK" "$PG_BIN/psql" -XqAt -d postgres >"$WORK/survivor" 2>&1 9>&-)
    echo "CREATE TEMP TABLE mine AS SELECT 42 AS n; SELECT 'begun';" >&8
    until_true 20 grep -q begun "$WORK/survivor"
}
survived() {
    echo 'SELECT n FROM mine;' >&8
    ok "$1: a session lives on" until_true 20 grep -qx 42 "$WORK/survivor"
    exec 8>&-
}

scenario() {  # LABEL
    local label=$1 signal before
    for signal in KILL SEGV; do
        survivor
        hold
        q 'SELECT immbackup.run_now(wait => false)' >/dev/null
        until_true 30 dump_waits
        kill -$signal "$(job_pid)"
        ok "$label, job killed by SIG$signal: the orphaned pg_dump goes" until_true 30 bash -c "! pgrep -u $SERVER_USER -x pg_dump"
        survived "$label, job SIG$signal"
        recovered "$label, job SIG$signal"
    done
    survivor
    hold
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null
    until_true 30 dump_waits
    kill -KILL "$(dump_pid)"
    survived "$label, pg_dump killed"
    recovered "$label, pg_dump killed"
    fails "$label: the killed pg_dump is named as the reason" 0 'signal 9' q "SELECT error || ' ' || coalesce(error_detail, '') FROM immbackup.runs WHERE state = 'failed' ORDER BY run DESC LIMIT 1"
    survivor
    hold
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null
    until_true 30 dump_waits
    before=$(scheduler_pid)
    q "SELECT pg_terminate_backend($before)" >/dev/null
    survived "$label, scheduler terminated"
    ok "$label, scheduler terminated: it is started again" until_true 40 started_again "$before"
    recovered "$label, scheduler terminated"
    ok "$label: no crash so far" no_crash
    # A crash of the scheduler is one of a server process: PostgreSQL restarts, and so do we.
    hold
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null
    until_true 30 dump_waits
    before=$(scheduler_pid)
    kill -KILL "$before"
    ok "$label, scheduler killed: it is started again" until_true 40 started_again "$before"
    recovered "$label, scheduler killed"
}

server_start 'restart_after_crash = on'
q 'CREATE EXTENSION immbackup' && q 'CREATE DATABASE shop'
sql -d shop -c 'CREATE TABLE t AS SELECT n, repeat(md5(n::text), 20) AS x FROM generate_series(1, 100000) AS n'
until_true 20 ready
scenario "ordinary server"

# The postmaster itself.
hold
q 'SELECT immbackup.run_now(wait => false)' >/dev/null
until_true 30 dump_waits
kill -KILL "$(head -1 "$WORK/data/postmaster.pid")"
until_true 30 no_jobs
ok "postmaster killed: job and pg_dump go" no_jobs
rm -f "$WORK/data/postmaster.pid"
until_true 20 bash -c "! pgrep -u $SERVER_USER -f '$WORK/data' >/dev/null"
until_true 20 as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start
recovered "postmaster killed"

# Killed at random moments of a run that nothing holds up: dumping, checking, sealing, recording.
for i in $(seq 12); do
    q 'SELECT immbackup.run_now(wait => false)' >/dev/null 2>&1
    sleep "0.$(printf '%03d' $((i * 23)))"
    pkill -KILL -u "$SERVER_USER" -f '^[^ ]*immbackup job'
    until_true 40 ended
done
recovered "jobs killed at twelve moments"
server_stop

# The same with the postmaster as PID 1, as in a container.
: >"$WORK/server.log"
chown "$SERVER_USER" "$WORK/server.log"
unshare -pf --mount-proc --kill-child setpriv --reuid "$SERVER_USER" --regid "$SERVER_USER" --init-groups \
    env "PGHOST=$WORK" "BACKUP_DIR=$WORK/backups" "$PG_BIN/postgres" -D "$WORK/data" >>"$WORK/server.log" 2>&1 9>&- &
UNSHARED=$!
if until_true 30 ready; then
    is "the postmaster is PID 1" "$(head -1 "$WORK/data/postmaster.pid")" 1
    # Inside its namespace pids differ: what is killed is found from outside, by name.
    scheduler_pid() { pgrep -u "$SERVER_USER" -f 'immbackup scheduler'; }
    eval "$(declare -f scenario | sed 's/q "SELECT pg_terminate_backend($before)"/kill -TERM $before/')"
    scenario "postmaster as PID 1"
else
    is "a server with the postmaster as PID 1 starts" no yes
fi
# unshare itself ignores SIGTERM: the postmaster is asked.
pkill -INT -u "$SERVER_USER" -f "^$PG_BIN/postgres -D $WORK/data"
wait "$UNSHARED" 2>/dev/null
rm -f "$WORK/data/postmaster.pid"
done_testing
