#!/usr/bin/env bash
# The vault as a service of a real systemd, which is PID 1 of namespaces of its own, with the unit that the installation
# writes: its rights, what it seals, killed and started again, stopped in the middle of a stream. Needs root and systemd.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-$(mktemp -d "${TMPDIR:-/tmp}/immbackup-systemd.XXXXXX")}
. "$ROOT/test/lib/tap.sh"
. "$ROOT/test/lib/vault.sh"
own_namespace "$@"
INIT=
finish() {
    [ -z "$INIT" ] || kill -KILL "$INIT" 2>/dev/null
    wait 2>/dev/null
    lab_end
}
trap finish EXIT
lab_begin
make_fs ext4
cp "$ROOT"/test/vault/*.py "$WORK"
userdel immvault
export VAULT_ROOT=$LAB/ext4/backups VAULT_HELPER=$LAB/libexec/immbackup-vault VAULT_SYSTEMD=yes
ok "the installation writes the unit" "$ROOT/scripts/vault-install.sh" install "$HELPER_BUILT"

# Nothing of the machine's own is started beside it.
cat >"$WORK/init.sh" <<'INIT'
set -e
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=0755 systemd /var/lib/systemd
mount -t cgroup2 none /sys/fs/cgroup
: >/etc/fstab
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket \
    systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-sysctl.service systemd-modules-load.service \
    systemd-remount-fs.service systemd-sysusers.service systemd-random-seed.service systemd-binfmt.service systemd-firstboot.service \
    systemd-machine-id-commit.service kmod-static-nodes.service apparmor.service dev-hugepages.mount dev-mqueue.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd --unit=immbackup-vault.service --log-target=console --show-status=0
INIT
mkdir -p /var/lib/systemd
unshare -mpfiuC --propagation private --mount-proc bash "$WORK/init.sh" >"$WORK/systemd.log" 2>&1 9>&- &
UNSHARED=$!
until_true 10 pgrep -P "$UNSHARED"
INIT=$(pgrep -P "$UNSHARED")
inside() { nsenter -t "$INIT" -m -p -u -i -C -- "$@"; }
active() { inside systemctl is-active --quiet immbackup-vault && inside test -S /run/immbackup/vault.sock; }
property() { inside systemctl show --value -p "$1" immbackup-vault; }
status() { inside sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status" | tr '\t' ' '; }
ask() {  # PYTHON with v
    inside setpriv --reuid postgres --regid postgres --init-groups env PATH=/usr/bin:/bin python3 -c 'import sys, time; sys.path.insert(0, sys.argv[1]); from client import *
with Vault("/run/immbackup/vault.sock") as v: exec(sys.argv[2])' "$WORK" "$1"
}
seal() {  # STEM
    ask "print(v.put('$1', 'shop', b'dump', stamp(time.time() + 3600 * 24 * 3))[1]['level'])"
}

ok "systemd starts it" until_true 30 active
[ "$FAILURES" = 0 ] || sed 's/^/# /' "$WORK/systemd.log"
ID=$(id -u immvault)
is "as the vault's user" "$(status Uid)" "$ID $ID $ID $ID"
is "that can gain nothing" "$(status NoNewPrivs)" 1
is "with one capability at most" "$(status CapBnd)" 0000000000000200
is "which is not in effect" "$(status CapEff)" 0000000000000000
ask "v.append('instance_created', b'{\"instance\":\"x\"}')"
is "what comes through it is sealed" "$(seal 20260118T120000Z.shop)" vault
ok "by the kernel's flag" bash -c "lsattr '$VAULT_ROOT/active/20260118T120000Z.shop.sql.gz' | grep -q '^....i'"
fails "and root cannot write it" 1 'not permitted' bash -c "echo x >>'$VAULT_ROOT/active/20260118T120000Z.shop.sql.gz'"

inside systemctl kill -s KILL immbackup-vault
restarted() { [ "$(property NRestarts)" = 1 ] && active; }
ok "killed, it is started again" until_true 30 restarted
is "and seals" "$(seal 20260118T130000Z.shop)" vault

# In the middle of a stream: no commit, so nothing is published, and nobody waits for the client.
ask "v.ask('put', stem='20260118T140000Z.shop', database='shop', retain_until=stamp(time.time() + 3600 * 24 * 3)); v.data(b'half of it'); print('open', flush=True); time.sleep(120)" >"$WORK/open" 2>/dev/null &
STREAM=$!
ok "a stream is open" until_true 20 grep open "$WORK/open"
ok "it stops in the middle of a stream" timeout 60 nsenter -t "$INIT" -m -p -u -i -C -- systemctl stop immbackup-vault
is "as it should" "$(property Result)" success
is "nothing of the stream is there" "$(find "$VAULT_ROOT/active" -name '20260118T14*' | wc -l)" 0
is "both that were sealed are" "$(find "$VAULT_ROOT/active" -name '*.manifest.json' | wc -l)" 2
fails "its socket is gone" 2 'cannot access' inside ls /run/immbackup
kill "$STREAM" 2>/dev/null
done_testing
