#!/usr/bin/env bash
# TAP for shell tests, and the checks that hold after every test of a backup directory.
# Source it after setting WORK.

TESTS=0
FAILURES=0
# ok DESCRIPTION COMMAND...: the command must succeed.
ok() {
    local description=$1 output
    shift
    TESTS=$((TESTS + 1))
    if output=$("$@" 2>&1); then
        echo "ok $TESTS - $description"
    else
        FAILURES=$((FAILURES + 1))
        echo "not ok $TESTS - $description"
        printf '%s\n' "$output" | tail -n 20 | sed 's/^/# /'
    fi
}
# is DESCRIPTION HAVE WANT
is() {
    TESTS=$((TESTS + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $TESTS - $1"
    else
        FAILURES=$((FAILURES + 1))
        echo "not ok $TESTS - $1"
        printf '%s\n' "have: $2" "want: $3" | sed 's/^/# /'
    fi
}
# fails DESCRIPTION EXIT_CODE PATTERN COMMAND...: exits with this code, and prints the pattern (grep -E).
fails() {
    local description=$1 code=$2 pattern=$3 output status=0
    shift 3
    output=$("$@" 2>&1) || status=$?
    TESTS=$((TESTS + 1))
    # No pipe: grep may have seen enough before all is written, and the writer's SIGPIPE would count.
    if [[ $status =~ ^(${code})$ ]] && grep -qE -- "$pattern" <<<"$output"; then
        echo "ok $TESTS - $description"
    else
        FAILURES=$((FAILURES + 1))
        echo "not ok $TESTS - $description"
        printf '%s\n' "exit code $status, wanted $code; output:" "$output" | tail -n 20 | sed 's/^/# /'
    fi
}
done_testing() {
    echo "1..$TESTS"
    [ "$FAILURES" = 0 ]
}

# until_true SECONDS COMMAND...: polls; fails only when the time is up, which no sound run comes near.
until_true() {
    local limit=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $limit ] || return 1
        sleep 0.05
    done
}

sql() { as_server psql -X -q -v ON_ERROR_STOP=1 -At "$@"; }

# The chain by other means than immbackup's: the script of docs/formats.md.
independent_audit() {
    sed -n '/^<!-- tested by scripts\/test.sh docs -->/,/^```$/p' "$ROOT/docs/formats.md" | sed '1,2d;$d' >"$WORK/verify-audit.sh"
    sh "$WORK/verify-audit.sh" "$WORK/backups/logs/backup_audit.jsonl"
}
# active/ holds only complete backups that their checksum files prove; incoming/ nothing.
only_complete() {
    local file
    cd "$WORK/backups/active" || return 1
    for file in *; do
        [ -e "$file" ] || break
        case $file in
            *.sql.gz) [ -f "$file.sha256" ] && [ -f "$file.manifest.json" ] && gunzip -t "$file" && sha256sum --quiet -c "$file.sha256" || return 1 ;;
            *.sql.gz.sha256) [ -f "${file%.sha256}" ] || return 1 ;;
            *.sql.gz.manifest.json) [ -f "${file%.manifest.json}" ] || return 1 ;;
            *) echo "foreign: $file"; return 1 ;;
        esac
    done
    [ -z "$(ls -A "$WORK/backups/incoming")" ] || { ls -A "$WORK/backups/incoming"; return 1; }
}
sound() {
    ok "$1: active/ holds only complete backups" only_complete
    ok "$1: the audit chain verifies by sed, sha256sum and jq" independent_audit
}
no_jobs() { ! pgrep -u "$SERVER_USER" -f 'immbackup job|[p]g_dump' >/dev/null; }

# ---- a server with immbackup

q() { sql -d postgres -c "$1"; }
is_state() { [ "$(q 'SELECT worker_state FROM immbackup.status')" = "$1" ]; }
# A lock on table t of database shop holds pg_dump, so that a run is certainly going on. The session that holds it is
# fed through a pipe, and ends when the pipe is closed.
hold() {
    rm -f "$WORK/feed"
    mkfifo "$WORK/feed"
    chown "$SERVER_USER" "$WORK/feed"
    sql -d shop -f "$WORK/feed" >/dev/null 2>&1 &
    exec 9>"$WORK/feed"
    echo 'BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;' >&9
    until_true 20 held
}
held() { [ "$(q "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL")" != 0 ]; }
release() { exec 9>&-; }
dump_waits() { [ "$(q "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'pg_dump|immbackup' AND wait_event_type = 'Lock'")" != 0 ]; }
# Closed in the log, and no more at work for the worker, which is a moment later.
ended() { [ "$(q "SELECT (SELECT count(*) FROM immbackup.runs WHERE state IN ('requested', 'running')) + (SELECT count(*) FROM immbackup.progress)")" = 0 ]; }
