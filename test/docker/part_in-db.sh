#!/usr/bin/env bash
# The extension in the database server itself: docker/docker-compose.in-db.yml. Sourced by test/shell/docker.sh.

cat >"$WORK/in-db.yml" <<EOC
services:
  db:
    image: $IMAGE
    healthcheck:
      interval: 2s
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
ok "no secret in docker inspect, or in a log" no_secret_in < <(docker inspect "$(container db)"; compose logs 2>&1)
ok "nor in any file that is not in memory" no_secret_in < <(exec_in db sh -c 'find / /var/lib/postgresql/data -xdev -type f -newer /proc/1 -size -64M -exec cat {} +')
compose rm -fs >/dev/null 2>&1
