#!/usr/bin/env bash
# On the real clock: an every-minute schedule really runs, in between the scheduler sleeps (its context switches are
# counted), and it looks up when somebody sets the clock. The last needs root: the clock is set to what it shows.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-idle.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT

# Times the process went to sleep or was interrupted.
switches() { awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$PID/status"; }
good_runs() { q "SELECT count(*) FROM immbackup.runs WHERE state = 'good' AND trigger = 'schedule'"; }
has_runs() { [ "$(good_runs)" -ge "$1" ]; }

server_start "immbackup.schedule = '* * * * *'"
q 'CREATE EXTENSION immbackup'
until_true 20 is_state ready
ok "an every-minute schedule runs" until_true 90 has_runs 1
is "at its due time" "$(q 'SELECT due = date_trunc($$minute$$, requested) AND requested - due < $$5 s$$ FROM immbackup.runs LIMIT 1')" t

q "ALTER SYSTEM SET immbackup.schedule = '0 0 1 1 *'" && q 'SELECT pg_reload_conf()' >/dev/null
until_true 20 bash -c "grep -q '\"schedule\":\"0 0 1 1 \\*\"' '$WORK/backups/logs/backup_audit.jsonl'"
PID=$(q "SELECT pid FROM pg_stat_activity WHERE backend_type = 'immbackup scheduler'")
sleep 2 # what the reload began
BEFORE=$(switches)
sleep "${IDLE_SECONDS:-60}"
is "idle for ${IDLE_SECONDS:-60} s, the scheduler woke up" "$(($(switches) - BEFORE)) times" "0 times"
set_clock() { python3 -c 'import time; time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))'; }
woke() { [ "$(switches)" -gt "$BEFORE" ]; }
ok "the clock is set to what it shows" set_clock
ok "and the scheduler looks at it" until_true 10 woke
is "without anything to do" "$(q 'SELECT count(*) FROM immbackup.runs WHERE finished IS NULL')" 0
ok "no crash in the server log" no_crash
done_testing
