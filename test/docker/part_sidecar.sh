#!/usr/bin/env bash
# The sidecar beside a database: docker/docker-compose.yml. Sourced by test/shell/docker.sh.

cat >"$WORK/sidecar.yml" <<EOC
services:
  db:
    image: $IMAGE
    command: ["postgres", "-c", "log_statement=all"]
  backup:
    image: $IMAGE
    environment:
      BACKUP_SCHEDULE: "* * * * *"
      BACKUP_CONNECT_WAIT: "2"
    healthcheck:
      interval: 2s
secrets:
  db_password:
    file: $WORK/secrets/db_password.txt
EOC
project sidecar docker-compose.yml "$WORK/sidecar.yml"

# One that never finds its db: it is looked at in the end, when its first run is overdue.
docker run -d --name "immbackup-test-overdue-$$" --label "com.docker.compose.project=$PROJECT" --network none --health-interval 2s \
    --health-start-period 1s -e "BACKUP_SCHEDULE=* * * * *" -e BACKUP_CONNECT_WAIT=0 "$IMAGE" >/dev/null

# ---------------------------------------------------------------------------------- a db that is not there
ok "the sidecar alone" compose up -d --no-deps backup
ok "its worker is ready" until_true 60 worker_ready
ok "healthy before the first run is due" until_true 60 is_health backup healthy
is "PID 1 is an init" "$(exec_in backup cat /proc/1/comm)" tini
is "the server runs as postgres" "$(exec_in backup sh -c 'stat -c %U /proc/$(head -1 /run/immbackup/cluster/postmaster.pid)')" postgres
is "without a capability" "$(exec_in backup sh -c 'grep CapEff /proc/$(head -1 /run/immbackup/cluster/postmaster.pid)/status' | tr -s '\t' ' ')" "CapEff: 0000000000000000"
is "it listens on no TCP port" "$(exec_in backup sh -c 'cat /proc/net/tcp /proc/net/tcp6 | grep " 0A " | grep -vc 0B00007F')" 0
is "nothing is published" "$(inspect backup '{{.HostConfig.PortBindings}}{{.NetworkSettings.Ports}}' | tr -dc 0-9)" ""
is "the volume is a vault, of which postgres may only read" "$(exec_in backup sh -c 'cd /backups && stat -c "%n %U:%G %a" . active logs records work')" \
    $'. root:root 755\nactive immvault:postgres 2750\nlogs immvault:postgres 2750\nrecords immvault:postgres 2750\nwork postgres:postgres 700'
is "its service has one capability" "$(exec_in backup sh -c 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" != immbackup-vault ] || grep -h -e CapPrm -e ^Uid $p/status; done' | tr -s '\t' ' ' | sort -u)" \
    $'CapPrm: 0000000000000200\nUid: 5433 5433 5433 5433'
is "the secret that root alone may read is in memory, for postgres alone" \
    "$(exec_in backup sh -c 'stat -c "%U %a" /dev/shm/immbackup/secrets/DB_PASSWORD_FILE; stat -f -c %T /dev/shm')" $'postgres 400\ntmpfs'
ok "a run fails while there is no db" until_true 90 has_run run_failed schedule
is "in the audit, with the reason" "$(events run_failed .body.error.code | sort -u)" connect
is "and no restart" "$(restarts backup) $(inspect backup '{{.State.Status}}')" "0 running"
ok "one failed run is no reason to be unhealthy" is_health backup healthy

