#!/usr/bin/env bash
# A place to try the vault's helper in: a mount namespace of its own with users of its own, file systems on loop devices
# below a folder of root's, and the helper set-uid with its capability. Source it as root after setting ROOT and WORK.

HELPER_BUILT=${IMMBACKUP_VAULT:-$ROOT/build/immbackup-vault}

# Begins the script anew in a mount namespace, where /etc/passwd, /etc/group and /etc/immbackup are its own.
own_namespace() {
    [ -z "${IMMBACKUP_VAULT_LAB:-}" ] || return 0
    IMMBACKUP_VAULT_LAB=1 exec unshare -m --propagation private bash "$0" "$@"
}

lab_begin() {
    HELPER=$WORK/immbackup-vault
    LAB=/mnt  # empty by the hierarchy standard, and its parent is root's
    chmod 0755 "$WORK"
    mount -t tmpfs -o mode=0755 lab "$LAB"
    # Folders that the machine may not have, over which nothing can be mounted: an overlay of /etc, on a tmpfs.
    mkdir "$LAB/.etc"
    mount -t tmpfs -o mode=0755 etc "$LAB/.etc"
    mkdir "$LAB/.etc/up" "$LAB/.etc/work"
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$LAB/.etc/up,workdir=$LAB/.etc/work" /etc
    mkdir -p /etc/immbackup
    sed -i '/^immvault:/d; /^immop:/d' /etc/passwd
    sed -i '/^immvault:/d; /^immops:/d' /etc/group
    echo 'immvault:x:63411:63411::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
    echo 'immop:x:63412:63412::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
    printf '%s\n' 'immvault:x:63411:' 'immops:x:63412:immop' >>/etc/group
    install_helper "$HELPER"
}

# set-uid, and the capability permitted, not effective: with +e exec itself fails where it is not in the bounding set.
install_helper() {  # PATH
    install -o immvault -g immvault -m 4755 "$HELPER_BUILT" "$1"
    setcap cap_linux_immutable+p "$1"
}

# make_fs TYPE [NAME]: a file system at $LAB/NAME, or $LAB/TYPE; "tmpfs" too.
make_fs() {
    local name=${2:-$1}
    local image=$WORK/image.$name
    mkdir -p "$LAB/$name"
    if [ "$1" = tmpfs ]; then
        mount -t tmpfs -o mode=0755,size=256m store "$LAB/$name"
    else
        truncate -s 400M "$image"
        case $1 in
            ext4) mkfs.ext4 -q -m 0 "$image" ;;
            xfs) mkfs.xfs -q "$image" ;;
            btrfs) mkfs.btrfs -q "$image" ;;
        esac
        mount -o loop "$image" "$LAB/$name"
        rm -rf "$LAB/$name/lost+found"
    fi
    chown root:root "$LAB/$name"
    chmod 0755 "$LAB/$name"
}

# make_vault ROOT [CONFIG LINE...]: folders and configuration.
make_vault() {
    local root=$1 folder
    shift
    for folder in active logs records; do
        install -d -o immvault -g postgres -m 2750 "$root/$folder"
    done
    install -d -o postgres -g postgres -m 0700 "$root/work"
    {
        printf '%s\n' "root = $root" 'operator_group = immops'
        printf '%s\n' "$@"
    } >/etc/immbackup/vault.conf
    chmod 0644 /etc/immbackup/vault.conf
}

as_client() { setpriv --reuid postgres --regid postgres --init-groups env PATH=/usr/bin:/bin "$@"; }
as_operator() { setpriv --reuid immop --regid immops --init-groups env PATH=/usr/bin:/bin "$@"; }

lab_end() {
    local fs
    for fs in ext4 xfs btrfs tmpfs; do
        # The loop device goes with the last mount of it.
        umount "$LAB/$fs" 2>/dev/null
    done
    umount -l /etc "$LAB/.etc" "$LAB" "$WORK/nosuid" 2>/dev/null
    rm -rf "$WORK"
}
