#!/bin/sh
# Runs TAP files against what is installed: from a copy in a temporary folder and, as root, as an unprivileged user,
# since initdb refuses root. Prints what prove -v prints.
#
#   test/tap/run.sh [FILE.t...]        default: all; PG_CONFIG and TEST_USER from the environment
set -eu

here=$(cd "$(dirname "$0")" && pwd)
pg_config=${PG_CONFIG:-pg_config}
pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
bin=$("$pg_config" --bindir)
work=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-tap.XXXXXX")
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    status=$?
    if [ "$status" != 0 ] && [ -d "$work/out" ]; then
        kept=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-tap-failed.XXXXXX")
        find "$work/out" -path '*/log/*' -type f -exec cp {} "$kept" \;
        echo "logs of the tests and of their servers are kept in $kept" >&2
    fi
    chattr -R -f -i -a "$work" >/dev/null 2>&1 || true
    chmod -R u+w "$work" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/tap" "$work/out" "$work/tmp"
cp "$here"/*.t "$work/tap/"
cp -R "$here/../lib" "$here/../data" "$work/"
cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$work/moved_clock.so" "$here/../clock/moved_clock.c"
if [ $# = 0 ]; then
    cd "$here"
    set -- *.t
fi
set -- prove -v --norc -I "$work/lib" -I "$pgxs/src/test/perl" "$@"
set -- env "TESTDIR=$work/out" "TESTDATADIR=$work/out" "TMPDIR=$work/tmp" "PATH=$bin:$PATH" "MOVED_CLOCK_LIBRARY=$work/moved_clock.so" "PG_REGRESS=$pgxs/src/test/regress/pg_regress" \
    "HOME=$work" LC_ALL=C.UTF-8 "$@"
if [ "$(id -u)" = 0 ]; then
    user=${TEST_USER:-postgres}
    chown -R "$user" "$work"
    chmod 0755 "$work"
    set -- setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"
fi
cd "$work/tap"
"$@"
