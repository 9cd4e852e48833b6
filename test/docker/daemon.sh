#!/usr/bin/env bash
# A Docker daemon for tests, and an image to build on, where no image registry can be reached.
#
#   daemon.sh start DIR   uses the daemon that answers; where none does, starts one (root), with everything of it in DIR.
#                         Writes DIR/env, to be sourced: DOCKER_HOST, DOCKER_CONFIG
#   daemon.sh base DIR    makes image $BASE out of Debian's packages, unless it is there (10 s to 60 s; kept for a week in
#                         the user's cache folder)
#   daemon.sh stop DIR    stops what it started, undoes it, and removes DIR
#
# The daemon of its own changes nothing on the host: no bridge, no rule of iptables, no forwarding. So images are built with
# --network host, and containers reach each other but nothing outside.
set -euo pipefail
COMMAND=${1:-} DIR=${2:-}
BASE=immbackup-test-base:bookworm
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/immbackup-test
die() {
    echo "daemon.sh: $*" >&2
    exit 1
}
[ -n "$DIR" ] || { sed -n '2,12p' "$0"; exit 2; }
if [ -f "$DIR/env" ]; then . "$DIR/env"; fi

# URIs of the machine's own Debian archives.
archive() { apt-get indextargets --format '$(REPO_URI) $(LABEL)' | awk -v label="$1" '$2 == label {print $1; exit}'; }

# Debian 12 has compose 1.29 and no buildx; the plugins of Debian 13 need nothing but its C library, and run as they are.
# An apt state of its own verifies and downloads them.
plugins() {
    local apt=$DIR/apt options
    if docker compose version --short 2>/dev/null | grep -q '^v\?[2-9]' && docker buildx version >/dev/null 2>&1; then return; fi
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,root} "$DIR/config/cli-plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive Debian) trixie main" >"$apt/sources.list"
    options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
    apt-get "${options[@]}" -qq update
    (cd "$apt/root" && apt-get "${options[@]}" -qq download docker-compose/trixie docker-buildx/trixie &&
        for package in *.deb; do dpkg-deb -x "$package" .; done)
    find "$apt/root" -path '*/cli-plugins/docker-*' -type f -exec mv {} "$DIR/config/cli-plugins/" \;
    rm -rf "$apt"
}

# Its id may have been given to another process since.
daemon() {
    local pid
    pid=$(cat "$DIR/dockerd.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$DIR/data" && echo "$pid"
}

start() {
    local i own=
    [ ! -e "$DIR" ] || die "$DIR exists"
    mkdir -m 0700 "$DIR"
    if ! docker info >/dev/null 2>&1; then
        [ "$(id -u)" = 0 ] || die "no Docker daemon answers, and only root may start one"
        own="export DOCKER_HOST=unix://$DIR/docker.sock"
        setsid dockerd --data-root "$DIR/data" --exec-root "$DIR/exec" --pidfile "$DIR/dockerd.pid" -H "unix://$DIR/docker.sock" \
            --bridge=none --iptables=false --ip6tables=false --ip-forward=false >"$DIR/dockerd.log" 2>&1 </dev/null &
    fi
    printf '%s\n' "export DOCKER_CONFIG=$DIR/config" "$own" >"$DIR/env"
    . "$DIR/env"
    for i in $(seq 300); do
        docker info >/dev/null 2>&1 && break
        [ "$i" -lt 300 ] || die "the daemon does not answer: $(tail -n 3 "$DIR/dockerd.log")"
        sleep 0.1
    done
    plugins
}

# What is kept is ours alone, and young enough for the security updates in it.
usable() { [ -O "$1" ] && [ -s "$1" ] && [ -z "$(find "$1" -mtime +7)" ] && [ "$(stat -c %a "$CACHE")" = 700 ] && [ -O "$CACHE" ]; }
base() {
    local tar
    tar=$CACHE/bookworm-$(dpkg --print-architecture).tar
    ! docker image inspect "$BASE" >/dev/null 2>&1 || return 0
    if ! usable "$tar"; then
        mkdir -p "$CACHE"
        chmod 0700 "$CACHE"
        mmdebstrap --quiet --format=tar --variant=minbase --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io bookworm "$tar.$$" \
            "deb $(archive Debian) bookworm main" "deb $(archive Debian) bookworm-updates main" \
            "deb $(archive Debian-Security) bookworm-security main" >"$DIR/base.log" 2>&1 || die "mmdebstrap: $(tail -n 5 "$DIR/base.log")"
        mv "$tar.$$" "$tar"
    fi
    docker import --change 'CMD ["bash"]' "$tar" "$BASE" >/dev/null
}

stop() {
    local pid i
    if pid=$(daemon); then
        kill "$pid"
        for i in $(seq 200); do
            daemon >/dev/null || break
            sleep 0.1
        done
        if pid=$(daemon); then kill -KILL "$pid"; fi
    fi
    # Name spaces and layers that a daemon that was killed leaves mounted.
    awk -v dir="$DIR/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | while read -r i; do umount -l "$i"; done
    if [ -d "$DIR/data/volumes" ]; then chattr -R -f -i -a "$DIR/data/volumes" || true; fi
    rm -rf "$DIR"
}

case $COMMAND in
    start | base | stop) "$COMMAND" ;;
    *) die "there is no command \"$COMMAND\"" ;;
esac