# ---------------------------------------------------------------------------------- a db that comes late
exec_in backup immbackup backup --connect-wait 120 >"$WORK/waiting.log" 2>&1 &
WAITING=$!
ok "the db comes" compose up -d db
wait "$WAITING"
is "a run has waited for it" "$?" 0
until_true 60 db_up
ok "data" exec_in db psql -q -X -v ON_ERROR_STOP=1 -U app -d app -f - <"$ROOT/test/data/sample.sql"
BEFORE=$(date -u +%Y%m%dT%H%M%SZ)
scheduled() { [[ "$(runs run_finished 'schedule|retry' | tail -1)" > "$BEFORE" ]]; }
ok "a scheduled run is good" until_true 150 scheduled
RUN=$(runs run_finished 'schedule|retry' | tail -1)
is "one database alone: the run's name is the artifact's" "$(immbackup list --json | jq -r --arg r "$RUN" '.[] | select(.run == $r) | .artifact')" "$RUN"
is "its files are the vault's, and read-only" "$(exec_in backup sh -c "stat -c '%U %a' /backups/active/$RUN.*" | sort -u)" "immvault 440"
is "each has the kernel's immutable flag" "$(exec_in backup sh -c "lsattr /backups/active/$RUN.*" | cut -c5 | sort | uniq -c | tr -s ' ')" " 3 i"
is "and the log the append-only one" "$(exec_in backup lsattr /backups/logs/backup_audit.jsonl | cut -c6)" a
is "so it says" "$(immbackup list --json | jq -r --arg r "$RUN" '.[] | select(.run == $r) | .seal')" vault
fails "postgres cannot remove it" 1 'Permission denied' as_postgres backup rm -f "/backups/active/$RUN.sql.gz"
fails "nor can root of the container" 1 'not permitted' exec_in backup rm -f "/backups/active/$RUN.sql.gz"
ok "sha256sum accepts it" exec_in backup sh -c "cd /backups/active && sha256sum -c $RUN.sql.gz.sha256"
ok "it verifies" immbackup verify --all
ok "the audit chain verifies" immbackup audit verify
ok "also by sed, sha256sum and jq" independent_chain
is "check" "$(immbackup check --json | jq -r .verdict)" OK
DAYS='((.retain_until[:19] + "Z" | fromdate) - (.taken[:19] + "Z" | fromdate)) / 86400 + 0.01 | floor'
is "each is kept for as long as the environment says for its tier" \
    "$(immbackup list --json | jq "length > 0 and all(.[]; ($DAYS) == {hourly: 2, daily: 7, weekly: 28}[.tier])")" true
ok "a restore into a second database" immbackup restore "$RUN" --to app_restored
content() { exec_in db psql -q -X -U app -d "$1" -f - <"$ROOT/test/data/content_hash.sql"; }
content app >"$WORK/app.txt"
content app_restored >"$WORK/app_restored.txt"
ok "of the same content" diff "$WORK/app.txt" "$WORK/app_restored.txt"
ok "which is some" test "$(wc -l <"$WORK/app.txt")" -gt 50
ok "from SQL in the sidecar as well" worker_sql 'SELECT immbackup.run_now()'

# ---------------------------------------------------------------------------------- secrets
exec_in db psql -q -X -U app -d app -c 'BEGIN; LOCK TABLE shop.customer; SELECT pg_sleep(120)' >/dev/null 2>&1 &
locked() { [ -n "$(db_sql "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'shop.customer'::regclass")" ]; }
until_true 30 locked
DONE=$(runs run_finished . | wc -l)
dumping() { docker top "$(container backup)" -eo pid,args | grep -q '[p]g_dump .*app'; }
worker_sql 'SELECT immbackup.run_now()' >/dev/null 2>&1 &
ok "pg_dump at work" until_true 90 dumping
ok "no secret in the processes' command lines" no_secret_in < <(docker top "$(container backup)" -eo pid,args; docker top "$(container db)" -eo pid,args)
# By the host's eyes: root of the container may not read those of postgres.
environments() {
    local pid
    for pid in $(docker top "$(container backup)" -eo pid | tail -n +2); do
        if [ "$(cat "/proc/$pid/comm")" = pg_dump ] && [ "$1" = others ]; then continue; fi
        cat "/proc/$pid/environ"
    done
}
environment_of_dump() { tr '\0' '\n' <"/proc/$(docker top "$(container backup)" -eo pid,comm | awk '$2 == "pg_dump" {print $1; exit}')/environ"; }
ok "nor in the environment of any but pg_dump" no_secret_in < <(environments others)
fails "whose own it is in, readable for the same user and root" 0 "PGPASSWORD=$SECRET" environment_of_dump
db_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()" >/dev/null
another_run() { [ "$(runs run_finished . | wc -l)" -gt "$DONE" ]; }
ok "the run goes on" until_true 60 another_run
ok "nor in docker inspect" no_secret_in < <(docker inspect "$(container backup)" "$(container db)" "$IMAGE")
ok "nor in the image's history" no_secret_in < <(docker history --no-trunc "$IMAGE")
ok "nor in the logs, with every statement logged" no_secret_in < <(compose logs 2>&1)
ok "nor in any file that is not in memory" no_secret_in < <(exec_in backup sh -c 'find / -xdev -type f -newer /proc/1 -size -64M -exec cat {} + ; cat /backups/logs/*'; exec_in db sh -c 'find / /var/lib/postgresql/data -xdev -type f -newer /proc/1 -size -64M -exec cat {} + 2>/dev/null')

