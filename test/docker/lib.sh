#!/usr/bin/env bash
# What the parts of test/shell/docker.sh share. To be sourced; needs WORK and ROOT.

# IMMBACKUP_TEST_IMAGE: one that was built already.
IMAGE=${IMMBACKUP_TEST_IMAGE:-immbackup-test:$$}

# What has this label is removed in the end. In a file, since parts are run in processes of their own.
add_project() { echo "$1" >>"$WORK/projects"; }

finish() {
    local project volume part
    # How far they came, where this is interrupted.
    for part in "$WORK"/*.tap; do [ ! -f "$part" ] || sed "s/^/# $(basename "$part" .tap), not finished: /" "$part"; done
    [ -f "$WORK/docker/env" ] || { rm -rf "$WORK"; return; }
    . "$WORK/docker/env"
    [ -z "${BESIDE:-}" ] || kill "$BESIDE" 2>/dev/null
    for project in $(cat "$WORK/projects" 2>/dev/null); do
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
# At the end of a part: its containers' logs, where a test failed.
end_project() { # PROJECT
    if [ "$FAILURES" != 0 ]; then show_logs "$1"; fi
    docker ps -aq --filter "label=com.docker.compose.project=$1" | xargs -r docker rm -f >/dev/null 2>&1
}
show_logs() { # PROJECT
    local container
    for container in $(docker ps -aq --filter "label=com.docker.compose.project=$1"); do
        docker inspect --format '# ---- {{.Name}} {{.State.Status}}' "$container"
        docker logs --tail 30 "$container" 2>&1 | sed 's/^/# /'
    done
}

# The base that can be had here, and the host's network to reach Debian's packages. Not optimized: that would be most of
# the suite's time.
build_stage() { # STAGE DOCKER_BUILD_OPTION...
    docker build --target "$1" --network host -f "$ROOT/docker/Dockerfile" --build-arg "BASE_IMAGE=$BASE" --build-arg CXXFLAGS=-O0 \
        "${@:2}" "$ROOT"
}
build_image() {
    [ -n "${IMMBACKUP_TEST_IMAGE:-}" ] ||
        build_stage run --quiet -t "$IMAGE" --build-arg "REVISION=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || echo none)"
}
BASE=immbackup-test-base:bookworm

# project NAME FILE... : the compose files of docker/ as they are, with what this machine lacks laid over them.
project() {
    local file
    PROJECT=immbackup-test-$1-$$
    add_project "$PROJECT"
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
# A session that holds a lock on a table of db, so that a run is certainly going on.
hold_table() { # TABLE
    exec_in db psql -q -X -U app -d app -c "BEGIN; LOCK TABLE $1; SELECT pg_sleep(300)" >/dev/null 2>&1 &
    until_true 30 table_held "$1"
}
table_held() { [ -n "$(db_sql "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = '$1'::regclass")" ]; }
let_go() { db_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()" >/dev/null; }
dumping() { docker top "$(container backup)" -eo pid,args | grep -q '[p]g_dump .*app'; }
# The chain, by the script of docs/formats.md.
independent_chain() {
    audit >"$WORK/audit.jsonl" || return 1
    sed -n '/^<!-- tested by scripts\/test.sh docs -->/,/^```$/p' "$ROOT/docs/formats.md" | sed '1,2d;$d' >"$WORK/verify-audit.sh"
    sh "$WORK/verify-audit.sh" "$WORK/audit.jsonl"
}
# A scan that finds nothing because there was nothing to look at is none: the command must succeed, and print the marker.
#   no_secret_in MARKER COMMAND...      SCAN_FOR: another secret than the database's
no_secret_in() {
    local marker=$1 scanned
    shift
    scanned=$(mktemp "$WORK/scan.XXXXXX")
    "$@" >"$scanned" 2>&1 || { echo "exit code $? of: $*"; tail -n 5 "$scanned"; return 1; }
    grep -aqF -e "$marker" "$scanned" || { echo "not what was to be scanned, without \"$marker\": $*"; tail -n 5 "$scanned"; return 1; }
    ! grep -aF -e "${SCAN_FOR:-$SECRET}" "$scanned"
}
# Every file of a container that is not in memory: its own layer, and its volumes. That it looks where it should is proven by
# what must be there, file by file.
no_secret_in_files() { # SERVICE FOLDER MUST_BE_SEEN...
    local service=$1 folder=$2 file found
    shift 2
    found=$(printf '%s\n' "$SECRET" worker_started restart_after_crash '"artifact"' |
        exec_in "$service" sh -c 'cat >/dev/shm/patterns; find "$1" -xdev -type f ! -path /run/secrets/db_password -print0 | xargs -0 grep -aHoF -f /dev/shm/patterns' scan "$folder" 2>"$WORK/scan.errors")
    for file; do
        printf '%s\n' "$found" | grep -qE -- "^$file:" || { echo "$file was not looked at"; tail -n 5 "$WORK/scan.errors"; return 1; }
    done
    ! printf '%s\n' "$found" | grep -aF -e "$SECRET"
}
logs_have_no() { # CONTAINER MARKER PATTERN: the logs are there, and have none of it
    docker logs "$1" >"$WORK/logs" 2>&1 || return 1
    grep -qE -- "$2" "$WORK/logs" || { echo "without \"$2\""; tail -n 5 "$WORK/logs"; return 1; }
    ! grep -E -- "$3" "$WORK/logs"
}
logs_have() { docker logs "$1" 2>&1 | grep -E -- "$2"; }
