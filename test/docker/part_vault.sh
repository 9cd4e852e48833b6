#!/usr/bin/env bash
# A volume that was a plain store becomes a vault; a vault without the capability; what root alone may. Sourced by
# test/shell/docker.sh.

PROJECTS+=("immbackup-test-vault-$$")
VOLUME=immbackup-test-vault-$$
docker volume create --label "com.docker.compose.project=immbackup-test-vault-$$" "$VOLUME" >/dev/null
# The sidecar's own cluster is what it backs up here.
start_it() { # DOCKER RUN OPTION...
    docker rm -f "$VOLUME" >/dev/null 2>&1
    docker run -d --name "$VOLUME" --label "com.docker.compose.project=immbackup-test-vault-$$" --network none -v "$VOLUME:/backups" \
        -e DB_HOST=/var/run/postgresql -e DB_USER=postgres -e 'BACKUP_SCHEDULE=0 0 1 1 *' "$@" "$IMAGE" >/dev/null
    until_true 60 it_is_ready
}
it() { docker exec "$VOLUME" "$@"; }
it_sql() { docker exec -u postgres "$VOLUME" psql -X -At -v ON_ERROR_STOP=1 -c "$1"; }
it_is_ready() { [ "$(it_sql 'SELECT worker_state FROM immbackup.status')" = ready ]; }
seals() { it immbackup list --json | jq -r '.[].seal' | sort | uniq -c | tr -s ' ' | paste -sd,; }

ok "without the vault" start_it -e BACKUP_VAULT=off
ok "a backup" it immbackup backup
is "is sealed by its mode" "$(seals)" " 2 readonly"
is "and belongs to postgres alone" "$(it sh -c 'stat -c "%U %a" /backups /backups/active /backups/active/*.gz' | sort | uniq -c | tr -s ' ' | paste -sd,)" " 2 postgres 400, 2 postgres 700"
HEAD=$(it head -n 1 /backups/logs/backup_audit.jsonl)

ok "with the vault, but without the capability" start_it
ok "a backup" it immbackup backup
is "is sealed as vault-dac; what was there is still there" "$(seals)" " 2 readonly, 2 vault-dac"
is "no flag" "$(it lsattr /backups/active | cut -c5 | sort -u)" "-"
fails "postgres cannot remove it" 1 'Permission denied' docker exec -u postgres "$VOLUME" sh -c 'rm -f /backups/active/*'
is "the audit log goes on" "$(it head -n 1 /backups/logs/backup_audit.jsonl)" "$HEAD"
is "that it could be more is said once" "$(docker logs "$VOLUME" 2>&1 | grep -c 'vault-dac')" 1

ok "with the capability" start_it --cap-add LINUX_IMMUTABLE
ok "what the plain store held moves in" it immbackup import
is "sealed as vault" "$(seals)" " 2 vault, 2 vault-dac"
ok "all of it verifies" it immbackup verify --all
ok "and the log" it immbackup audit verify
ARTIFACT=$(it immbackup list --json | jq -r '.[0].artifact')
ok "anybody who may use it can hold" it_sql "SELECT immbackup.hold('$ARTIFACT', 'case 4711')"
fails "a superuser of the server cannot release" 1 'release' it_sql "SELECT immbackup.release('$ARTIFACT', 'closed')"
ok "root of the container can" it immbackup release "$ARTIFACT" --reason closed
is "check" "$(it immbackup check --vault --json | jq -r '[.[] | select(.verdict != "OK")] | length')" 0
fails "off again, the vault is not taken for a plain store" 0 'error: .*vault' sh -c "docker rm -f '$VOLUME' >/dev/null; docker run --rm --network none -v '$VOLUME:/backups' -e BACKUP_VAULT=off -e DB_HOST=nowhere '$IMAGE' immbackup-entrypoint sh -c 'immbackup backup; true' 2>&1"
docker rm -f "$VOLUME" >/dev/null 2>&1
true
