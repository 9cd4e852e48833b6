#!/usr/bin/env bash
# The Debian packages that building, testing and trying immbackup takes, in one place.
#   . scripts/packages.sh; install_packages "${BUILD_PACKAGES[@]}"

PG_MAJOR=${PG_MAJOR:-15}
# shellcheck disable=SC2034  # used by those who source this file
BUILD_PACKAGES=(
    build-essential cmake ninja-build "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" libpq-dev
    zlib1g-dev libssl-dev libcurl4-openssl-dev libxml2-dev libisal-dev libzstd-dev nlohmann-json3-dev libfmt-dev libcli11-dev libhowardhinnant-date-dev libcap-dev
    e2fsprogs jq tzdata util-linux libcap2-bin
)
# shellcheck disable=SC2034
TEST_PACKAGES=(
    "${BUILD_PACKAGES[@]}" libgtest-dev clang-14 libclang-rt-14-dev clang-format shellcheck git
    docker.io iptables mmdebstrap tini systemd
    curl openssl pigz strace zstd attr xfsprogs btrfs-progs procps ceph-mon ceph-osd radosgw python3-boto3 libfaketime
    python3 "postgresql-$PG_MAJOR-pgtap" libtap-parser-sourcehandler-pgtap-perl libipc-run-perl
)

# Installs what is missing. Says nothing where all is there.
install_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -x installed >/dev/null || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing: ${missing[*]}"
    # A server package that comes in for the first time shall not start a cluster of its own.
    if ! dpkg-query -W -f '${db:Status-Status}\n' "postgresql-$PG_MAJOR" 2>/dev/null | grep -x installed >/dev/null &&
        ! [ -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    as_root apt-get -qq -o DPkg::Lock::Timeout=600 update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confold install --no-install-recommends "${missing[@]}" >/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
