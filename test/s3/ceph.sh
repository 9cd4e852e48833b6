#!/usr/bin/env bash
# A throwaway S3 server with Object Lock from Debian's packages: Ceph's radosgw with one monitor and one object store in
# memory. Needs no root, no systemd; listens on loopback, on ports that are free. Elsewhere with S3_LISTEN (an address),
# S3_PORT (plain HTTP) and S3_NAME (the host name it goes by).
#
#   ceph.sh fetch ROOT   unpacks a newer version's packages (suite $SUITE, default testing) into ROOT, unless they are there
#                        already; installs nothing
#   ceph.sh start DIR    (CEPH_ROOT: what was unpacked there, instead of what is installed) starts it in DIR, writes DIR/env (to be sourced): endpoints, keys, CA file
#   ceph.sh stop DIR     stops what it started, removes DIR
#   ceph.sh admin DIR .. radosgw-admin against it
#   ceph.sh pause DIR    / resume DIR / kill DIR / restart DIR: the gateway alone
set -u
COMMAND=${1:-} DIR=${2:-}
DAEMONS="rgw osd mon"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
die() {
    echo "ceph.sh: $*" >&2
    exit 1
}

# How a program of Ceph's is started: as installed, or unpacked, by its own loader. To be split into words.
set_run() {
    LIBRARIES=$CEPH_ROOT/usr/lib/$(uname -m)-linux-gnu
    RUN=/usr/bin/
    [ -z "$CEPH_ROOT" ] || RUN="$CEPH_ROOT/usr/lib64/ld-linux-x86-64.so.2 --library-path $LIBRARIES:$LIBRARIES/ceph $CEPH_ROOT/usr/bin/"
}
CEPH_ROOT=${CEPH_ROOT:-}
if [ -f "$DIR/started" ]; then . "$DIR/started"; fi
set_run

# An apt state of its own resolves, verifies and downloads; the machine's own apt and dpkg are not touched.
fetch() {
    local root=$DIR apt=$DIR/apt mirror
    if [ -f "$root/unpacked" ]; then
        CEPH_ROOT=$root
        set_run
        ${RUN}radosgw --version
        return
    fi
    [ ! -e "$root" ] || die "$root exists"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' | awk '$2 == "Debian" {print $1; exit}')
    mkdir -p "$apt"/{lists/partial,archives/partial,empty} || die "could not make $apt"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror ${SUITE:-testing} main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<EOC
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::State::extended_states "$apt/extended_states";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Log "$apt";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/empty";
Dir::Etc::preferencesparts "$apt/empty";
APT::Sandbox::User "";
APT::Default-Release "";
Acquire::Languages "none";
EOC
    export APT_CONFIG=$apt/apt.conf
    apt-get -q update >"$apt/log" 2>&1 || die "apt-get update: $(tail -3 "$apt/log")"
    # Only what the programs link with.
    apt-get -q -y --no-install-recommends --print-uris install ceph-mon ceph-osd radosgw 2>>"$apt/log" |
        sed -n "s/^'[^']*' \([^ _]*\)_.*/\1/p" | grep -E '^(lib.*|zlib1g|ceph-(base|common|mon|osd)|radosgw)$' |
        grep -vE '^lib(python|systemd-shared|perl|pam|gl|binutils|lvm2|parted|cryptsetup|ext2fs|semanage)' >"$apt/names"
    [ -s "$apt/names" ] || die "apt resolved nothing: $(tail -3 "$apt/log")"
    (cd "$apt/archives" && xargs apt-get -q download <"$apt/names" >>"$apt/log" 2>&1) || die "download: $(tail -3 "$apt/log")"
    find "$apt/archives" -maxdepth 1 -name '*.deb' -print0 | xargs -0 -I{} dpkg-deb -x {} "$root" || die "could not unpack"
    rm -rf "$apt"
    CEPH_ROOT=$root
    set_run
    ${RUN}radosgw --version || die "what was unpacked does not run"
    : >"$root/unpacked"
}