# ---------------------------------------------------------------------------------- init, stop, restart
since() { worker_sql 'SELECT pg_postmaster_start_time()'; }
SINCE=$(since)
exec_in backup bash -c 'sleep 300 & echo $! >/tmp/orphan; sleep 0.1 &'
exec_in backup bash -c 'kill -KILL $(cat /tmp/orphan); sleep 0.5'
is "what others leave behind is reaped" "$(exec_in backup sh -c 'cat /proc/[0-9]*/stat | grep -c ") Z "')" 0
is "and an orphan that is killed crashes nothing" "$(since)" "$SINCE"
KEPT=$(immbackup list --json | jq length)
START=$SECONDS
ok "docker stop" docker stop -t 30 "$(container backup)"
ok "is quick" test $((SECONDS - START)) -lt 15
is "and clean" "$(inspect backup '{{.State.ExitCode}} {{.State.OOMKilled}}')" "0 false"
ok "start" compose start backup
ok "the worker comes back" until_true 60 worker_ready
is "its stop was recorded" "$(events worker_stopped | wc -l)" 1
ok "and no backup is gone" test "$(immbackup list --json | jq length)" -ge "$KEPT"
ok "in the log, nothing of a crash" bash -c "! docker logs '$(container backup)' 2>&1 | grep -E 'PANIC|TRAP:|terminated by signal'"

# ---------------------------------------------------------------------------------- image
is "the label has the version" "$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' "$IMAGE")" \
    "$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$ROOT/immbackup.control")"
is "no compiler in it" "$(docker run --rm --entrypoint sh "$IMAGE" -c 'command -v gcc g++ make cmake; dpkg -l "*-dev" 2>/dev/null | grep -c ^ii')" 0
echo "# the image takes $(docker image inspect --format '{{.Size}}' "$IMAGE" | numfmt --to=si), its base $(docker image inspect --format '{{.Size}}' "$BASE" | numfmt --to=si)"

# ---------------------------------------------------------------------------------- as little as possible
cat >"$WORK/hardened.yml" <<EOC
services:
  backup:
    environment:
      BACKUP_RETENTION_HOURLY_DAYS: "1"
EOC
lay docker-compose.hardened.yml
lay "$WORK/hardened.yml"
ok "the hardened sidecar" compose up -d --no-deps backup
ok "its worker is ready" until_true 60 worker_ready
is "no new privileges, nothing can be written but where it must" \
    "$(exec_in backup sh -c 'grep NoNewPrivs /proc/1/status; touch /usr/x /etc/x 2>&1 | grep -c "Read-only"' | tr -s '\t' ' ')" $'NoNewPrivs: 1\n2'
ok "a run" immbackup backup
is "sealed as before, under no-new-privileges by the vault's service" "$(immbackup list --json | jq -r 'max_by(.taken).seal')" vault
ok "a restore" immbackup restore --latest app --to app_again
is "a shorter retention waits for somebody's word" "$(immbackup check --json | jq -r '.verdict + " " + (.summary | test("not acknowledged") | tostring)')" "WARNING true"
ok "but is healthy" until_true 30 is_health backup healthy

# ---------------------------------------------------------------------------------- what must not be
docker run -d --name "immbackup-test-password-$$" --label "com.docker.compose.project=$PROJECT" --health-interval 2s --health-start-period 1s -e DB_PASSWORD=in-the-open "$IMAGE" >/dev/null
unhealthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "immbackup-test-password-$$")" = unhealthy ]; }
ok "a password in the environment is refused, and the container unhealthy" until_true 60 unhealthy
fails "with the reason" 2 'DB_PASSWORD is set' docker exec "immbackup-test-password-$$" immbackup check
fails "and it takes no backup" 10 'DB_PASSWORD is set' docker exec "immbackup-test-password-$$" immbackup backup
ok "backups that are not on a volume are warned of, and where there is one, not" \
    bash -c "! docker logs '$(container backup)' 2>&1 | grep -q 'not on a volume'"

# ---------------------------------------------------------------------------------- overdue
overdue() { [ "$(docker inspect --format '{{.State.Health.Status}}' "immbackup-test-overdue-$$")" = unhealthy ]; }
ok "without a db the backups become overdue, and the container unhealthy" until_true 200 overdue
fails "check says why" 2 'overdue since' docker exec "immbackup-test-overdue-$$" immbackup check
is "and it never restarted" "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' "immbackup-test-overdue-$$")" "0 running"
compose rm -fs >/dev/null 2>&1
