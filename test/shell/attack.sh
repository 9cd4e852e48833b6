#!/usr/bin/env bash
# The vault under attack by the OS user that makes backups: on ext4, xfs, btrfs and tmpfs, without the capability as in a
# container, and as a service. Nothing may succeed before the date; after it, purge does. Then the helper is killed at
# each of its steps. Needs root, and works in a mount namespace of its own.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-$(mktemp -d "${TMPDIR:-/tmp}/immbackup-attack.XXXXXX")}
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/vault.sh"
# One attack, with a configuration of its own: they go side by side.
if [ "${1:-}" = --one ]; then
    HELPER=$WORK/immbackup-vault LAB=/mnt
    mount -t tmpfs -o mode=0755 config /etc/immbackup || exit 1
    make_vault "$2" 'min_retention = 1s' "keep_newest = $3"
    shift 3
    "$@"
    exit
fi
own_namespace "$@"
trap 'stop_service; lab_end' EXIT
SERVICE=
stop_service() { [ -z "$SERVICE" ] || { kill "$SERVICE" 2>/dev/null; wait "$SERVICE" 2>/dev/null; SERVICE=; }; }

lab_begin
cp "$ROOT"/test/vault/*.py "$WORK"
install -d -m 1777 "$WORK/marks"
install -d "$WORK/lib" "$WORK/nosuid"
cc -O2 -o "$WORK/race" "$ROOT/test/vault/race.c" -lpthread || exit 1
cc -shared -fPIC -DMARKER="\"$WORK/marks/pwned\"" -o "$WORK/evil.so" "$ROOT/test/vault/evil.c" || exit 1
for library in libcap.so.2 libcrypto.so.3 libstdc++.so.6; do cp "$WORK/evil.so" "$WORK/lib/$library"; done
mount -t tmpfs -o nosuid,mode=0755 nosuid "$WORK/nosuid"
install_helper "$WORK/nosuid/immbackup-vault"

# The chain by sed, sha256sum and jq alone, as docs/formats.md has it.
sed -n '/^<!-- tested by scripts\/test.sh docs -->/,/^```$/p' "$ROOT/docs/formats.md" | sed '1,2d;$d' >"$WORK/verify-audit.sh"
# Seals as root sees them: whole by their checksum files, and flagged (not at level vault-dac).
seals_stand() {  # ROOT FLAGS
    local file flags
    (cd "$1/active" && sha256sum --quiet -c ./*.sha256) || return 1
    for file in "$1"/active/* "$1"/records/*.sealed "$1"/records/*.held "$1"/records/*.extended.*; do
        [ -e "$file" ] || continue
        [ "$(stat -c '%U %G %a' "$file")" = 'immvault postgres 440' ] || { stat "$file"; return 1; }
        flags=$(lsattr -d "$file" 2>/dev/null | cut -d' ' -f1)
        [[ $2 != vault || $flags = *i* ]] || { echo "no flag: $file"; return 1; }
    done
    flags=$(lsattr -d "$1/logs/backup_audit.jsonl" | cut -d' ' -f1)
    [[ $2 != vault || $flags = *a* ]] || { echo "the log has no flag"; return 1; }
}
# aside NAME ROOT KEEP_NEWEST COMMAND...: in the background, its output in $WORK/NAME.out.
aside() {
    local name=$1
    shift
    install -d "$1"
    unshare -m --propagation private bash "$0" --one "$@" >"$WORK/$name.out" 2>&1 &
}
show() { sed 's/^/# /' "$WORK/$1.out"; }
ATTEMPTS=0
# What came of an attack, and what is left.
after_attack() {  # NAME ROOT LEVEL
    local total
    show "$1"
    total=$(sed -n 's/^\([0-9]*\) attempts, 0 successes$/\1/p' "$WORK/$1.out")
    ok "$1: $total attempts, no success" test -n "$total"
    ATTEMPTS=$((ATTEMPTS + ${total:-0}))
    ok "$1: after the date, and not before, purge works" grep -qx 'the date counts' "$WORK/$1.out"
    ok "$1: all seals stand" seals_stand "$2" "$3"
    ok "$1: the log verifies by other means" sh "$WORK/verify-audit.sh" "$2/logs/backup_audit.jsonl"
}
cat >"$WORK/attack" <<'END'
#!/bin/sh
# attack HELPER ROOT [dac]: as the client, without the capability in the bounding set where "dac" is said.
set -e
without=
[ -z "$3" ] || without='--bounding-set -linux_immutable'
for script in "attack.py $1 $2 $WORK $3" "after_date.py $1"; do
    setpriv --reuid postgres --regid postgres --init-groups $without env PATH=/usr/bin:/bin python3 "$WORK/"$script
done
END
chmod +x "$WORK/attack"

FILE_SYSTEMS=(ext4 xfs btrfs tmpfs)
for fs in "${FILE_SYSTEMS[@]}"; do
    make_fs "$fs" >/dev/null 2>&1
    aside "$fs" "$LAB/$fs" 1 "$WORK/attack" "$HELPER" "$LAB/$fs"
done
# As in a container without the capability: the other user alone has to hold.
aside container "$LAB/ext4/container" 1 "$WORK/attack" "$HELPER" "$LAB/ext4/container" dac
# On file systems of their own, since one of them is filled.
for rules in rules seals; do
    make_fs ext4 "$rules" >/dev/null 2>&1
    aside "$rules" "$LAB/$rules/vault" 0 python3 "$WORK/$rules.py" "$HELPER" "$LAB/$rules/vault"
done
wait
for fs in "${FILE_SYSTEMS[@]}"; do after_attack "$fs" "$LAB/$fs" vault; done
after_attack container "$LAB/ext4/container" vault-dac
show rules
ok 'the rules for clocks, holds, quotas, streams and torn logs hold' grep -qx 'all rules hold' "$WORK/rules.out"
show seals
ok 'the rules for dates, seals, versions, parts and the newest hold' grep -qx 'all rules hold' "$WORK/seals.out"
# The attempts are such that they can succeed.
control=$(as_client python3 "$WORK/attack.py" control "$LAB/ext4" "$WORK" | tail -n 1)
ok "control: against a file of the attacker's own, $control" test "$(sed 's/.*, \([0-9]*\) .*/\1/' <<<"$control")" -gt 15

