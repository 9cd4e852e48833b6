#!/usr/bin/env bash
# A schema and data set of the real world besides our own sample: Zabbix's, as Debian's package zabbix-server-pgsql has
# it. Backed up, verified, restored by immbackup and by gunzip and psql alone, compared by content hash.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-realworld.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT

mkdir "$WORK/package"
chmod 0777 "$WORK/package"  # apt downloads as a user of its own
ok "the package can be had" bash -c "cd '$WORK/package' && apt-get -q download zabbix-server-pgsql && dpkg-deb -x zabbix-server-pgsql*.deb ."
SQL=$WORK/package/usr/share/zabbix-server-pgsql
server_start
sql -d postgres -c 'CREATE EXTENSION immbackup' -c 'CREATE ROLE zabbix' -c 'CREATE ROLE zabbix_web' -c 'CREATE DATABASE zabbix OWNER zabbix'
for part in schema images data; do
    ok "$part.sql loads" bash -c "$(declare -f sql as_server); $(declare -p WORK PG_BIN SERVER_USER); gunzip -c '$SQL/$part.sql.gz' | sql -d zabbix"
done
sql -d zabbix -c 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO zabbix_web' -c 'GRANT UPDATE (name) ON hosts TO zabbix_web WITH GRANT OPTION' \
    -c 'ALTER TABLE users ENABLE ROW LEVEL SECURITY' -c 'CREATE POLICY own ON users FOR SELECT TO zabbix_web USING (username = current_user)' \
    -c "SELECT lo_from_bytea(0, image) FROM images LIMIT 20" >/dev/null
TABLES=$(sql -d zabbix -c "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
ok "it is of some size ($TABLES tables)" test "$TABLES" -gt 150

RUN=$(sql -d postgres -c 'SELECT immbackup.run_now()')
A=$RUN.zabbix
ok "verify" as_server immbackup verify "$A"
is "the manifest has every table" "$(as_server immbackup show "$A" --json | jq '.tables | length')" "$TABLES"
sql -d zabbix -f "$ROOT/test/data/content_hash.sql" >"$WORK/before"
ok "restore" as_server immbackup restore "$A" --to restored
sql -d restored -f "$ROOT/test/data/content_hash.sql" >"$WORK/after"
ok "contents, sequences, large objects and grants are the same ($(wc -l <"$WORK/before") facts)" diff "$WORK/before" "$WORK/after"
sql -d postgres -c 'CREATE DATABASE by_hand OWNER zabbix'
ok "gunzip and psql alone restore it" bash -c "$(declare -f sql as_server); $(declare -p WORK PG_BIN SERVER_USER); gunzip -c '$WORK/backups/active/$A.sql.gz' | sql -d by_hand"
sql -d by_hand -f "$ROOT/test/data/content_hash.sql" >"$WORK/by_hand"
ok "to the same contents" diff "$WORK/before" "$WORK/by_hand"
sound "after all"
ok "no crash in the server log" no_crash
done_testing
