#!/usr/bin/env bash
# Single containers: what must not be, without root from the beginning, volumes that are none, tokens that change.
# Sourced by test/shell/docker.sh.

PROJECT=immbackup-test-run-$$
add_project "$PROJECT"
# The sidecar's own cluster is what it backs up here.
run_it() { # NAME DOCKER_RUN_OPTION...
    local name=$1
    shift
    docker run -d --name "$PROJECT-$name" --label "com.docker.compose.project=$PROJECT" --network none --health-interval 2s --health-start-period 1s \
        -e DB_HOST=/var/run/postgresql -e DB_USER=postgres -e 'BACKUP_SCHEDULE=0 0 1 1 *' "$@" "$IMAGE" >/dev/null
}
it() { # NAME COMMAND...
    local name=$1
    shift
    docker exec "$PROJECT-$name" "$@"
}
it_is() { [ "$(it "$1" psql -U postgres -X -At -c 'SELECT worker_state FROM immbackup.status')" = "$2" ]; }
it_has_health() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$PROJECT-$1")" = "$2" ]; }
has_volume() { docker volume create --label "com.docker.compose.project=$PROJECT" "$PROJECT-$1" >/dev/null; }

run_it password -e DB_PASSWORD=in-the-open
# A token that postgres cannot read, and one that it can.
mkdir "$WORK/tokens"
for token in web container; do echo "token of $SECRET" >"$WORK/tokens/$token"; done
chmod 0755 "$WORK/tokens"
chmod 0600 "$WORK/tokens/web"
chmod 0644 "$WORK/tokens/container"
run_it token -v "$WORK/tokens:/tokens:ro" -e AWS_WEB_IDENTITY_TOKEN_FILE=/tokens/web -e AWS_ROLE_ARN=arn:aws:iam::123456789012:role/backup \
    -e AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/tokens/container -e S3_BUCKET=backups -e S3_REGION=eu-central-1 -e S3_OBJECT_LOCK_DAYS=1
run_it layer -e BACKUP_DIR=/srv/backups
has_volume named
run_it named -v "$PROJECT-named:/backups"
has_volume user
printf '%s\n' "$SECRET" >"$WORK/secrets/user.txt"
chmod 0400 "$WORK/secrets/user.txt"
chown 999:999 "$WORK/secrets/user.txt"
run_it user --user 999:999 --cap-drop ALL -v "$PROJECT-user:/backups" -v "$WORK/secrets/user.txt:/run/secrets/db_password:ro"
run_it user-read-only --user 999:999 --cap-drop ALL --security-opt no-new-privileges:true --read-only --tmpfs /tmp \
    --tmpfs /run:uid=999,gid=999,mode=0755

# ---------------------------------------------------------------------------------- what must not be
ok "a password in the environment is refused, and the container unhealthy" until_true 60 it_has_health password unhealthy
until_true 30 eval "it password immbackup check | grep -q DB_PASSWORD"
fails "with the reason" 2 'DB_PASSWORD is set' it password immbackup check
fails "and it takes no backup" 10 'DB_PASSWORD is set' it password immbackup backup

# ---------------------------------------------------------------------------------- volumes
ok "an anonymous volume" until_true 60 it_is token ready
ok "is warned of" logs_have "$PROJECT-token" 'warning: BACKUP_DIR "/backups" is not on a volume of its own name'
ok "no volume at all" until_true 60 it_is layer ready
ok "is warned of" logs_have "$PROJECT-layer" 'warning: BACKUP_DIR "/srv/backups" is not on a volume: '
ok "one with a name" until_true 60 it_is named ready
ok "is not" logs_have_no "$PROJECT-named" 'is ready' 'not on a volume'

# ---------------------------------------------------------------------------------- tokens that change
ok "a token that postgres cannot read is told of, and what to do" logs_have "$PROJECT-token" 'error: AWS_WEB_IDENTITY_TOKEN_FILE names "/tokens/web", which postgres cannot read.*fsGroup: 999'
ok "one that it can read is not" logs_have_no "$PROJECT-token" 'is ready' 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'
is "no copy of either is kept" "$(it token sh -c 'ls -A /dev/shm/immbackup/secrets; cut -d "$(printf "\037")" -f 1 /dev/shm/immbackup/environment' | paste -sd ' ')" BACKUP_VAULT_HELPER
fails "and nothing is uploaded with it" 25 '/tokens/web.*[Pp]ermission denied' it token immbackup check --s3

# ---------------------------------------------------------------------------------- without root
for name in user user-read-only; do
    ok "$name: without root and capabilities from the beginning" until_true 60 it_is "$name" ready
    is "$name: no process has a capability" "$(it "$name" sh -c 'cat /proc/[0-9]*/status 2>/dev/null | grep -E "^Cap(Prm|Eff)" | tr -d "\t" | sort -u' | paste -sd ' ')" \
        "CapEff:0000000000000000 CapPrm:0000000000000000"
    ok "$name: a run" it "$name" immbackup backup
    is "$name: is sealed by its mode" "$(it "$name" immbackup list --json | jq -r '.[].seal' | sort -u)" readonly
    ok "$name: healthy" until_true 60 it_has_health "$name" healthy
    ok "$name: docker stop" docker stop -t 30 "$PROJECT-$name"
    is "$name: is clean" "$(docker inspect --format '{{.State.ExitCode}}' "$PROJECT-$name")" 0
done
end_project "$PROJECT"
