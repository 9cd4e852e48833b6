#!/usr/bin/env bash
# The backup directory on a small file system of its own: full in the middle of a run, full from the start, read-only,
# away; foreign and hostile files in every folder; the immutable and append-only flags. Needs root.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-disk.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
B=$WORK/backups
finish() {
    server_stop
    chattr -R -f -i -a "$B" 2>/dev/null
    until_true 10 umount "$B"
    remove_work
}
trap finish EXIT

run() { q "SELECT state FROM immbackup.runs WHERE run = '$(q 'SELECT immbackup.run_now()')'"; }
last_error() { q "SELECT error || ' ' || coalesce(error_detail, '') FROM immbackup.runs ORDER BY run DESC LIMIT 1"; }
start() { as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null && until_true 20 is_state "${1:-ready}"; }
# Fills the file system but for some bytes.
fill() {
    dd if=/dev/zero of="$B/filler" bs=64k 2>/dev/null
    truncate -s "-$1" "$B/filler"
    sync "$B/filler"
}

server_start "immbackup.min_free = 0"  # smaller than what is kept free otherwise
server_stop
rm -rf "${B:?}"/*
truncate -s 160M "$WORK/image"
mkfs.ext4 -q -m 0 "$WORK/image"
mount -o loop "$WORK/image" "$B"
chown "$SERVER_USER" "$B"
chmod 0700 "$B"
rmdir "$B/lost+found"
start
q 'CREATE EXTENSION immbackup' && q 'CREATE DATABASE shop'
# 8 MB that do not compress.
sql -d shop -c 'CREATE TABLE t AS SELECT n, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c, gen_random_uuid() AS d FROM generate_series(1, 80000) AS n'
is "a run with room enough is good" "$(run)" good
sound "with room"
BEFORE=$(q 'SELECT count(*) FROM immbackup.artifacts')

# Full in the middle of a dump: the estimate was fine, then somebody else took the space.
hold
q "SELECT immbackup.run_now('{shop}', wait => false)" >/dev/null
ok "a run is going on" until_true 30 dump_waits
fill 2000000
release
ok "ends when the disk is full" until_true 60 ended
is "as failed" "$(q 'SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1')" failed
fails "saying so" 0 'No space left on device' last_error
is "which is in the audit log" "$(q "SELECT count(*) FROM immbackup.audit WHERE event = 'run_failed' AND body ->> 'run' = (SELECT max(run) FROM immbackup.runs)")" 1
is "and left no artifact" "$(q 'SELECT count(*) FROM immbackup.artifacts')" "$BEFORE"
sound "after a full disk"
fails "what no space is left for is refused before it begins" 1 'not enough space' q "SELECT immbackup.run_now('{shop}')"
sound "after a refusal"
# Not one block left: the record of the failure still has its place.
fill 0
fails "a disk without one free block" 1 'space' q "SELECT immbackup.run_now('{shop}')"
is "is recorded all the same" "$(q 'SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1')" failed
sound "without one free block"
rm "$B/filler"
is "with room again, the next run is good" "$(run)" good
sound "with room again"

# Read-only under the running server, then away, then back.
mount -o remount,ro "$B"
fails "a read-only file system fails the run" 1 'Read-only file system' q 'SELECT immbackup.run_now()'
is "and the views go on" "$(q 'SELECT count(*) > 0 FROM immbackup.artifacts')" t
mount -o remount,rw "$B"
ok "when it can be written again, runs are good without a restart" until_true 20 test "$(run)" = good
sound "after read-only"
umount "$B"
chown root "$B"
chmod 0755 "$B"
fails "a file system that is not mounted fails the run" 1 'belongs to another user' q 'SELECT immbackup.run_now()'
is "and nothing is written where it should be" "$(ls -A "$B")" ""
mount -o loop "$WORK/image" "$B"
ok "mounted again, runs are good" until_true 20 test "$(run)" = good
sound "after it was away"

# Foreign and hostile files. None of them may be followed, read without bound, waited for, or removed.
echo precious >"$WORK/victim"
chown "$SERVER_USER" "$WORK/victim"
S=20200101T000000Z
plant() {
    local folder=$1
    mkdir "$folder/$S.sql.gz" "$folder/a folder"
    mkfifo "$folder/20200102T000000Z.sql.gz" "$folder/20200102T000000Z.sql.gz.manifest.json" "$folder/fifo"
    ln -s "$WORK/victim" "$folder/20200103T000000Z.sql.gz"
    ln -s "$WORK/victim" "$folder/20200103T000000Z.sql.gz.manifest.json"
    ln -s /dev/zero "$folder/20200104T000000Z.sql.gz.manifest.json"
    truncate -s 5G "$folder/20200105T000000Z.sql.gz.manifest.json" 2>/dev/null || truncate -s 500M "$folder/20200105T000000Z.sql.gz.manifest.json"
    printf '{"format":1' >"$folder/20200106T000000Z.sql.gz.manifest.json"
    echo x >"$folder/20200106T000000Z.sql.gz"
    echo x >"$folder/"$'new\nline.sql.gz'
    echo x >"$folder/-rf"
    echo x >"$folder/"$'\xff\xfe.sql.gz'
    chown -hR "$SERVER_USER" "$folder"
}
CLEAN=$(q 'SELECT count(*) FROM immbackup.artifacts')
plant "$B/active"
plant "$B/incoming"
is "a run among foreign files is good" "$(run)" good
is "the foreign ones are no artifacts" "$(q 'SELECT count(*) FROM immbackup.artifacts')" $((CLEAN + 3))
is "what they point to is whole" "$(cat "$WORK/victim")" precious
ok "folders, pipes and links stay in active/" test -d "$B/active/$S.sql.gz" -a -p "$B/active/fifo" -a -L "$B/active/20200103T000000Z.sql.gz"
ok "and what is not ours in incoming/" test -d "$B/incoming/a folder" -a -f "$B/incoming/-rf"
fails "the run warns of them" 0 'foreign|not.*immbackup|files' q "SELECT body ->> 'warnings' FROM immbackup.audit WHERE event = 'run_finished' ORDER BY seq DESC LIMIT 1"
ok "list survives them" as_server timeout 60 immbackup list
fails "verify of a corrupt manifest says so" 17 'manifest' as_server timeout 60 immbackup verify 20200106T000000Z
fails "verify of a link to endless zeros ends" 17 'symbolic links' as_server timeout 60 immbackup verify 20200104T000000Z
server_stop
ok "a start among them" start
fails "and its sweep names them" 0 "a folder" q "SELECT body FROM immbackup.audit WHERE event = 'sweep' ORDER BY seq DESC LIMIT 1"
is "is as good" "$(run)" good
chattr -f -i "$B"/active/* "$B"/incoming/* 2>/dev/null
find "$B/active" "$B/incoming" -mindepth 1 \( -name '2020*' -o -name '-rf' -o -name 'fifo' -o -name 'a folder' -o -name $'new*' -o -name $'\xff*' \) -exec rm -rf {} +
sound "with the foreign files gone"

# The logs folder: derived files that are not what they should be.
for kind in garbage pipe link folder; do
    rm -rf "$B/logs/catalog.idx"
    case $kind in
        garbage) head -c 100000 /dev/urandom >"$B/logs/catalog.idx" ;;
        pipe) mkfifo "$B/logs/catalog.idx" ;;
        link) ln -s "$WORK/victim" "$B/logs/catalog.idx" ;;
        folder) mkdir "$B/logs/catalog.idx" ;;
    esac
    chown -h "$SERVER_USER" "$B/logs/catalog.idx"
    is "a checkpoint that is $kind: views" "$(sql -d postgres -c "SET statement_timeout = '30s'" -c 'SELECT count(*) > 0 FROM immbackup.artifacts')" t
    is "a checkpoint that is $kind: a run" "$(run)" good
done
is "what the link pointed to is whole" "$(cat "$WORK/victim")" precious
rm -rf "$B/logs/catalog.idx"
mv "$B/logs/backup_audit.jsonl" "$WORK/kept"
mkfifo "$B/logs/backup_audit.jsonl"
chown "$SERVER_USER" "$B/logs/backup_audit.jsonl"
fails "an audit log that is a pipe fails the run" 1 'backup_audit.jsonl' sql -d postgres -c "SET statement_timeout = '30s'" -c 'SELECT immbackup.run_now()'
fails "and the view" 1 'backup_audit.jsonl' sql -d postgres -c "SET statement_timeout = '30s'" -c 'SELECT count(*) FROM immbackup.audit'
rm "$B/logs/backup_audit.jsonl"
mv "$WORK/kept" "$B/logs/backup_audit.jsonl"
is "with the log back" "$(run)" good
sound "with the log back"

# With the capability, files get the kernel's flags.
server_stop
flags() { lsattr -d "$1" | cut -d' ' -f1; }
as_server setpriv --reset-env true 2>/dev/null
runuser_capable() {
    env -u DB_HOST "PGHOST=$WORK" "BACKUP_DIR=$B" setpriv --reuid "$SERVER_USER" --regid "$SERVER_USER" --init-groups \
        --inh-caps +linux_immutable --ambient-caps +linux_immutable -- "$@" 9>&-
}
ok "a server with CAP_LINUX_IMMUTABLE starts" runuser_capable "$PG_BIN/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w start
until_true 20 is_state ready
is "its run is good" "$(run)" good
is "and sealed as immutable" "$(q 'SELECT DISTINCT seal FROM immbackup.artifacts WHERE run = (SELECT max(run) FROM immbackup.runs)')" immutable
S=$(q "SELECT artifact FROM immbackup.artifacts WHERE database = 'shop' ORDER BY run DESC LIMIT 1")
for file in "$S.sql.gz" "$S.sql.gz.sha256" "$S.sql.gz.manifest.json"; do
    fails "lsattr shows it on $file" 0 '^[^ ]*i' flags "$B/active/$file"
    fails "not even root removes $file" 1 'not permitted' rm -f "$B/active/$file"
done
fails "the audit log is append-only" 0 '^[^ ]*a' flags "$B/logs/backup_audit.jsonl"
fails "not even root shortens it" 1 'not permitted' truncate -s 0 "$B/logs/backup_audit.jsonl"
is "and runs go on" "$(run)" good
sound "with flags"
ok "no crash in the server log" no_crash
done_testing
