#!/bin/sh
# Runs pg_regress against what is installed, on a private server that preloads immbackup and has a
# backup directory of its own. Works from a copy in a temporary folder, so that the tree need not be
# writable; as root, which PostgreSQL refuses, it goes on as an unprivileged user.
#
#   test/installcheck.sh PG_CONFIG TEST...
set -eu

source_dir=$(cd "$(dirname "$0")/.." && pwd)
pg_config=$1
shift

if [ "${IMMBACKUP_INSTALLCHECK:-}" = "" ]; then
    # The first call prepares the folder, and cleans up after the second.
    work=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-installcheck.XXXXXX")
    user=
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
    fi
    # A backup may carry the immutable flag, where whoever runs this could set it.
    # shellcheck disable=SC2317  # called by the trap
    cleanup() {
        chattr -R -i -a "$work" >/dev/null 2>&1 || true
        chmod -R u+w "$work" >/dev/null 2>&1 || true
        rm -rf "$work"
    }
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp -R "$source_dir/sql" "$source_dir/expected" "$work/"
    mkdir "$work/test"
    cp "$source_dir/test/installcheck.sh" "$source_dir/test/immbackup.conf" "$work/test/"
    status=0
    if [ -n "$user" ]; then
        chown -R "$user" "$work"
        chmod 0755 "$work"
        IMMBACKUP_INSTALLCHECK=$work setpriv --reuid "$user" --regid "$(id -g "$user")" \
            --clear-groups sh "$work/test/installcheck.sh" "$pg_config" "$@" || status=$?
    else
        IMMBACKUP_INSTALLCHECK=$work sh "$work/test/installcheck.sh" "$pg_config" "$@" || status=$?
    fi
    if [ "$status" != 0 ]; then
        [ ! -f "$work/regression.diffs" ] || cat "$work/regression.diffs"
        kept=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-installcheck-failed.XXXXXX")
        cp -R "$work/results" "$work/log" "$work/regression.diffs" "$kept/" 2>/dev/null || true
        echo "installcheck failed; results and server log are kept in $kept" >&2
    fi
    exit "$status"
fi

work=$IMMBACKUP_INSTALLCHECK
cd "$work"
# Nothing of the caller's own settings shall reach the private server.
for variable in $(env | sed -n 's/^\(BACKUP_[A-Z_]*\|DB_[A-Z_]*\|PG[A-Z]*\)=.*/\1/p'); do
    unset "$variable"
done
BACKUP_DIR=$work/backups
export BACKUP_DIR
mkdir -m 0700 "$BACKUP_DIR"
TZ=UTC
export TZ

pgxs=$("$pg_config" --pgxs)
pg_regress=$(dirname "$pgxs")/../../src/test/regress/pg_regress
"$pg_regress" --bindir="$("$pg_config" --bindir)" --inputdir="$work" --outputdir="$work" \
    --temp-instance="$work/instance" --temp-config="$work/test/immbackup.conf" \
    --dbname=contrib_regression "$@"

# Whatever the tests said: no server process may have crashed.
if grep -E 'TRAP:|PANIC:|was terminated by signal' "$work/log/postmaster.log"; then
    echo "a server process crashed, see the lines above" >&2
    exit 1
fi
