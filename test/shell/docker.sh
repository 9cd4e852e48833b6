#!/usr/bin/env bash
# The container for real: the image is built from this tree; the compose files of docker/ are brought up against a database
# with data, a database that comes late, one that never does, and an S3 server with Object Lock; and nothing of a secret is
# found where others can look. Needs root; starts a Docker daemon of its own where none answers (test/docker/daemon.sh).
#
#   test/shell/docker.sh [sidecar | in-db | vault | s3]...     these parts alone
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-docker.XXXXXX")
PARTS=${*:-sidecar in-db vault s3}
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/docker/lib.sh"
trap finish EXIT
trap 'exit 130' INT TERM

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
for part in $PARTS; do
    # shellcheck source=/dev/null
    . "$ROOT/test/docker/part_$part.sh"
done
done_testing