# As a service: under no_new_privs, as systemd starts it.
install -d "$LAB/xfs/service"
make_vault "$LAB/xfs/service" 'min_retention = 1s' 'keep_newest = 1'
install -d -o immvault "$LAB/run"
start_service() {
    setpriv --reuid immvault --regid immvault --clear-groups --inh-caps +linux_immutable --ambient-caps +linux_immutable \
        --no-new-privs "$HELPER" serve --socket "$LAB/run/vault.sock" &
    SERVICE=$!
    until_true 10 test -S "$LAB/run/vault.sock"
}
start_service
# The helper is killed at each of its steps meanwhile.
aside faults "$LAB/ext4/faults" 0 python3 "$WORK/faults.py" "$HELPER" "$LAB/ext4/faults"
FAULTS=$!
"$WORK/attack" "$LAB/run/vault.sock" "$LAB/xfs/service" >"$WORK/service.out" 2>&1
after_attack service "$LAB/xfs/service" vault
ok 'service: strangers are refused, operators are not, one user cannot keep the others out' python3 "$WORK/service.py" "$LAB/run/vault.sock"
stop_service
# By root, as the entrypoint of a container or a pod does it, with no more rights than it needs.
install -d "$LAB/pod"
setpriv --bounding-set -all,+linux_immutable,+setuid,+setgid --no-new-privs strace -qq -D -e trace=chmod,fchmod,fchmodat,bind -o "$WORK/modes" \
    "$HELPER" serve --socket "$LAB/pod/vault.sock" &
SERVICE=$!
ok 'service: started by root, it comes up' until_true 10 test -S "$LAB/pod/vault.sock"
is 'service: whoever calls reaches its socket' "$(stat -c %a "$LAB/pod/vault.sock")" 666
is 'service: whose mode it has from birth, since names can be exchanged' "$(cut -d'(' -f1 "$WORK/modes")" bind
is 'service: as the vault user for good' "$(ps -o euid=,ruid=,suid= -p $SERVICE | xargs)" '63411 63411 63411'
is 'service: with one capability' "$(sed -n 's/^CapPrm:\t0*//p' "/proc/$SERVICE/status")" 200
is 'service: and its group alone' "$(sed -n 's/^Groups:\t//p' "/proc/$SERVICE/status" | xargs)" 63411
ok 'service: and serves' as_client python3 "$WORK/after_date.py" "$LAB/pod/vault.sock"
stop_service
install -m 0644 /dev/null "$LAB/pod/file"
fails 'service: it listens where nothing else is' 1 'listen on' timeout 20 "$HELPER" serve --socket "$LAB/pod/file"
ok 'service: and takes nothing away for that' test -f "$LAB/pod/file"

