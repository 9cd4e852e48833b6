#!/usr/bin/env bash
# What the parts of test/shell/docker.sh share. To be sourced; needs WORK and ROOT.

# IMMBACKUP_TEST_IMAGE: one that was built already.
IMAGE=${IMMBACKUP_TEST_IMAGE:-immbackup-test:$$}
PROJECTS=()

finish() {
    local project volume
    [ -f "$WORK/docker/env" ] || { rm -rf "$WORK"; return; }
    . "$WORK/docker/env"
    if [ "$FAILURES" != 0 ]; then show_logs; fi
    for project in "${PROJECTS[@]}"; do
        docker ps -aq --filter "label=com.docker.compose.project=$project" | xargs -r docker rm -f -v >/dev/null
        # What is sealed would not go.
        for volume in $(docker volume ls -q --filter "label=com.docker.compose.project=$project"); do
            docker run --rm --network none --cap-add LINUX_IMMUTABLE -v "$volume:/v" --entrypoint chattr "$IMAGE" -R -f -i -a /v >/dev/null 2>&1
            docker volume rm "$volume" >/dev/null
        done
        docker network ls -q --filter "label=com.docker.compose.project=$project" | xargs -r docker network rm >/dev/null
    done
    [ -n "${IMMBACKUP_TEST_IMAGE:-}" ] || docker image rm -f "$IMAGE" >/dev/null 2>&1
    docker image rm -f "$IMAGE-s3" >/dev/null 2>&1
    "$ROOT/test/docker/daemon.sh" stop "$WORK/docker"
    rm -rf "$WORK"
}
show_logs() {
    local container
    for container in $(docker ps -aq --filter "name=immbackup-test"); do
        docker inspect --format '# ---- {{.Name}} {{.State.Status}}' "$container"
        docker logs --tail 30 "$container" 2>&1 | sed 's/^/# /'
    done
}

# The base that can be had here, and the host's network to reach Debian's packages.
build_image() {
    [ -z "${IMMBACKUP_TEST_IMAGE:-}" ] || return 0
    docker build --quiet --network host -t "$IMAGE" -f "$ROOT/docker/Dockerfile" --build-arg "BASE_IMAGE=$BASE" \
        --build-arg "REVISION=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || echo none)" "$ROOT"
}
BASE=immbackup-test-base:bookworm

# project NAME FILE... : the compose files of docker/ as they are, with what this machine lacks laid over them.
project() {
    local file
    PROJECT=immbackup-test-$1-$$
    PROJECTS+=("$PROJECT")
    shift
    COMPOSE=(docker compose -p "$PROJECT" --project-directory "$ROOT/docker")
    for file in "$@"; do lay "$file"; done
}
lay() { # FILE: of docker/ where it has no folder
    case $1 in /*) COMPOSE+=(-f "$1") ;; *) COMPOSE+=(-f "$ROOT/docker/$1") ;; esac
}
compose() { "${COMPOSE[@]}" "$@"; }
exec_in() { compose exec -T "$@"; } # SERVICE COMMAND...
as_postgres() { compose exec -T -u postgres "$@"; }
immbackup() { exec_in backup immbackup "$@"; }
container() { compose ps -aq "$1" | grep . || echo none; }
inspect() { docker inspect --format "$2" "$(container "$1")"; }
health() { inspect "$1" '{{.State.Health.Status}}'; }
is_health() { [ "$(health "$1")" = "$2" ]; }
restarts() { inspect "$1" '{{.RestartCount}}'; }
# The sidecar's own server, and the database.
worker_sql() { as_postgres backup psql -X -At -v ON_ERROR_STOP=1 -c "$1"; }
db_sql() { exec_in db psql -X -At -v ON_ERROR_STOP=1 -U app -d "${2:-app}" -c "$1"; }
worker_ready() { [ "$(worker_sql 'SELECT worker_state FROM immbackup.status')" = ready ]; }
db_up() { exec_in db pg_isready -q -h 127.0.0.1 && db_sql 'SELECT 1'; }
audit() { exec_in backup cat /backups/logs/backup_audit.jsonl; }
events() { audit | jq -r "select(.event == \"$1\") | ${2:-.seq}"; }
# runs STATE_EVENT TRIGGER: ids of runs by that trigger that ended so
runs() { audit | jq -rs --arg e "$1" --arg t "$2" '[.[] | select(.event == "run_requested" and (.body.trigger | test($t))) | .body.run] as $asked
    | .[] | select(.event == $e and (.body.run | IN($asked[]))) | .body.run'; }
has_run() { [ -n "$(runs "$@")" ]; }
# The chain, by the script of docs/formats.md.
independent_chain() {
    audit >"$WORK/audit.jsonl" || return 1
    sed -n '/^<!-- tested by scripts\/test.sh docs -->/,/^```$/p' "$ROOT/docs/formats.md" | sed '1,2d;$d' >"$WORK/verify-audit.sh"
    sh "$WORK/verify-audit.sh" "$WORK/audit.jsonl"
}
# Nobody but who must know it: not in what docker tells, not in a command line, a log or a file.
no_secret_in() { ! grep -aF -e "${1:-$SECRET}"; }
