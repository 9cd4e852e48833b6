#!/usr/bin/env bash
# make install-vault and its undoing: users, folders, rights, configuration, unit; a plain store becomes a vault's; what is
# sealed keeps it installed. Needs root, and works in a mount namespace of its own.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-$(mktemp -d "${TMPDIR:-/tmp}/immbackup-vault.XXXXXX")}
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/vault.sh"
own_namespace "$@"
trap lab_end EXIT
lab_begin
make_fs ext4
cp "$ROOT"/test/vault/*.py "$WORK"
userdel immvault
H=$LAB/libexec/immbackup-vault
export VAULT_ROOT=$LAB/ext4/backups VAULT_HELPER=$H VAULT_OPERATORS=immops
install_vault() { "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"; }
uninstall_vault() { "$ROOT/scripts/vault-install.sh" uninstall; }
owners() { (cd "$VAULT_ROOT" && stat -c '%n %U:%G %a' "$@" | tr '\n' ';'); }
ask() {  # PYTHON with v
    as_client python3 -c 'import sys, time; sys.path.insert(0, sys.argv[1]); from client import *
with Vault(sys.argv[2]) as v: exec(sys.argv[3])' "$WORK" "$H" "$1"
}

# A place below somebody else's folder.
install -d -o postgres "$LAB/ext4/theirs"
fails 'a root below a folder of somebody else is refused' 1 'does not belong to root' env VAULT_ROOT="$LAB/ext4/theirs/b" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
install -d -m 1777 "$LAB/ext4/sticky"
fails 'a sticky folder does not help' 1 'written by others' env VAULT_ROOT="$LAB/ext4/sticky/b" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
for path in relative/b "$LAB/ext4/b/" "$LAB//ext4/b" "$LAB/ext4/../ext4/b" /; do
    fails "a root that is no plain absolute path is refused: $path" 1 'VAULT_ROOT' timeout 20 env VAULT_ROOT="$path" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
done
ln -s ext4 "$LAB/linked"
fails 'so is one with a symbolic link in it' 1 "VAULT_ROOT=$LAB/ext4/b" env VAULT_ROOT="$LAB/linked/b" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
ok 'and nothing was made for any of them' test -z "$(getent passwd immvault; ls "$H" /etc/immbackup/vault.conf "$LAB/ext4/b" 2>/dev/null)"
# What the server's OS user planted while the folder was its own.
install -d -m 0755 "$LAB/ext4/victim"
for name in active logs records work plain; do
    for kind in link file; do
        planted=$LAB/ext4/planted.$name.$kind
        install -d -o postgres -g postgres -m 0700 "$planted"
        [ $name = active ] || as_client mkdir "$planted/active"
        if [ $kind = link ]; then as_client ln -s "$LAB/ext4/victim" "$planted/$name"; else as_client touch "$planted/$name"; fi
        fails "a $kind that was planted as $name stops it" 1 "$name is (a symbolic link|no folder)" env VAULT_ROOT="$planted" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
    done
done
is 'and what they led to is as it was' "$(stat -c '%U:%G %a' "$LAB/ext4/victim")" 'root:root 755'
rm -rf "$LAB"/ext4/planted.*
install -d -o postgres -g postgres -m 0700 "$LAB/ext4/planted" "$LAB/ext4/planted/records"
as_client touch "$LAB/ext4/planted/records/lock"
fails 'so does a folder of the vault that somebody else filled' 1 'belongs to somebody else' env VAULT_ROOT="$LAB/ext4/planted" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"
rm -rf "$LAB/ext4/planted"
fails 'others than root cannot install' 1 'as root' as_client "$ROOT/scripts/vault-install.sh" uninstall

# A plain store as the server has made it, with a sealed file.
install -d -o postgres -g postgres -m 0700 "$VAULT_ROOT" "$VAULT_ROOT"/{active,incoming,logs}
as_client bash -c 'cd "$1"; echo dump >active/20260118T120000Z.sql.gz; echo "{}" >logs/backup_audit.jsonl; touch immbackup.lock' - "$VAULT_ROOT"
chattr +i "$VAULT_ROOT/active/20260118T120000Z.sql.gz"
chattr +a "$VAULT_ROOT/logs/backup_audit.jsonl"
exec 8>>"$VAULT_ROOT/immbackup.lock"
flock 8
fails 'while a backup is going on it is refused' 1 'going on' install_vault
exec 8>&-
rm "$VAULT_ROOT/immbackup.lock"
as_client ln -s "$LAB/ext4/made" "$VAULT_ROOT/immbackup.lock"
export VAULT_SYSTEMD=yes
fails 'it installs, and the helper says vault' 0 'ok level=vault ' install_vault
ok 'a planted lock led nowhere' test ! -e "$LAB/ext4/made"
is 'the folders are as they must be' "$(owners . active logs records work)" \
    '. root:root 755;active immvault:postgres 2750;logs immvault:postgres 2750;records immvault:postgres 2750;work postgres:postgres 700;'
is 'the plain store has moved, whole and sealed' "$(owners plain plain/active plain/active/20260118T120000Z.sql.gz plain/logs/backup_audit.jsonl | sed 's/ 6[04][04];/;/g')" \
    'plain root:root 755;plain/active postgres:postgres 700;plain/active/20260118T120000Z.sql.gz postgres:postgres;plain/logs/backup_audit.jsonl postgres:postgres;'
is 'nothing else is left of it' "$(ls -m "$VAULT_ROOT")" 'active, logs, plain, records, work'
is 'the helper is set-uid' "$(stat -c '%U %a' "$H")" 'immvault 4755'
is 'with its capability permitted, not effective' "$(getcap "$H" | sed 's/.* //')" 'cap_linux_immutable=p'
is 'the vault has no way to log in' "$(getent passwd immvault | cut -d: -f6,7)" '/nonexistent:/usr/sbin/nologin'
fails 'a second install changes nothing' 0 'stays as it is' install_vault
is 'not even the plain store' "$(ls -m "$VAULT_ROOT/plain")" 'active, logs'

# A helper that cannot seal is no success.
cp -p /etc/immbackup/vault.conf "$WORK/conf"
echo 'colour = red' >>/etc/immbackup/vault.conf
fails 'a configuration that the helper refuses is a failure' 1 'does not seal' install_vault
cp -p "$WORK/conf" /etc/immbackup/vault.conf

is 'nothing is kept longer than the shortest tier by default' "$(grep min_retention /etc/immbackup/vault.conf)" 'min_retention = 2d'
sed -i 's/^min_retention.*/min_retention = 1s/; s/^keep_newest.*/keep_newest = 0/' /etc/immbackup/vault.conf
ask 'v.append("instance_created", b"{}"); v.put("20260118T120000Z.a", "a", b"x", stamp(time.time() + 1))'
fails 'what is sealed keeps it installed' 1 'sealed files stand' uninstall_vault
ok 'and nothing was taken down' ask 'assert v.ask("status")["level"] == "vault"'
ok 'after its date it goes' until_true 20 ask 'v.ask("purge", stem="20260118T120000Z.a")'
ok 'and now it can be taken down' uninstall_vault
is 'to a plain store' "$(owners . active logs logs/backup_audit.jsonl active/20260118T120000Z.sql.gz | sed 's/ 6[04][04];$/;/')" \
    '. postgres:postgres 700;active postgres:postgres 700;logs postgres:postgres 700;logs/backup_audit.jsonl postgres:postgres 600;active/20260118T120000Z.sql.gz postgres:postgres;'
