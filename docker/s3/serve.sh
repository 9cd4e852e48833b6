#!/usr/bin/env bash
# Starts the server, makes bucket $S3_BUCKET with Object Lock, and stays.
set -euo pipefail
ceph() { bash /usr/local/bin/ceph.sh "$@"; }
rm -rf /tmp/s3.ready /tmp/s3
trap 'ceph stop /tmp/s3; exit 0' TERM INT
S3_LISTEN=0.0.0.0 S3_PORT=8000 S3_NAME=${S3_NAME:-s3} ceph start /tmp/s3
. /tmp/s3/env
make_bucket() { python3 /usr/local/bin/make_bucket.py http://127.0.0.1:8000 "$@"; }
make_bucket "${S3_BUCKET:-backups}" lock
# One that immbackup refuses.
make_bucket without-lock
touch /tmp/s3.ready
echo "bucket \"${S3_BUCKET:-backups}\" with Object Lock is ready"
sleep infinity &
wait $!
