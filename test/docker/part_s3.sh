#!/usr/bin/env bash
# The sidecar with a bucket that has Object Lock: docker/docker-compose.tryout.yml. Sourced by test/shell/docker.sh.

cat >"$WORK/s3.yml" <<EOC
services:
  db:
    image: $IMAGE
    command: ["postgres"]
  s3:
    image: $IMAGE-s3
  backup:
    image: $IMAGE
    environment:
      BACKUP_SCHEDULE: "0 0 1 1 *"
secrets:
  db_password:
    file: $WORK/secrets/db_password.txt
EOC
project s3 docker-compose.yml docker-compose.tryout.yml "$WORK/s3.yml"
S3_SECRET=$(sed -n 's/^aws_secret_access_key = //p' "$ROOT/docker/s3/credentials")

ok "an image of an S3 server with Object Lock" docker build --quiet --network host -t "$IMAGE-s3" -f "$ROOT/docker/s3/Dockerfile" \
    --build-arg "S3_BASE_IMAGE=$BASE" "$ROOT"
ok "database, S3 server, sidecar" compose up -d
until_true 60 worker_ready
until_true 60 db_up
db_sql 'CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 10000) AS g' >/dev/null
fails "the bucket is as it must be; the keys of this server may do more than they should" 1 'lock refuses deletion +yes' immbackup check --s3 --probe
ok "run_now()" worker_sql 'SELECT immbackup.run_now()'
ARTIFACT=$(worker_sql 'SELECT max(artifact) FROM immbackup.artifacts')
is "the artifact is locked, as read back from the store" "$(worker_sql "SELECT upload, lock_mode, locked_until > now() + interval '23 hours' FROM immbackup.artifacts WHERE artifact = '$ARTIFACT'")" "locked|COMPLIANCE|t"
ok "a restore from the bucket alone" exec_in -e BACKUP_DIR=/nowhere backup immbackup restore --latest app --to app_from_bucket --from s3://backups/backups
is "its rows" "$(db_sql 'SELECT count(*), md5(string_agg(t::text, $$ $$ ORDER BY g)) FROM t' app_from_bucket)" "$(db_sql 'SELECT count(*), md5(string_agg(t::text, $$ $$ ORDER BY g)) FROM t')"
fails "a bucket without Object Lock is refused" 2 'lock' immbackup check --s3 --s3-bucket without-lock
SCAN_FOR=$S3_SECRET ok "the store's key shows neither in docker inspect" no_secret_in '"Env":' docker inspect "$(container backup)"
SCAN_FOR=$S3_SECRET ok "nor in a log" no_secret_in 'is ready' compose logs backup
SCAN_FOR=$S3_SECRET ok "nor in a command line" no_secret_in postgres docker top "$(container backup)" -eo pid,args
end_project "$PROJECT"
