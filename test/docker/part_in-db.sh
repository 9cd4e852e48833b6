#!/usr/bin/env bash
# The extension in the database server itself: docker/docker-compose.in-db.yml. Sourced by test/shell/docker.sh.

cat >"$WORK/in-db.yml" <<EOC
services:
  db:
    image: $IMAGE
    healthcheck:
      interval: 2s
      start_period: 1s
secrets:
  db_password:
    file: $WORK/secrets/db_password.txt
EOC
project in-db docker-compose.in-db.yml "$WORK/in-db.yml"
in_db_ready() { [ "$(db_sql 'SELECT worker_state FROM immbackup.status')" = ready ]; }
db_immbackup() { exec_in db immbackup "$@"; }

ok "a server with the extension in it" compose up -d
ok "the init script has made the extension, and the worker is ready" until_true 60 in_db_ready
ok "healthy" until_true 60 is_health db healthy
ok "its password is the secret's" exec_in db sh -c 'PGPASSWORD=$(cat /run/secrets/db_password) psql -X -At -h 127.0.0.1 -U app -d app -c "SELECT 1"'
fails "and no other" 2 'authentication failed' exec_in db sh -c 'PGPASSWORD=wrong psql -X -At -h 127.0.0.1 -U app -d app -c "SELECT 1"'
ok "data" db_sql 'CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 10000) AS g'
ok "run_now()" db_sql 'SELECT immbackup.run_now()'
is "every database and the globals" "$(db_immbackup list --json | jq -r '.[] | .database // "globals"' | sort | paste -sd ' ')" "app globals postgres"
ok "verify" db_immbackup verify --all
ok "restore" db_immbackup restore --latest app --to app_restored
is "its rows" "$(db_sql 'SELECT count(*), md5(string_agg(t::text, $$ $$ ORDER BY g)) FROM t' app_restored)" "$(db_sql 'SELECT count(*), md5(string_agg(t::text, $$ $$ ORDER BY g)) FROM t')"
is "check" "$(db_immbackup check --json | jq -r .verdict)" OK
ok "data and backups are on two volumes" test "$(docker inspect --format '{{range .Mounts}}{{.Name}} {{.Destination}}{{println}}{{end}}' "$(container db)" | grep -cE '^[^ ]+_(db_data /var/lib/postgresql/data|backup_data /backups)$')" = 2
START=$SECONDS
ok "docker stop" docker stop -t 60 "$(container db)"
ok "is quick" test $((SECONDS - START)) -lt 20
is "and clean" "$(inspect db '{{.State.ExitCode}}')" 0
ok "start" compose start db
ok "with the same data" until_true 60 db_sql 'SELECT 1 FROM t WHERE g = 10000'
ok "no secret in docker inspect" no_secret_in '"Env":' docker inspect "$(container db)"
ok "nor in a log" no_secret_in 'is ready' compose logs db
ok "nor in any file of the server" no_secret_in_files db /var/lib/postgresql/data /var/lib/postgresql/data/postgresql.conf
ok "nor in any of its container" no_secret_in_files db / '/usr/share/postgresql/[0-9]+/postgresql.conf.sample'
ok "nor in any of the backup volume" no_secret_in_files db /backups /backups/logs/backup_audit.jsonl '/backups/active/[^:]*\.manifest\.json'

# ---------------------------------------------------------------------------------- the volume is at fault, not the database
broken() { # DESCRIPTION REASON WORKER'S_REASON
    ok "$1: the server starts all the same" compose up -d
    ok "with its data" until_true 60 db_sql 'SELECT 1 FROM t WHERE g = 10000'
    ok "the worker is misconfigured" until_true 60 in_db_is misconfigured
    fails "and says why" 0 "$3" db_sql 'SELECT concat_ws($$ $$, problem, problem_detail) FROM immbackup.status'
    ok "the reason is in the log" logs_have "$(container db)" "ERROR: $2"
    ok "the container becomes unhealthy" until_true 60 is_health db unhealthy
    fails "with the reason" 1 "$2" exec_in db immbackup-healthcheck
    fails "no run is taken" '[1-9][0-9]*' 'error' db_immbackup backup
    ok "what there is can be restored" db_immbackup restore --latest app --to "app_$4"
    is "and it does not restart" "$(restarts db) $(inspect db '{{.State.Status}}')" "0 running"
}
in_db_is() { [ "$(db_sql 'SELECT worker_state FROM immbackup.status')" = "$1" ]; }
WELL=("${COMPOSE[@]}")
cat >"$WORK/in-db-read-only.yml" <<EOC
services:
  db:
    volumes:
      - backup_data:/backups:ro
EOC
lay "$WORK/in-db-read-only.yml"
broken "the backup volume is read-only" 'could not make the folders of the vault in "/backups": is it read-only' '[Rr]ead-only' read_only
COMPOSE=("${WELL[@]}")
cat >"$WORK/in-db-typo.yml" <<EOC
services:
  db:
    environment:
      BACKUP_VAULT: "yes"
EOC
lay "$WORK/in-db-typo.yml"
broken "a typo in BACKUP_VAULT" 'BACKUP_VAULT is on or off, not "yes"' 'helper' typo
COMPOSE=("${WELL[@]}")
ok "put right" compose up -d
ok "the worker is ready again" until_true 60 in_db_ready
ok "and healthy" until_true 60 is_health db healthy
ok "and backs up" db_immbackup backup
end_project "$PROJECT"
