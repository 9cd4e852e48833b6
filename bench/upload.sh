#!/usr/bin/env bash
# What uploading costs, against a local radosgw that shares the machine: a run with an upload against one without, in
# pairs; and an upload alone against rclone, s3cmd and awscli, those of them that are there, with the same file. Prints
# each figure and the medians. Needs immbackup installed, and Debian's rclone and s3cmd for the comparison.
#
#   bench/upload.sh [ROWS [PAIRS]]     10 million rows are about 1.1 GB of SQL
set -euo pipefail
cd "$(dirname "$0")/.."
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-bench.XXXXXX")
. scripts/lib.sh
CEPH=$PWD/test/s3/ceph.sh
finish() {
    "$CEPH" stop "$WORK/ceph" >/dev/null 2>&1 || true
    remove_work
}
trap finish EXIT
rows=${1:-10000000} pairs=${2:-5}

"$CEPH" start "$WORK/ceph" >/dev/null
. "$WORK/ceph/env"
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE
export DB_HOST=$WORK "PATH=$PG_BIN:$PATH"
export AWS_EC2_METADATA_DISABLED=true BACKUP_MIN_FREE=0 BACKUP_GLOBALS=off S3_OBJECT_LOCK_DAYS=1 S3_RETRY_TIMEOUT=1
boto() { HOME=$WORK /usr/bin/python3 test/s3/boto.py "$@"; }
boto bucket locked locked
boto bucket plain
server_start >/dev/null
q() { as_server psql -XAtqd postgres -c "$1"; }
q 'CREATE DATABASE bench'
as_server psql -Xqd bench -c "CREATE TABLE events AS SELECT g AS id, now() + g * interval '1 second' AS at, md5(g::text) AS token,
    'customer ' || g % 5000 || ' ordered ' || g % 17 || ' of article ' || g % 900 AS what FROM generate_series(1, $rows) AS g"
chmod 0755 "$WORK"

# timed NAME COMMAND...: "<seconds> <largest resident KiB of a process>" goes to NAME
timed() {
    local name=$1
    shift
    /usr/bin/time -a -o "$WORK/$name" -f '%e %M' "$@" >/dev/null
    tail -1 "$WORK/$name" | sed "s/^/$name  /"
}
median() { cut -d' ' -f1 "$WORK/$1" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
new_directory() { install -d -o "$SERVER_USER" -m 0700 "$1"; }
backup() {  # NAME DIRECTORY [VARIABLE=VALUE...]
    local name=$1 directory=$2
    shift 2
    new_directory "$directory"
    timed "$name" runuser -u "$SERVER_USER" -- env "BACKUP_DIR=$directory" "S3_PREFIX=$(basename "$directory")" "$@" \
        immbackup backup --database bench --quiet
}

printf '%s rows, %s cores\n' "$rows" "$(nproc)"
for n in $(seq "$pairs"); do
    backup without "$WORK/without-$n"
    backup with "$WORK/with-$n" S3_BUCKET=locked "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" S3_REQUIRED=true
done
file=$(ls "$WORK"/with-1/active/*.sql.gz)
printf 'artifact %s MB; run with upload / without: %s\n' "$(($(stat -c %s "$file") / 1000000))" \
    "$(echo "$(median with) $(median without)" | awk '{printf "%.2f", $1 / $2}')"
printf 'largest process of a run with upload: %s MiB\n' "$(cut -d' ' -f2 "$WORK/with" | sort -n | tail -1 | awk '{print int($1 / 1024)}')"

cp "$file" "$WORK/file"
host=${S3_TEST_ENDPOINT#http://}
for n in $(seq "$pairs"); do
    # One that could not reach the store is pending; then it is uploaded by itself.
    backup pending "$WORK/pending-$n" S3_BUCKET=locked S3_ENDPOINT_URL=http://127.0.0.1:9 >/dev/null 2>&1
    timed upload runuser -u "$SERVER_USER" -- env "BACKUP_DIR=$WORK/pending-$n" "S3_PREFIX=pending-$n" S3_BUCKET=locked \
        "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" immbackup upload --quiet
    if command -v rclone >/dev/null; then
        timed rclone rclone --config /dev/null --s3-provider Ceph --s3-env-auth --s3-endpoint "$S3_TEST_ENDPOINT" \
            --s3-no-check-bucket copyto "$WORK/file" ":s3:plain/rclone-$n"
    fi
    if command -v s3cmd >/dev/null; then
        timed s3cmd s3cmd --config /dev/null --no-ssl --host "$host" --host-bucket "$host/%(bucket)" \
            --access_key "$AWS_ACCESS_KEY_ID" --secret_key "$AWS_SECRET_ACCESS_KEY" put "$WORK/file" "s3://plain/s3cmd-$n"
    fi
    if command -v aws >/dev/null; then
        timed awscli aws --endpoint-url "$S3_TEST_ENDPOINT" s3 cp "$WORK/file" "s3://plain/awscli-$n" --only-show-errors
    fi
done
for name in upload rclone s3cmd awscli; do
    [ ! -f "$WORK/$name" ] || printf '%-7s %s s\n' "$name" "$(median $name)"
done
