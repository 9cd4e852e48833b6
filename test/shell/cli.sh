#!/usr/bin/env bash
# The command line against a real server: backup by hand, list, show, verify, restore, audit; damage, hostile names,
# read-only copies.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-cli.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT
immbackup() { as_server immbackup "$@"; }

server_start
as_server pg_ctl -D "$WORK/data" -m fast -w stop >/dev/null
sed -i "s/^shared_preload_libraries.*//" "$WORK/data/postgresql.conf"
as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
sql -d postgres -c 'CREATE ROLE owner_of_shop' -c 'CREATE DATABASE shop OWNER owner_of_shop' \
    -c "COMMENT ON DATABASE shop IS 'it''s a \\shop'" -c "ALTER DATABASE shop SET search_path = shop, \"\$user\"" \
    -c 'GRANT CONNECT ON DATABASE shop TO owner_of_shop WITH GRANT OPTION' -c 'ALTER DATABASE shop CONNECTION LIMIT 50'
sql -d shop <"$ROOT/test/data/sample.sql"
sql -d shop -c 'CREATE EXTENSION immbackup'

ok "backup by hand" immbackup backup --database shop
S=$(immbackup list --database shop --json | jq -r '.[0].artifact')
ok "its name is a run and a database" test "${S##*.}" = shop
sound "after a backup"
ok "list shows it" bash -c "$(declare -f immbackup as_server); $(declare -p WORK PG_BIN SERVER_USER); immbackup list | grep -q ' good'"
ok "show" immbackup show "$S"
is "the manifest counts rows" "$(immbackup show "$S" --json | jq '.rows == ([.tables[].rows] | add) and .rows > 300000')" true
is "the manifest knows the large objects" "$(immbackup show "$S" --json | jq '.large_objects')" 3
ok "verify" immbackup verify "$S"
ok "audit verify" immbackup audit verify
fails "check knows of no complete backup" 3 '^IMMBACKUP UNKNOWN - there is no complete backup' immbackup check
ok "a complete one" immbackup backup
ok "check is content with it" bash -c "$(declare -f immbackup as_server); $(declare -p WORK PG_BIN SERVER_USER); immbackup check --max-age 1h | grep -qE '^IMMBACKUP OK - last good run .* \|.*age=[0-9]+s failures=0$'"
is "and says so in JSON" "$(immbackup check --json | jq -r '.verdict + " " + (.exit_code | tostring)')" "OK 0"
victim=$(find "$WORK/backups/active" -name '*.postgres.sql.gz.sha256' | tail -1)
mv "$victim" "$WORK/victim.sha256"
fails "check misses a file of it" 2 'CRITICAL - files of 1 artifacts' immbackup check
mv "$WORK/victim.sha256" "$victim"
fails "check of no directory" 3 'UNKNOWN' immbackup check --directory /nowhere
fails "check with a wrong length of time" 3 'not a length of time' immbackup check --max-age 1fortnight
sleep 1.1
fails "check of a backup that is too old" 2 'longer than 1 s' immbackup check --max-age 1s

ok "restore" immbackup restore "$S" --to shop2
sql -d shop <"$ROOT/test/data/content_hash.sql" >"$WORK/before"
sql -d shop2 <"$ROOT/test/data/content_hash.sql" >"$WORK/after"
ok "the restored content is the same" diff "$WORK/before" "$WORK/after"
properties="SELECT pg_get_userbyid(datdba), datconnlimit, encoding, datcollate, shobj_description(oid, 'pg_database'), (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) FROM pg_database d WHERE datname ="
is "owner, limit, encoding, locale, comment, settings and grants too" "$(sql -d postgres -c "$properties 'shop2'")" "$(sql -d postgres -c "$properties 'shop'")"
fails "a database that exists is refused" 24 'exists already' immbackup restore "$S" --to shop2
fails "and not filled where it has objects" 24 'not empty' immbackup restore "$S" --to shop2 --existing
sql -d postgres -c 'CREATE DATABASE prepared'
ok "an empty one is filled on demand" immbackup restore "$S" --to prepared --existing
fails "an unknown artifact" 18 'no artifact' immbackup restore 20000101T000000Z --to x
fails "a path is not an artifact" 18 'not the name of an artifact' immbackup show ../../etc/passwd
sql -d postgres -c 'ALTER ROLE owner_of_shop RENAME TO somebody_else'
fails "a missing owner is told before anything is made" 18 'owner_of_shop.*does not exist' immbackup restore "$S" --to shop3
ok "--owner helps" immbackup restore "$S" --to shop3 --owner postgres
sql -d postgres -c 'ALTER ROLE somebody_else RENAME TO owner_of_shop'

