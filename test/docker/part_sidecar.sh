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
OVERDUE=immbackup-test-overdue-$$
docker run -d --name "$OVERDUE" --label "com.docker.compose.project=$PROJECT" --network none --health-interval 2s \
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
hold_table shop.customer
DONE=$(runs run_finished . | wc -l)
worker_sql 'SELECT immbackup.run_now()' >/dev/null 2>&1 &
ok "pg_dump at work" until_true 90 dumping
for service in backup db; do
    ok "no secret in the command lines of $service" no_secret_in postgres docker top "$(container "$service")" -eo pid,args
done
# By the host's eyes: root of the container may not read those of postgres.
environments() {
    local pid
    for pid in $(docker top "$(container backup)" -eo pid | tail -n +2); do
        if [ "$(cat "/proc/$pid/comm")" = pg_dump ] && [ "$1" = others ]; then continue; fi
        cat "/proc/$pid/environ" || [ ! -e "/proc/$pid" ] || return 1
    done
}
environment_of_dump() { tr '\0' '\n' <"/proc/$(docker top "$(container backup)" -eo pid,comm | awk '$2 == "pg_dump" {print $1; exit}')/environ"; }
ok "nor in the environment of any but pg_dump" no_secret_in 'BACKUP_SCHEDULE=* * * * *' environments others
fails "whose own it is in, readable for the same user and root" 0 "PGPASSWORD=$SECRET" environment_of_dump
let_go
another_run() { [ "$(runs run_finished . | wc -l)" -gt "$DONE" ]; }
ok "the run goes on" until_true 60 another_run
for name in "$(container backup)" "$(container db)" "$IMAGE"; do
    ok "nor in docker inspect" no_secret_in '"Env":' docker inspect "$name"
done
ok "nor in the image's history" no_secret_in immbackup-entrypoint docker history --no-trunc "$IMAGE"
ok "nor in the logs, with every statement logged" no_secret_in 'LOG:  statement: ' compose logs db
ok "nor in those of the sidecar" no_secret_in 'is ready' compose logs backup
ok "nor in any file of the sidecar that is not in memory" no_secret_in_files backup / /run/immbackup/cluster/postgresql.conf
ok "nor in any of the backup volume" no_secret_in_files backup /backups /backups/logs/backup_audit.jsonl '/backups/active/[^:]*\.manifest\.json'
ok "nor in any of the database's" no_secret_in_files db /var/lib/postgresql/data /var/lib/postgresql/data/postgresql.conf
ok "the program takes no variable of libpq, as the server does not" compose exec -T -e PGPORT=1 -e PGUSER=nobody backup immbackup backup

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
ok "in the log, nothing of a crash" logs_have_no "$(container backup)" 'immbackup [0-9.]+ is ready' 'PANIC|TRAP:|terminated by signal'
ok "nor of backups that are not on a volume" logs_have_no "$(container backup)" 'is ready' 'not on a volume'

# ---------------------------------------------------------------------------------- as little as possible
cat >"$WORK/hardened.yml" <<EOC
services:
  backup:
    environment:
      # None by schedule, which would be in the way of those that are asked for here.
      BACKUP_SCHEDULE: "0 0 1 1 *"
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

hold_table shop.customer
worker_sql 'SELECT immbackup.run_now()' >/dev/null 2>&1 &
ok "a run goes on" until_true 90 dumping
CANCELLED=$(events run_cancelled | wc -l) STOPPED=$(events worker_stopped | wc -l) START=$SECONDS
ok "docker stop, meanwhile" docker stop -t 30 "$(container backup)"
ok "is quick" test $((SECONDS - START)) -lt 15
is "and clean" "$(inspect backup '{{.State.ExitCode}} {{.State.OOMKilled}}')" "0 false"
let_go
ok "start" compose start backup
ok "the worker comes back" until_true 60 worker_ready
is "the run was recorded as cancelled, and the worker's stop" \
    "$(($(events run_cancelled | wc -l) - CANCELLED)) $(($(events worker_stopped | wc -l) - STOPPED))" "1 1"

# ---------------------------------------------------------------------------------- when all else is gone
# The commands of the manual, with the names that things have here, against a new server.
docker run -d --name "immbackup-test-newdb-$$" --label "com.docker.compose.project=$PROJECT" --network "${PROJECT}_backend_net" --network-alias newdb \
    -v "$WORK/secrets/db_password.txt:/run/secrets/db_password:ro" -e POSTGRES_USER=app -e POSTGRES_PASSWORD_FILE=/run/secrets/db_password \
    -e POSTGRES_DB=postgres "$IMAGE" postgres >/dev/null 2>&1
newdb() { docker exec -i "immbackup-test-newdb-$$" psql -X -At -q -v ON_ERROR_STOP=1 -U app "$@"; }
until_true 60 newdb -d postgres -c 'SELECT 1' </dev/null
compose rm -fs backup >/dev/null 2>&1
sed -n '/^## Restoring when all else is gone/,/^## /p' "$ROOT/docs/container.md" | sed -n '/^```sh$/,/^```$/p' | sed '1d;$d' >"$WORK/disaster.sh"
is "the manual has three commands for when all else is gone" "$(grep -c '^docker run ' "$WORK/disaster.sh")" 3
sed -i "s|immbackup_|${PROJECT}_|g; s|--entrypoint immbackup immbackup|--entrypoint immbackup $IMAGE|; s|my_net|${PROJECT}_backend_net|; s|\$PWD/secrets|$WORK/secrets|" "$WORK/disaster.sh"
ok "they do what they say" bash -euxo pipefail "$WORK/disaster.sh"
newdb -d app -f - <"$ROOT/test/data/content_hash.sql" >"$WORK/app_new.txt"
ok "the new server has the same content" diff "$WORK/app.txt" "$WORK/app_new.txt"

# ---------------------------------------------------------------------------------- overdue
overdue() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$OVERDUE")" = unhealthy ]; }
ok "without a db the backups become overdue, and the container unhealthy" until_true 200 overdue
fails "check says why" 2 'overdue since' docker exec "$OVERDUE" immbackup check
is "and it never restarted" "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' "$OVERDUE")" "0 running"
end_project "$PROJECT"
