#!/usr/bin/env bash
# A volume that was a plain store becomes a vault; a vault without the capability; what root alone may. Sourced by
# test/shell/docker.sh.

VOLUME=immbackup-test-vault-$$
add_project "$VOLUME"
for name in "$VOLUME" "$VOLUME-states"; do docker volume create --label "com.docker.compose.project=$VOLUME" "$name" >/dev/null; done
# The sidecar's own cluster is what it backs up here.
start_it() { # DOCKER RUN OPTION...
    docker rm -f "$VOLUME" >/dev/null 2>&1
    docker run -d --name "$VOLUME" --label "com.docker.compose.project=$VOLUME" --network none -v "$VOLUME:/backups" \
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

# ---------------------------------------------------------------------------------- a change that was killed, or misled
# Copies of that store, as a start that was killed left them, or as somebody prepared them who got into the server.
PLANTED=(active logs records work plain)
docker run --rm --network none -v "$VOLUME:/from:ro" -v "$VOLUME-states:/states" --entrypoint bash "$IMAGE" -euc '
    chown root:root /states; chmod 0755 /states; cd /states
    for state in before between after both "${@/#/planted-}"; do mkdir $state; cp -a /from/active /from/logs $state; chown postgres:postgres $state; done
    mkdir before/plain
    mkdir between/plain; mv between/active between/plain/
    mkdir after/plain after/active.new; mv after/active after/logs after/plain/; mv after/active.new after/active
    mkdir both/plain; cp -a both/active both/plain/; chown postgres:postgres both/plain
    mkdir -m 0700 target
    for name; do rm -rf planted-$name/$name; ln -s /states/target planted-$name/$name; done
    ln -s /states/target link; chown -h postgres link
' states "${PLANTED[@]}"
for state in before between after; do
    ok "killed $state what was moved: the next start goes on" start_it -v "$VOLUME-states:/states" -e "BACKUP_DIR=/states/$state"
    is "$state: all of it is in plain/, the folders are the vault's" "$(it sh -c "cd /states/$state && stat -c '%n %U' . active logs records work plain; ls plain" | paste -sd ' ')" \
        ". root active immvault logs immvault records immvault work postgres plain postgres active logs"
    is "$state: and part of the catalog" "$(seals)" " 2 readonly"
    ok "$state: which verifies" it immbackup verify --all
    is "$state: the audit log goes on" "$(it head -n 1 "/states/$state/logs/backup_audit.jsonl")" "$HEAD"
    ok "$state: and verifies" it immbackup audit verify
done
refused() { # STATE PATTERN DOCKER_RUN_OPTION...
    docker rm -f "$VOLUME" >/dev/null 2>&1
    fails "$1: refused" 1 "$2" timeout -k 5 60 docker run --name "$VOLUME" --label "com.docker.compose.project=$VOLUME" --network none -v "$VOLUME-states:/states" \
        -e "BACKUP_DIR=/states/$1" "${@:3}" "$IMAGE"
}
states() { docker run --rm --network none -v "$VOLUME-states:/states:ro" --entrypoint "$1" "$IMAGE" "${@:2}"; }
for name in "${PLANTED[@]}"; do refused "planted-$name" "planted-$name/$name\" is no folder, but a symbolic link, which belongs to"; done
refused link '"/states/link" is a symbolic link of postgres'
refused link '"/states/link" is a symbolic link of postgres' -e BACKUP_VAULT=off
is "where the links lead nothing changed" "$(states stat -c '%U %G %a' /states/target)" "root root 700"
refused both 'there are both "/states/both/active" of a plain store and "/states/both/plain/active"'
ok "nothing of either is lost" states diff -r /states/both/active /states/both/plain/active

# ---------------------------------------------------------------------------------- from a plain store to a vault

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
off_again() {
    docker rm -f "$VOLUME" >/dev/null
    docker run --rm --network none -v "$VOLUME:/backups" -e BACKUP_VAULT=off -e DB_HOST=nowhere "$IMAGE" immbackup-entrypoint sh -c 'immbackup backup; true' 2>&1
}
fails "off again, the vault is not taken for a plain store" 0 'error: .*vault' off_again
end_project "$VOLUME"