# A target without our extension.
control=$("$PG_CONFIG" --sharedir)/extension/immbackup.control
mv "$control" "$WORK/control"
ok "a target without immbackup" bash -c "$(declare -f immbackup as_server); $(declare -p WORK PG_BIN SERVER_USER); immbackup restore $S --to shop4 | grep 'left out: CREATE EXTENSION'"
mv "$WORK/control" "$control"

# psql fails in the middle: the new database is gone again.
sql -d postgres -c "ALTER SYSTEM SET lo_compat_privileges = off" -c 'CREATE ROLE weak LOGIN CREATEDB'
fails "an error in the middle" 23 'psql stopped' immbackup restore "$S" --to shop5 --username weak --owner weak
is "leaves no half-filled database" "$(sql -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = 'shop5'")" 0

# Roles.
ok "a whole run with globals" immbackup backup --databases ''
G=$(immbackup list --json | jq -r '[.[] | select(.globals)][-1].artifact')
sql -d postgres -c 'CREATE ROLE dumped_role LOGIN' -c 'DROP ROLE weak' -c 'CREATE ROLE weak NOLOGIN'
fails "roles that differ are reported" 0 'differs, left as it is: role weak' immbackup restore "$G" --globals
sql -d postgres -c 'DROP ROLE weak'
fails "missing ones are created" 0 'created: role weak' immbackup restore "$G" --globals
is "as they were" "$(sql -d postgres -c "SELECT rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = 'weak'")" 't|t'

# Hostile names.
for name in 'a=b' 'postgres://x' '-d' "it's" 'back\slash' 'sp ace' '../up' 'glob*' 'größe' 'globals' '"quoted"'; do
    sql -d postgres -v name="$name" <<<'CREATE DATABASE :"name";'
    sql -d postgres -c 'SELECT 1' >/dev/null
    ok "backup of a database called $name" immbackup backup --database="$name"
    T=$(immbackup list --json | jq -r --arg d "$name" '[.[] | select(.database == $d)][-1].artifact')
    ok "verify of $T" immbackup verify "$T"
    ok "restore under a hostile name" immbackup restore "$T" --to="copy $name"
done
sound "after hostile names"

# Damage, on a copy.
damage() {
    rm -rf "$WORK/copy"
    mkdir -m 0700 "$WORK/copy"
    cp -R "$WORK/backups/active" "$WORK/backups/logs" "$WORK/copy/"
    chmod -R u+w "$WORK/copy"
    "$@"
    chown -R "$SERVER_USER" "$WORK/copy"
}
F=$S.sql.gz
size=$(stat -c %s "$WORK/backups/active/$F")
flip() { printf '\xff\x00' | dd of="$WORK/copy/active/$F" bs=1 seek="$1" conv=notrunc status=none; }
for offset in 0 11 $((size / 3)) $((size / 2)) $((size - 9)) $((size - 2)); do
    damage flip "$offset"
    fails "two bytes changed at $offset are found" 17 'corrupt' immbackup verify "$S" --directory "$WORK/copy"
    fails "and not restored" 17 'not what|not usable|gzip|corrupt' immbackup restore "$S" --to nothing --directory "$WORK/copy"
