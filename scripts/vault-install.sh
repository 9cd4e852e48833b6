#!/usr/bin/env bash
# Sets up a vault, or takes it down again; as root. What it is: docs/vault.md. Called by make install-vault and
# make uninstall-vault.
#
#   scripts/vault-install.sh install BUILT_HELPER
#   scripts/vault-install.sh uninstall
#
# From the environment: VAULT_ROOT (/backups), VAULT_HELPER (/usr/local/bin/immbackup-vault), VAULT_CLIENT (postgres),
# VAULT_CLIENT_GROUP (its primary group), VAULT_OPERATORS (a group, made where it is missing; none), VAULT_SYSTEMD (yes: a
# unit, too). Where /etc/immbackup/vault.conf is there already, it stays as it is and its root counts.
set -euo pipefail
HERE=$(cd "$(dirname "$0")/.." && pwd)
CONF=/etc/immbackup/vault.conf
UNIT=/etc/systemd/system/immbackup-vault.service
VAULT_HELPER=${VAULT_HELPER:-/usr/local/bin/immbackup-vault}
VAULT_CLIENT=${VAULT_CLIENT:-postgres}
PATH=$PATH:/usr/sbin:/sbin

die() { echo "vault: $*" >&2; exit 1; }
say() { echo "vault: $*"; }
configured() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*\$/\1/p" "$CONF"; }
reload_systemd() { [ ! -d /run/systemd/system ] || systemctl daemon-reload; }

[ "$(id -u)" = 0 ] || die "this has to be done as root"
VAULT_USER=immvault
if [ -f "$CONF" ]; then
    VAULT_ROOT=$(configured root)
    VAULT_USER=$(configured user)
    VAULT_USER=${VAULT_USER:-immvault}
    client=$(configured client_user)
    VAULT_CLIENT=${client:-postgres}
fi
VAULT_ROOT=${VAULT_ROOT:-/backups}

# Whoever may write a folder on the way can put another in the place of what is below it.
check_parents() {
    local path=$1
    while [ "$path" != / ]; do
        path=$(dirname "$path")
        [ "$(stat -c %u "$path")" = 0 ] || die "$path does not belong to root: choose another VAULT_ROOT"
        case $(stat -c %A "$path") in
            ?????w*|????????w*) die "$path can be written by others than root: choose another VAULT_ROOT" ;;
        esac
    done
}

# The plain store's active/ and logs/ go to plain/, from where `immbackup import` takes them.
convert() {
    local lock folder
    for lock in immbackup.lock immbackup-upload.lock; do
        [ ! -e "$VAULT_ROOT/$lock" ] || flock -n "$VAULT_ROOT/$lock" true ||
            die "a backup or an upload is going on in $VAULT_ROOT: try again when it has ended"
    done
    [ ! -e "$VAULT_ROOT/plain" ] || die "$VAULT_ROOT/plain exists already"
    # First of all nobody else may write there any more.
    chown root:root "$VAULT_ROOT"
    chmod 0755 "$VAULT_ROOT"
    install -d -o root -g root -m 0755 "$VAULT_ROOT/plain"
    for folder in active logs; do
        [ ! -d "$VAULT_ROOT/$folder" ] || mv -T "$VAULT_ROOT/$folder" "$VAULT_ROOT/plain/$folder"
    done
    # What was being written when somebody died is no backup.
    rm -rf "${VAULT_ROOT:?}/incoming" || say "WARNING: $VAULT_ROOT/incoming could not be removed"
    rm -f "$VAULT_ROOT/immbackup.lock" "$VAULT_ROOT/immbackup-upload.lock"
    say "the plain store's artifacts and log are in $VAULT_ROOT/plain now"
}