# A process of ours: its id may have been given to another one since.
ours() {
    local pid
    pid=$(cat "$DIR/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "--conf $DIR/ceph.conf" || return 1
    echo "$pid"
}
stop_daemon() {
    local pid i
    pid=$(ours "$1") || return 0
    kill -CONT "$pid" 2>/dev/null
    kill -TERM "$pid" 2>/dev/null
    for i in $(seq 60); do
        ours "$1" >/dev/null || break
        sleep 0.05
    done
    if pid=$(ours "$1"); then kill -KILL "$pid"; fi
    rm -f "$DIR/$1.pid"
}
stop_all() {
    local daemon
    for daemon in $DAEMONS; do stop_daemon "$daemon"; done
}
fail() {
    stop_all
    die "$*"
}
free_ports() {
    python3 -c '
import socket
s = [socket.socket() for _ in range(3)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))'
}

write_conf() {
    cat >"$DIR/ceph.conf" <<EOC
[global]
fsid = $FSID
mon_initial_members = a
mon_host = [v2:127.0.0.1:$MON_PORT/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
# No cephx inside the throwaway cluster; its default mode of connections would need it.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_client_mode = crc
ms_service_mode = crc
ms_cluster_mode = crc
run_dir = $DIR/run
crash_dir = $DIR/run
admin_socket = $DIR/run/\$type.\$id.\$pid.asok
log_file = $DIR/log/\$type.\$id.log
mon_cluster_log_file = $DIR/log/cluster.log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
$([ -z "$CEPH_ROOT" ] || printf '%s\n' "plugin_dir = $LIBRARIES/ceph" "osd_class_dir = $LIBRARIES/rados-classes" "erasure_code_dir = $LIBRARIES/ceph/erasure-code")
[mon]
mon_data = $DIR/mon
# In percent of the disk: as late as can be said. It ends there, which "start" tells.
mon_data_avail_crit = 0
mon_data_avail_warn = 0
paxos_propose_interval = 0.02
mon_max_pg_per_osd = 1000
[osd]
osd_data = $DIR/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
[client]
rgw_rados_pool_pg_num_min = 1
objecter_tick_interval = 0.2
[client.rgw.a]
rgw_data = $DIR/rgw
rgw_frontends = beast endpoint=${S3_LISTEN:-127.0.0.1}:$PORT ssl_endpoint=127.0.0.1:$TLS_PORT ssl_certificate=$DIR/rgw/cert.pem ssl_private_key=$DIR/rgw/key.pem
rgw_thread_pool_size = 32
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 2
rgw_gc_processor_max_time = 2
rgw_dns_name = ${S3_NAME:-s3.localhost}
rgw_s3_auth_use_sts = true
rgw_sts_key = abcdefghijklmnop
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = testkey-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
EOC
}

# A private CA, and a certificate of it. OpenSSL takes no *.localhost, hence *.s3.localhost.
make_certificates() {
    local names='subjectAltName=DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost,IP:127.0.0.1'
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj '/CN=private CA' \
            -keyout "$DIR/ca.key" -out "$DIR/ca.pem" &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=s3.localhost \
                -keyout "$DIR/rgw/key.pem" -out "$DIR/rgw/request.pem" &&
            openssl x509 -req -in "$DIR/rgw/request.pem" -CA "$DIR/ca.pem" -CAkey "$DIR/ca.key" -CAcreateserial -days 30 \
                -extfile <(echo "$names") -out "$DIR/rgw/cert.pem"
    } >"$DIR/log/openssl.log" 2>&1 || die "openssl: $(tail -3 "$DIR/log/openssl.log")"
}

start_gateway() {
    local i daemon
    setsid ${RUN}radosgw --conf "$DIR/ceph.conf" -n client.rgw.a -f >>"$DIR/log/rgw.out" 2>&1 </dev/null &
    echo $! >"$DIR/rgw.pid"
    for i in $(seq 1200); do
        curl -s -m 2 -o /dev/null "http://127.0.0.1:$PORT/" && return
        for daemon in $DAEMONS; do ours "$daemon" >/dev/null || [ "$i" -lt 20 ] || fail "$daemon ended: $(tail -5 "$DIR/log/$daemon.out")"; done
        sleep 0.05
    done
    fail "the gateway does not answer: $(tail -5 "$DIR/log/rgw.out")"
}