is 'with the log of the vault, which goes on' "$(grep -c artifact_pruned "$VAULT_ROOT/logs/backup_audit.jsonl")" 1
is 'without user, program, configuration and unit' "$(getent passwd immvault; ls "$H" /etc/immbackup/vault.conf /etc/systemd/system/immbackup-vault.service 2>/dev/null)" ''

# The log of a vault that was taken down goes on in the next one.
fails 'what an earlier vault left is not touched' 1 'plain exists already' install_vault
mv "$VAULT_ROOT/plain" "$LAB/ext4/left"
ok 'it is installed once more' install_vault
plain_log="open('$VAULT_ROOT/plain/logs/backup_audit.jsonl', 'rb').read()"
hashed='(lambda h: h + b",\"hash\":\"" + hashlib.sha256(h).hexdigest().encode() + b"\"}\n")'
for wrong in "$hashed(b'{\"seq\":1000000000000000,\"body\":{}')" "log + $hashed(b'{\"seq\":9,\"body\":{')" "b''" "b'{}'" "log[:-1]" "log[:-2] + b'x\n'" "log + b'{'" "log + b'{\n'" "log + bytes(300)" "b'x' * (5 << 20)"; do
    ok "a log that ends otherwise than with a record is refused: $wrong" ask "
import hashlib
log = $plain_log
v.ask('adopt')
try: v.content($wrong)
except Refused as e: assert e.code == 'audit', e
else: raise AssertionError"
done
is 'and leaves nothing behind' "$(ls "$VAULT_ROOT/logs")" ''
ok 'it takes over the log' ask "v.ask('adopt'); assert v.content($plain_log)['offset']"
ok 'and goes on with it' ask 'v.append("worker_started", b"{}")'
ok 'in one chain' as_client "${HELPER_BUILT%-vault}" audit verify --directory "$VAULT_ROOT"
is 'which says so' "$(grep -c log_adopted "$VAULT_ROOT/logs/backup_audit.jsonl")" 1
ok 'and is taken down again' uninstall_vault
is 'with nothing left of it but the log, which it had taken over whole' "$(ls -m "$VAULT_ROOT")" 'active, logs'
chattr -R -f -i -a "$VAULT_ROOT" "$LAB/ext4/left"
done_testing
