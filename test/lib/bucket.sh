#!/usr/bin/env bash
# A real S3 server (test/s3/ceph.sh, in $WORK/ceph) for tests of uploads, and an independent client of it. Source it after
# test/lib/tap.sh, with ROOT, WORK and B (the backup directory) set.

# shellcheck disable=SC2034  # used by those who source this file
CEPH=$ROOT/test/s3/ceph.sh
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE
export AWS_EC2_METADATA_DISABLED=true PYTHONDONTWRITEBYTECODE=1

# Once the server is started. Credentials come by a file that only the PostgreSQL server's user can read; the client alone
# has them in its environment.
bucket_setup() {
    . "$WORK/ceph/env"
    mkdir "$WORK/home"
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$WORK/home/credentials"
    chmod 0755 "$WORK" "$WORK/home"
    [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/home/credentials"
    chmod 0400 "$WORK/home/credentials"
    export AWS_SHARED_CREDENTIALS_FILE=$WORK/home/credentials AWS_CONFIG_FILE=/dev/null
    SECRET=$AWS_SECRET_ACCESS_KEY KEY_ID=$AWS_ACCESS_KEY_ID
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
}
client() { AWS_ACCESS_KEY_ID=$KEY_ID AWS_SECRET_ACCESS_KEY=$SECRET HOME=$WORK /usr/bin/python3 "$ROOT/test/s3/boto.py" "$@"; }
cli() { as_server env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY "$@"; }
s3() { cli env S3_BUCKET=locked "S3_ENDPOINT_URL=$S3_TEST_ENDPOINT" "$@"; }
log() { jq -r "$1" "$B/logs/backup_audit.jsonl"; }
events() { log "select(.event == \"$1\") | .event" | wc -l; }
artifact() { q "SELECT max(artifact) FROM immbackup.artifacts WHERE database = 'shop'"; }
upload_state() { q "SELECT upload FROM immbackup.artifacts WHERE artifact = '$1'"; }
# object STEM FILE_SUFFIX: "key version" by the record
object() { jq -r --arg a "$1" --arg f "$1$2" 'select(.event == "object_uploaded" and .body.artifact == $a and .body.file == $f) | .body.key + " " + .body.version_id' "$B/logs/backup_audit.jsonl" | tail -1; }
set_option() {  # NAME VALUE: and waits until it counts
    q "ALTER SYSTEM SET immbackup.$1 = '$2'" && q 'SELECT pg_reload_conf()' >/dev/null && until_true 10 has_option "$1" "$2"
}
has_option() { [ "$(q "SHOW immbackup.$1")" = "$2" ]; }
own_directory() { mkdir "$1" && { [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$1"; }; }