wait "$FAULTS"
show faults
ok 'killed at each step, nothing half is attested, and recovery cleans up' grep -qE '^[0-9]+ kills, 0 failures$' "$WORK/faults.out"
ok 'faults: the log verifies by other means' sh "$WORK/verify-audit.sh" "$LAB/ext4/faults/logs/backup_audit.jsonl"
# What is wrong with the ground it stands on, it says, and takes nothing.
bad_ground() {  # DESCRIPTION WORDS COMMAND... (undone by the caller)
    local output
    output=$(as_client python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); from client import *
with Vault(sys.argv[2]) as v:
    s = v.ask("status"); print(s["level"], s.get("reason")); v.ask("append", event="x", origin="job")' "$WORK" "$HELPER" 2>&1)
    ok "$1" grep -qE "^none .*$2" <<<"$output"
}
make_vault "$LAB/ext4"
chmod g+w "$LAB/ext4"; bad_ground 'a root that others can write is refused' 'written by others'; chmod g-w "$LAB/ext4"
chown postgres "$LAB/ext4"; bad_ground 'a root of somebody else is refused' 'does not belong to root'; chown root "$LAB/ext4"
chmod 1777 "$LAB"; bad_ground 'a sticky parent is refused' 'written by others'; chmod 0755 "$LAB"
mv "$LAB/ext4/active" "$LAB/ext4/a"; ln -s a "$LAB/ext4/active"; bad_ground 'a symbolic link is refused' 'open the vault.s folder'
rm "$LAB/ext4/active"; mv "$LAB/ext4/a" "$LAB/ext4/active"
chmod 2770 "$LAB/ext4/active"; bad_ground 'a folder that its group can write is refused' 'owner, group and mode'; chmod 2750 "$LAB/ext4/active"
chown postgres /etc/immbackup/vault.conf; bad_ground 'a configuration of somebody else is refused' 'does not belong to root'
chown root /etc/immbackup/vault.conf; chmod o+w /etc/immbackup/vault.conf; bad_ground 'or one that others can write' 'written by others'
make_vault "$LAB/ext4" 'colour = red'; bad_ground 'an unknown key is refused' 'line 3'
make_vault "$LAB/ext4" 'user = postgres'; bad_ground "so is the client for the vault's user" "neither root nor the client's"
rm /etc/immbackup/vault.conf; bad_ground 'so is none' 'vault.conf'

# The flag on an overlay is an attribute of the overlay, and none of the file below it.
install -d "$LAB/ext4/over/low" "$LAB/ext4/over/up" "$LAB/ext4/over/work" "$LAB/overlay"
mount -t overlay overlay -o "lowerdir=$LAB/ext4/over/low,upperdir=$LAB/ext4/over/up,workdir=$LAB/ext4/over/work" "$LAB/overlay"
make_vault "$LAB/overlay"
ok 'on an overlay it says that it has no flag' grep -qE '^vault-dac an overlay' <(as_client python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); from client import *
with Vault(sys.argv[2]) as v: s = v.ask("status"); print(s["level"], s.get("reason"))' "$WORK" "$HELPER" 2>&1)
umount "$LAB/overlay"

# What it did not seal, it does not remove: a copy without attributes and flags may be all that somebody has left.
make_vault "$LAB/ext4/faults"
cp --no-preserve=all "$LAB/ext4/active/20260118T120000Z.shop.sql.gz" "$LAB/ext4/faults/active/20260118T120000Z.copy.sql.gz"
ok 'recovery runs' as_client python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); from client import *
with Vault(sys.argv[2]) as v: assert int(v.ask("recover")["orphans"]) >= 1' "$WORK" "$HELPER"
ok 'and leaves what bears no seal record' test -f "$LAB/ext4/faults/active/20260118T120000Z.copy.sql.gz"

echo "# $ATTEMPTS attempts in all, successes: see above"
done_testing
