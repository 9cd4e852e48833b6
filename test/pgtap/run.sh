#!/bin/sh
# Runs the pgTAP files against what is installed, on a private server that preloads immbackup. As root
# it goes on as an unprivileged user. Needs the extension pgtap and pg_prove.
#
#   test/pgtap/run.sh [PG_CONFIG]
set -eu

pg_config=${1:-pg_config}
here=$(cd "$(dirname "$0")" && pwd)

if [ "${IMMBACKUP_PGTAP:-}" = "" ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-pgtap.XXXXXX")
    # shellcheck disable=SC2317  # called by the trap
    cleanup() {
        chattr -R -i -a "$work" >/dev/null 2>&1 || true
        rm -rf "$work"
    }
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp "$here"/*.sql "$here/run.sh" "$here/../immbackup.conf" "$work/"
    status=0
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        chown -R "$user" "$work"
        chmod 0755 "$work"
        IMMBACKUP_PGTAP=$work setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups \
            sh "$work/run.sh" "$pg_config" || status=$?
    else
        IMMBACKUP_PGTAP=$work sh "$work/run.sh" "$pg_config" || status=$?
    fi
    exit "$status"
fi

work=$IMMBACKUP_PGTAP
cd "$work"
bin=$("$pg_config" --bindir)
for variable in $(env | sed -n 's/^\(BACKUP_[A-Z_]*\|DB_[A-Z_]*\|PG[A-Z]*\)=.*/\1/p'); do
    unset "$variable"
done
mkdir -m 0700 backups
PGHOST=$work PGUSER=postgres PGDATABASE=postgres BACKUP_DIR=$work/backups
export PGHOST PGUSER PGDATABASE BACKUP_DIR
"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C >/dev/null
cat immbackup.conf >> data/postgresql.conf
# By its socket in this folder alone: no port can be taken.
"$bin/pg_ctl" -D data -l server.log -w -o "-c listen_addresses= -c unix_socket_directories=$work" start >/dev/null
stop() { "$bin/pg_ctl" -D data -m fast -w stop >/dev/null || true; }
trap stop EXIT
"$bin/psql" -X -q -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION immbackup'
PATH=$bin:$PATH pg_prove --verbose --ext .sql privileges.sql shape.sql
