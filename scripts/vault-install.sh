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
canonical=$(readlink -m -- "$VAULT_ROOT")
[[ $VAULT_ROOT = "$canonical" && $VAULT_ROOT != / ]] ||
    die "\"$VAULT_ROOT\" is no absolute path without symbolic links, dots and a slash at its end: say VAULT_ROOT=$canonical"

# Until its root is root's, whoever owns it may have put anything there. `chown` and `chmod` follow symbolic links.
check_folders() {
    local name path
    for name in active logs records work plain plain/active plain/logs; do
        path=$VAULT_ROOT/$name
        [ ! -L "$path" ] || die "$name is a symbolic link in $VAULT_ROOT: take it away"
        [ ! -e "$path" ] || [ -d "$path" ] || die "$name is no folder in $VAULT_ROOT: take it away"
    done
}

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

as_client() { setpriv --reuid "$VAULT_CLIENT" --regid "$group" --init-groups "$@"; }

# First of all nobody else may write there any more.
take_root() {
    check_folders
    chown root:root "$VAULT_ROOT"
    chmod 0755 "$VAULT_ROOT"
    check_folders
}

# One that somebody else made, and may have prepared, is made anew.
make_folder() {  # NAME OWNER MODE
    local path=$VAULT_ROOT/$1
    if [ -d "$path" ] && [ "$(stat -c %U "$path")" != "$2" ]; then
        rmdir "$path" || die "$path belongs to somebody else than $2, and something is in it: take it away"
    fi
    [ -d "$path" ] || mkdir -m 0700 "$path"
    chown -h "$2:$group" "$path"
    chmod "$3" "$path"
}

# The plain store's active/ and logs/ go to plain/, from where `immbackup import` takes them.
convert() {
    local lock folder
    for lock in immbackup.lock immbackup-upload.lock; do
        [ ! -e "$VAULT_ROOT/$lock" ] || as_client flock -n "$VAULT_ROOT/$lock" true ||
            die "a backup or an upload is going on in $VAULT_ROOT: try again when it has ended"
    done
    [ ! -e "$VAULT_ROOT/plain" ] || die "$VAULT_ROOT/plain exists already, from a vault before this one: look through it, and move it away"
    take_root
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
    local built=$1 group folder answer
    [ -x "$built" ] || die "there is no helper at $built: build first"
    getent passwd "$VAULT_CLIENT" >/dev/null || die "there is no user $VAULT_CLIENT (VAULT_CLIENT)"
    group=${VAULT_CLIENT_GROUP:-$(id -gn "$VAULT_CLIENT")}
    check_parents "$VAULT_ROOT"
    if ! getent passwd "$VAULT_USER" >/dev/null; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$VAULT_USER"
    fi
    [ -z "${VAULT_OPERATORS:-}" ] || getent group "$VAULT_OPERATORS" >/dev/null || groupadd --system "$VAULT_OPERATORS"

    [ -d "$VAULT_ROOT" ] || install -d -o root -g root -m 0755 "$VAULT_ROOT"
    check_folders
    for folder in active logs; do
        if [ -d "$VAULT_ROOT/$folder" ] && [ "$(stat -c %U "$VAULT_ROOT/$folder")" != "$VAULT_USER" ]; then convert; fi
    done
    take_root
    for folder in active logs records; do make_folder $folder "$VAULT_USER" 2750; done
    make_folder work "$VAULT_CLIENT" 0700

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
            printf '%s\n' 'min_retention = 2d' 'max_retention = 400d' '#quota_bytes = 500G' 'keep_newest = 1'
        } >"$CONF"
        chmod 0644 "$CONF"
    fi
    if [ "${VAULT_SYSTEMD:-}" = yes ]; then
        sed "s|@HELPER@|$VAULT_HELPER|; s|@ROOT@|$VAULT_ROOT|; s|@USER@|$VAULT_USER|" "$HERE/src/vault/immbackup-vault.service.in" >"$UNIT"
        reload_systemd
        say "the unit is $UNIT: systemctl enable --now immbackup-vault"
    fi
    answer=$(printf 'status\n' | as_client "$VAULT_HELPER" | sed 1d)
    # Where set-uid does nothing, the service may still: what root starts becomes the vault's user all the same.
    if [[ $answer != 'ok level=vault'* && ${VAULT_SYSTEMD:-} = yes ]]; then answer=$(printf 'status\n' | "$VAULT_HELPER" | sed 1d); fi
    [[ $answer = 'ok level=vault'* ]] || die "the helper does not seal here. It says: $answer"
    say "installed; as $VAULT_CLIENT it says:"
    echo "$answer"
}

# The plain store can go on with what is left: the vault's log, and what had not been imported.
uninstall_vault() {
    local standing folder old=$VAULT_ROOT/plain/logs/backup_audit.jsonl
    [ -f "$CONF" ] || die "there is no $CONF: nothing to take down"
    standing=$(find "$VAULT_ROOT/active" "$VAULT_ROOT/records" -type f ! -name lock ! -name clock 2>/dev/null | wc -l)
    check_folders
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
    # What the vault took over is the beginning of its own log.
    if [ -f "$old" ] && cmp -s -n "$(stat -c %s "$old")" "$old" "$VAULT_ROOT/logs/backup_audit.jsonl"; then
        chattr -f -i -a "$old" || true
        rm -f "$old" "$VAULT_ROOT/plain/logs/catalog.idx"
        rmdir --ignore-fail-on-non-empty "$VAULT_ROOT/plain/logs"
    fi
    if [ -f "$VAULT_ROOT/logs/backup_audit.jsonl" ]; then
        # A log of another owner cannot be appended to: the flag comes off for the change, and the plain store sets it anew.
        chattr -a "$VAULT_ROOT/logs/backup_audit.jsonl" 2>/dev/null || true
        chmod 0600 "$VAULT_ROOT/logs/backup_audit.jsonl"
        chown -h "$VAULT_CLIENT:" "$VAULT_ROOT/logs/backup_audit.jsonl"
    elif [ -d "$VAULT_ROOT/plain/logs" ]; then
        rmdir "$VAULT_ROOT/logs"
        mv -T "$VAULT_ROOT/plain/logs" "$VAULT_ROOT/logs"
    fi
    [ ! -d "$VAULT_ROOT/plain" ] || rmdir --ignore-fail-on-non-empty "$VAULT_ROOT/plain"
    # From the inside out: who is given a folder may at once put something else in the place of what is in it.
    for folder in "$VAULT_ROOT/active" "$VAULT_ROOT/logs" "$VAULT_ROOT"; do
        chmod 00700 "$folder"
        chown -h "$VAULT_CLIENT:" "$folder"
    done
    userdel "$VAULT_USER"
    say "taken down; $VAULT_ROOT is a plain store of $VAULT_CLIENT now"
}

case ${1:-} in
    install) [ $# = 2 ] || die "usage: vault-install.sh install BUILT_HELPER"; install_vault "$2" ;;
    uninstall) uninstall_vault ;;
    *) die "usage: vault-install.sh install BUILT_HELPER | uninstall" ;;
esac
