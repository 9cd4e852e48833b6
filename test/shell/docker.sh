#!/usr/bin/env bash
# The container for real: the image is built from this tree; the compose files of docker/ are brought up against a database
# with data, a database that comes late, one that never does, and an S3 server with Object Lock; and nothing of a secret is
# found where others can look. Needs root; starts a Docker daemon of its own where none answers (test/docker/daemon.sh).
#
#   test/shell/docker.sh [sidecar | image | in-db | vault | run | s3]...     these parts alone
#
# The sidecar's part waits for its schedule most of the time: it goes beside the others.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-docker.XXXXXX")
PARTS=${*:-sidecar image in-db vault run s3}
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/docker/lib.sh"
BESIDE=
trap finish EXIT
trap 'exit 130' INT TERM

# Runs a part by itself; what it prints and how it ended is put together in the end.
run_part() {
    local begin=$SECONDS
    TESTS=0 FAILURES=0
    # shellcheck source=/dev/null
    . "$ROOT/test/docker/part_$1.sh"
    echo "# part $1: $TESTS tests, $FAILURES failed, $((SECONDS - begin)) s"
    echo "$TESTS $FAILURES" >"$WORK/$1.count"
}
# Numbers go on where the last part ended. One that did not come to its end is a failure.
add_part() {
    local tests=0 failures=1
    awk -v n="$TESTS" '{ if (match($0, /^(not )?ok [0-9]+ /)) { sub(/ok [0-9]+/, "ok " ++n) } print }' "$WORK/$1.tap"
    rm -f "$WORK/$1.tap"
    read -r tests failures <"$WORK/$1.count" || echo "# part $1 did not come to its end"
    TESTS=$((TESTS + tests)) FAILURES=$((FAILURES + failures))
}

ok "a Docker daemon, compose and buildx" "$ROOT/test/docker/daemon.sh" start "$WORK/docker"
. "$WORK/docker/env"
ok "an image of Debian to build on" "$ROOT/test/docker/daemon.sh" base "$WORK/docker"
SECRET=$(tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32)
# As Compose mounts it: with the mode it has on the host, and an owner who is nobody in the container.
mkdir "$WORK/secrets"
printf '%s\n' "$SECRET" >"$WORK/secrets/db_password.txt"
chmod 0600 "$WORK/secrets/db_password.txt"
chown 54321:54321 "$WORK/secrets/db_password.txt"

ok "the image" build_image
echo "# the image: $SECONDS s"
case " $PARTS " in *" sidecar "*)
    (run_part sidecar) >"$WORK/sidecar.tap" 2>&1 &
    BESIDE=$! ;;
esac
for part in $PARTS; do
    if [ "$part" != sidecar ]; then
        (run_part "$part") >"$WORK/$part.tap" 2>&1
        add_part "$part"
    fi
done
if [ -n "$BESIDE" ]; then
    wait "$BESIDE"
    add_part sidecar
fi
done_testing