install_vault() {
    local built=$1 group folder
    [ -x "$built" ] || die "there is no helper at $built: build first"
    getent passwd "$VAULT_CLIENT" >/dev/null || die "there is no user $VAULT_CLIENT (VAULT_CLIENT)"
    group=${VAULT_CLIENT_GROUP:-$(id -gn "$VAULT_CLIENT")}
    check_parents "$VAULT_ROOT"
    if ! getent passwd "$VAULT_USER" >/dev/null; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$VAULT_USER"
    fi
    [ -z "${VAULT_OPERATORS:-}" ] || getent group "$VAULT_OPERATORS" >/dev/null || groupadd --system "$VAULT_OPERATORS"

    [ -d "$VAULT_ROOT" ] || install -d -o root -g root -m 0755 "$VAULT_ROOT"
    if [ -d "$VAULT_ROOT/active" ] && [ "$(stat -c %U "$VAULT_ROOT/active")" != "$VAULT_USER" ]; then convert; fi
    chown root:root "$VAULT_ROOT"
    chmod 0755 "$VAULT_ROOT"
    for folder in active logs records; do
        install -d -o "$VAULT_USER" -g "$group" -m 2750 "$VAULT_ROOT/$folder"
    done
    install -d -o "$VAULT_CLIENT" -g "$group" -m 0700 "$VAULT_ROOT/work"

    install -d -m 0755 "$(dirname "$VAULT_HELPER")" /etc/immbackup
    # Beside, then into place: one that is running is not disturbed.
    install -o "$VAULT_USER" -g "$VAULT_USER" -m 4755 "$built" "$VAULT_HELPER.new"
    setcap cap_linux_immutable+p "$VAULT_HELPER.new" || say "WARNING: no capability: the level will be vault-dac"
    mv -T "$VAULT_HELPER.new" "$VAULT_HELPER"
    if [ -f "$CONF" ]; then
        say "$CONF stays as it is"
    else
        {
            echo '# The vault of immbackup: docs/vault.md has all keys. Only root may write here.'
            printf '%s\n' "root = $VAULT_ROOT" "user = $VAULT_USER" "client_user = $VAULT_CLIENT" "client_group = $group"
            [ -z "${VAULT_OPERATORS:-}" ] || echo "operator_group = $VAULT_OPERATORS"
            printf '%s\n' 'min_retention = 7d' 'max_retention = 400d' '#quota_bytes = 500G' 'keep_newest = 1'
        } >"$CONF"
        chmod 0644 "$CONF"
    fi
    if [ "${VAULT_SYSTEMD:-}" = yes ]; then
        sed "s|@HELPER@|$VAULT_HELPER|; s|@ROOT@|$VAULT_ROOT|; s|@USER@|$VAULT_USER|" "$HERE/src/vault/immbackup-vault.service.in" >"$UNIT"
        reload_systemd
        say "the unit is $UNIT: systemctl enable --now immbackup-vault"
    fi
    say "installed; as $VAULT_CLIENT it says:"
    printf 'status\n' | setpriv --reuid "$VAULT_CLIENT" --regid "$group" --init-groups "$VAULT_HELPER" | sed 1d
}

# The plain store can go on with what is left: the vault's log, and what had not been imported.
uninstall_vault() {
    local standing
    [ -f "$CONF" ] || die "there is no $CONF: nothing to take down"
    standing=$(find "$VAULT_ROOT/active" "$VAULT_ROOT/records" -type f ! -name lock ! -name clock 2>/dev/null | wc -l)
    [ "$standing" = 0 ] || die "$standing sealed files stand in $VAULT_ROOT: they outlive this program. Let them be purged after their dates first"
    if [ -f "$UNIT" ]; then
        [ ! -d /run/systemd/system ] || systemctl disable --now immbackup-vault || true
        rm -f "$UNIT"
        reload_systemd
    fi
    rm -f "$VAULT_HELPER" "$CONF"
    rmdir --ignore-fail-on-non-empty /etc/immbackup
    rm -rf "${VAULT_ROOT:?}/records" "$VAULT_ROOT/work"
    if [ -d "$VAULT_ROOT/plain/active" ]; then
        rmdir "$VAULT_ROOT/active"
        mv -T "$VAULT_ROOT/plain/active" "$VAULT_ROOT/active"
    fi
    if [ -f "$VAULT_ROOT/logs/backup_audit.jsonl" ]; then
        # A log of another owner cannot be appended to: the flag comes off for the change, and the plain store sets it anew.
        chattr -a "$VAULT_ROOT/logs/backup_audit.jsonl" 2>/dev/null || true
        chown -R "$VAULT_CLIENT:" "$VAULT_ROOT/logs"
        chmod 0600 "$VAULT_ROOT/logs/backup_audit.jsonl"
    elif [ -d "$VAULT_ROOT/plain/logs" ]; then
        rmdir "$VAULT_ROOT/logs"
        mv -T "$VAULT_ROOT/plain/logs" "$VAULT_ROOT/logs"
    fi
    chown "$VAULT_CLIENT:" "$VAULT_ROOT" "$VAULT_ROOT/active" "$VAULT_ROOT/logs"
    chmod 00700 "$VAULT_ROOT" "$VAULT_ROOT/active" "$VAULT_ROOT/logs"
    [ ! -d "$VAULT_ROOT/plain" ] || rmdir --ignore-fail-on-non-empty "$VAULT_ROOT/plain"
    userdel "$VAULT_USER"
    say "taken down; $VAULT_ROOT is a plain store of $VAULT_CLIENT now"
}

case ${1:-} in
    install) [ $# = 2 ] || die "usage: vault-install.sh install BUILT_HELPER"; install_vault "$2" ;;
    uninstall) uninstall_vault ;;
    *) die "usage: vault-install.sh install BUILT_HELPER | uninstall" ;;
esac