done
damage truncate -s $((size - 100)) "$WORK/copy/active/$F"
fails "a truncated artifact is found" 17 'corrupt' immbackup verify "$S" --directory "$WORK/copy"
damage rm "$WORK/copy/active/$F.sha256"
fails "a missing checksum file is found" 17 'missing' immbackup verify "$S" --directory "$WORK/copy"
damage rm "$WORK/copy/active/$F"
fails "a missing artifact is listed" 0 'missing' immbackup list --directory "$WORK/copy"
damage bash -c "echo '{\"half' > '$WORK/copy/active/$F.manifest.json'"
fails "half a manifest is found" 17 'corrupt' immbackup verify "$S" --directory "$WORK/copy"
damage rm -rf "$WORK/copy/logs"
fails "without a log the manifests are listed" 0 "$S .*unrecorded" immbackup list --directory "$WORK/copy"
damage sed -i '3s/"event":"/"event":"x/' "$WORK/copy/logs/backup_audit.jsonl"
fails "a changed record is found" 19 'broken at sequence 3' immbackup audit verify --directory "$WORK/copy"
damage sed -i '4d' "$WORK/copy/logs/backup_audit.jsonl"
fails "a deleted record is found" 19 'broken at sequence 4' immbackup audit verify --directory "$WORK/copy"
damage truncate -s -20 "$WORK/copy/logs/backup_audit.jsonl"
fails "a torn last line is told" 0 'torn' immbackup audit verify --directory "$WORK/copy"
ok "and the chain goes on behind it" immbackup backup --database shop --directory "$WORK/copy"
fails "soundly" 0 'the chain is sound' immbackup audit verify --directory "$WORK/copy"

# A read-only copy of another owner.
damage true
mkdir "$WORK/readonly"
mount --bind "$WORK/copy" "$WORK/readonly" && mount -o remount,ro,bind "$WORK/readonly"
fails "verify works on a read-only copy" 0 'no audit record' immbackup verify "$S" --directory "$WORK/readonly"
ok "restore too" immbackup restore "$S" --to from_readonly --directory "$WORK/readonly"
umount "$WORK/readonly"

fails "a missing directory has its command as hint" 10 'install -d -m 0700' immbackup backup --directory /nowhere/backups
fails "a bad setting is named" 10 'immbackup.compression' immbackup backup --compression lzma:3
fails "an unknown database" 18 'nosuch' immbackup backup --database nosuch
as_server mv "$WORK/backups/logs/backup_audit.jsonl" "$WORK/backups/logs/kept"
as_server mkdir "$WORK/backups/logs/backup_audit.jsonl"
before=$(ls "$WORK/backups/active" | wc -l)
fails "no backup without a record" 19 'audit log' immbackup backup --database shop
is "nothing was published" "$(ls "$WORK/backups/active" | wc -l)" "$before"
as_server rmdir "$WORK/backups/logs/backup_audit.jsonl"
as_server mv "$WORK/backups/logs/kept" "$WORK/backups/logs/backup_audit.jsonl"

# Interrupted: the database is held by a lock, so that the dump is certainly under way.
sql -d shop -c 'BEGIN; LOCK TABLE shop.customer IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)' >/dev/null 2>&1 &
until_true 20 bash -c "$(declare -f sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(sql -d postgres -c \"SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL\")\" != 0 ]"
as_server immbackup backup --database shop >"$WORK/out" 2>&1 &
until_true 20 pgrep -u "$SERVER_USER" -x pg_dump
pkill -INT -u "$SERVER_USER" -x immbackup
until_true 20 bash -c "! pgrep -u $SERVER_USER -x immbackup"
ok "an interrupted run says so" grep -q 'cancelled on request' "$WORK/out"
ok "and leaves no pg_dump" bash -c "! pgrep -u $SERVER_USER -x pg_dump"
sound "after an interruption"
sql -d postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()" >/dev/null
wait
ok "the next run is good" immbackup backup --database shop
ok "no crash in the server log" no_crash
done_testing