start() {
    local program
    for program in ceph-mon ceph-osd radosgw radosgw-admin monmaptool osdmaptool; do
        [ -x "$CEPH_ROOT/usr/bin/$program" ] || die "there is no $CEPH_ROOT/usr/bin/$program"
    done
    for program in curl openssl python3 setsid; do
        command -v "$program" >/dev/null || die "there is no $program"
    done
    [ ! -e "$DIR" ] || die "$DIR exists"
    mkdir -p "$DIR"/{mon,osd,rgw,run,log} || die "could not make $DIR"
    read -r PORT TLS_PORT MON_PORT < <(free_ports)
    PORT=${S3_PORT:-$PORT}
    FSID=$(cat /proc/sys/kernel/random/uuid)
    make_certificates
    write_conf
    local conf=(--conf "$DIR/ceph.conf")
    ${RUN}monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON_PORT/0]" "$DIR/monmap" >"$DIR/log/tools.log" 2>&1 || fail monmaptool
    # The monitor is seeded with a map that has the store already, so nothing must be created later.
    ${RUN}osdmaptool "${conf[@]}" --createsimple 1 --clobber "$DIR/osdmap" >>"$DIR/log/tools.log" 2>&1 || fail osdmaptool
    ${RUN}ceph-mon "${conf[@]}" -i a --mkfs --monmap "$DIR/monmap" --osdmap "$DIR/osdmap" >"$DIR/log/mon.out" 2>&1 || fail "mkfs of the monitor"
    setsid ${RUN}ceph-mon "${conf[@]}" -i a -f >>"$DIR/log/mon.out" 2>&1 </dev/null &
    echo $! >"$DIR/mon.pid"
    # It asks the monitor, and would wait for ever for one that has ended.
    timeout 60 ${RUN}ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)" >"$DIR/log/osd.out" 2>&1 ||
        fail "mkfs of the store: $(tail -3 "$DIR/log/osd.out") $(tail -3 "$DIR/log/mon.out")"
    setsid ${RUN}ceph-osd "${conf[@]}" -i 0 -f >>"$DIR/log/osd.out" 2>&1 </dev/null &
    echo $! >"$DIR/osd.pid"
    start_gateway
    ${RUN}radosgw-admin "${conf[@]}" user create --uid=test --display-name=test --access-key=TESTACCESSKEY0000001 \
        --secret-key=testSecretKey/0000000000000000000000001x --caps='roles=*' >"$DIR/user.json" 2>"$DIR/log/admin.log" ||
        fail "user create: $(tail -3 "$DIR/log/admin.log")"
    cat >"$DIR/env" <<EOE
export S3_TEST_ENDPOINT=http://127.0.0.1:$PORT
export S3_TEST_TLS_ENDPOINT=https://s3.localhost:$TLS_PORT
export S3_TEST_CA_FILE=$DIR/ca.pem
export AWS_ACCESS_KEY_ID=TESTACCESSKEY0000001
export AWS_SECRET_ACCESS_KEY=testSecretKey/0000000000000000000000001x
export AWS_DEFAULT_REGION=us-east-1
EOE
    printf '%s\n' "PORT=$PORT" "CEPH_ROOT=$CEPH_ROOT" >"$DIR/started"
}

[ -n "$DIR" ] || COMMAND=
case $COMMAND in
    fetch) fetch ;;
    start) start ;;
    stop)
        stop_all
        if [ -f "$DIR/ceph.conf" ]; then rm -rf "$DIR"; fi
        ;;
    admin)
        shift 2
        exec ${RUN}radosgw-admin --conf "$DIR/ceph.conf" "$@"
        ;;
    pause) kill -STOP "$(ours rgw)" ;;
    resume) kill -CONT "$(ours rgw)" ;;
    kill) kill -KILL "$(ours rgw)" ;;
    restart)
        stop_daemon rgw
        start_gateway
        ;;
    *)
        sed -n '2,11p' "$0"
        exit 2
        ;;
esac
