#!/usr/bin/env bash
# The S3 library against a scripted server (test/s3/scenarios) and against real ones (radosgw 16.2, 20.2): uploads small and
# in parts, locks read back and mended, deletions refused to an independent client until the date, TLS, both addressing
# styles, session tokens, KMS, legal hold, a key that exists, a gateway that stops, dies and comes back.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-s3.XXXXXX")
PROBE=${S3_PROBE:-$ROOT/build/s3_probe}
. "$ROOT/test/lib/tap.sh"
finish() {
    "$ROOT/test/s3/ceph.sh" stop "$WORK/ceph"
    rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM
export HOME=$WORK AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE
export PYTHONDONTWRITEBYTECODE=1

# ---- what no real server does
SIGNED=0
while IFS= read -r line; do
    case $line in *" requests are signed whole, "*) SIGNED=$((SIGNED + 1)) ;; esac
    case $line in
        "ok - "*) TESTS=$((TESTS + 1)) && echo "ok $TESTS - ${line#ok - }" ;;
        "not ok - "*) TESTS=$((TESTS + 1)) FAILURES=$((FAILURES + 1)) && echo "not ok $TESTS - ${line#not ok - }" ;;
        *) echo "$line" ;;
    esac
done < <(python3 "$ROOT/test/s3/run_scenarios.py" "$PROBE" 2>&1; echo "$?" >"$WORK/scenarios")
# Also where it dies before its first check. Each scenario has its line about signatures.
ok "the scenarios came to their end" test "$(cat "$WORK/scenarios")" = 0
is "all of them" "$SIGNED" "$(find "$ROOT/test/s3/scenarios" -name '*.py' | wc -l)"

# ---- a real one
# Debian's own python3, whose boto3 is the package's.
boto() { /usr/bin/python3 "$ROOT/test/s3/boto.py" "$@"; }
probe() { "$PROBE" --bucket locked --endpoint "$S3_TEST_ENDPOINT" "$@"; }
# json EXPRESSION: of the last line that `run` got
run() { probe "$@" >"$WORK/out" 2>"$WORK/err"; }
json() { jq -r "$1" "$WORK/out"; }
deleted() { [ "$(boto delete "$@")" = 204 ]; }
admin() { "$ROOT/test/s3/ceph.sh" admin "$WORK/ceph" "$@" >/dev/null 2>&1; }

# Everything, against one version of it. What differs: how an upload in parts comes to its lock, and whether the store
# keeps checksums.
real_server() {  # NAME LARGE_HOW CONTENT
    local NAME=$1 LARGE_HOW=$2 CONTENT=$3 mode kind how command key version status fault upload
    ok "$NAME starts" "$ROOT/test/s3/ceph.sh" start "$WORK/ceph"
    [ -f "$WORK/ceph/env" ] || return
    . "$WORK/ceph/env"
    ok "a bucket with Object Lock" boto bucket locked locked
    ok "and one without" boto bucket plain
    head -c 1000 /dev/urandom >"$WORK/small"
    head -c 17000000 /dev/urandom >"$WORK/large"

    for mode in COMPLIANCE GOVERNANCE; do
        for kind in small large; do
            how=written command=put key=backups/$mode/$kind.sql.gz
            if [ $kind = large ]; then how=$LARGE_HOW command=upload; fi
            ok "$mode, $kind: sent" run $command "$key" "$WORK/$kind" --mode $mode --lock-seconds 3600 --grow 30
            is "$mode, $kind: locked, as read back" "$(json '.state + " " + .mode + " " + .how + " " + .content')" "locked $mode $how $CONTENT"
            version=$(json .version_id)
            is "$mode, $kind: boto sees the same lock" "$(boto retention locked $key "$version")" "$mode $(json .until)"
            is "$mode, $kind: boto reads the same bytes" "$(boto sha256 locked $key "$version")" "$(sha256sum <"$WORK/$kind" | cut -d' ' -f1)"
            is "$mode, $kind: boto may not delete it" "$(boto delete locked $key "$version")" AccessDenied
            [ $mode = GOVERNANCE ] || is "$mode, $kind: not by bypass either" "$(boto delete locked $key "$version" bypass)" AccessDenied
            ok "$mode, $kind: with a short lock" run $command "$key.short" "$WORK/$kind" --mode $mode --lock-seconds 2
            version=$(json .version_id)
            ok "$mode, $kind: it can be deleted after the date" until_true 60 deleted locked "$key.short" "$version"
            ok "$mode, $kind: read back by ourselves" run get "$key" "$WORK/back"
            ok "$mode, $kind: the same bytes" cmp "$WORK/$kind" "$WORK/back"
        done
    done

    run put extended "$WORK/small" --lock-seconds 3600
    version=$(json .version_id)
    ok "a lock is extended" run extend extended "$version" --lock-seconds 7200
    is "and proven again" "$(json '.state + " " + .how')" "locked added"
    UNTIL=$(json .until)
    ok "asked for less" run extend extended "$version" --lock-seconds 60
    is "it is never shortened" "$(json '.state + " " + .how') $(boto retention locked extended "$version")" "locked written COMPLIANCE $UNTIL"

    ok "legal hold alone" run put held "$WORK/small" --mode none --hold
    is "is seen" "$(json .legal_hold)" true
    version=$(json .version_id)
    is "and refuses deletion" "$(boto delete locked held "$version")" AccessDenied
    ok "until it is released" run hold held "$version"
    ok "and then not" deleted locked held "$version"

    ok "a large one on hold, whose header is ignored" run upload held-large "$WORK/large" --mode none --hold
    is "is held after all" "$(json .legal_hold)" true
    is "and refuses deletion" "$(boto delete locked held-large "$(json .version_id)")" AccessDenied

    is "the same small object is adopted" "$(probe decide backups/COMPLIANCE/small .sql.gz "$WORK/small" | jq -r .action)" adopt
    is "the same large one, too" "$(probe decide backups/COMPLIANCE/large .sql.gz "$WORK/large" | jq -r .action)" adopt
    is "another is not overwritten" "$(probe decide backups/COMPLIANCE/small .sql.gz "$WORK/large" | jq -r '.action + " " + .key' | sed -E 's/~[0-9a-f]{8}/~N/')" "rename backups/COMPLIANCE/small~N.sql.gz"

    ok "an upload is given up" run upload given-up "$WORK/large" --give-up
    is "and nothing is left of it" "$(boto uploads locked)" 0

    ok "TLS by a private CA, virtual-host style" run upload tls/virtual "$WORK/large" --endpoint "$S3_TEST_TLS_ENDPOINT" \
        --ca-file "$S3_TEST_CA_FILE" --addressing virtual --lock-seconds 60
    is "locked" "$(json .state)" locked
    ok "TLS, path style" run put tls/path "$WORK/small" --endpoint "$S3_TEST_TLS_ENDPOINT" --ca-file "$S3_TEST_CA_FILE" --addressing path --lock-seconds 60
    is "locked" "$(json .state)" locked
    fails "another CA's certificate is refused" 12 'certificate' probe list --endpoint "$S3_TEST_TLS_ENDPOINT" --deadline 1

    ok "KMS" run upload kms "$WORK/large" --kms testkey-1 --lock-seconds 60 --read-back
    is "reads back, locked" "$(json '.state + " " + .read_back')" "locked $(sha256sum <"$WORK/large" | cut -d' ' -f1)"
    ok "an unknown KMS key fails" bash -c "! '$PROBE' --bucket locked --endpoint '$S3_TEST_ENDPOINT' put no-key '$WORK/small' --kms unknown"
    admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class COLD
    admin zone placement add --rgw-zone default --placement-id default-placement --storage-class COLD --data-pool default.rgw.cold.data
    "$ROOT/test/s3/ceph.sh" restart "$WORK/ceph"
    ok "a storage class" run upload cold "$WORK/large" --storage-class COLD --lock-seconds 60 --read-back
    is "reads back, locked" "$(json '.state + " " + .read_back')" "locked $(sha256sum <"$WORK/large" | cut -d' ' -f1)"
    is "by the eyes of another client" "$(boto storage-class locked cold "$(json .version_id)")" COLD
    fails "an unknown one fails" 1 '400 InvalidArgument' probe put no-class "$WORK/small" --storage-class NOSUCH

    fails "a wrong secret" 25 '403 (SignatureDoesNotMatch|AccessDenied)' env AWS_SECRET_ACCESS_KEY=wrongSecret0000 "$PROBE" --bucket locked --endpoint "$S3_TEST_ENDPOINT" list
    fails "an unknown key" 25 '403 (InvalidAccessKeyId|AccessDenied)' env AWS_ACCESS_KEY_ID=NOBODY "$PROBE" --bucket locked --endpoint "$S3_TEST_ENDPOINT" list
    fails "no such bucket" 18 '404 NoSuchBucket' "$PROBE" --bucket nowhere --endpoint "$S3_TEST_ENDPOINT" list
    fails "no server" 12 "onnect" "$PROBE" --bucket nowhere --endpoint http://127.0.0.1:9 list --deadline 1

    ok "preflight" run preflight --depth lock
    is "all that is required is there" "$(json .usable)" true
    is "a locked probe cannot be deleted" "$(json '."lock refuses deletion"')" "yes: 403 AccessDenied"
    is "having the right to delete is a finding" "$(json '."right to delete versions"' | cut -c1-4)" 'yes!'
    ok "preflight of a bucket without locks" bash -c "'$PROBE' --bucket plain --endpoint '$S3_TEST_ENDPOINT' preflight >'$WORK/out'"
    is "is not usable, for every reason" "$(json .usable)" "S3 cannot be used: versioning: no (never enabled); object lock: no (the bucket has no object lock)"
    run put in-plain "$WORK/small" --bucket plain --lock-seconds 60
    ok "an upload under lock is refused there" grep -q '400 InvalidRequest' "$WORK/err"

    # ---- a role, by STS
    ok "a role" admin role create --role-name=backup --assume-role-policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/test"]},"Action":["sts:AssumeRole"]}]}'
    ok "with rights" admin role-policy put --role-name=backup --policy-name=all --policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}'
    mkdir -p "$WORK/.aws"
    cat >"$WORK/.aws/config" <<EOC
[profile backup]
role_arn = arn:aws:iam:::role/backup
source_profile = keys
EOC
    cat >"$WORK/.aws/credentials" <<EOC
[keys]
aws_access_key_id = $AWS_ACCESS_KEY_ID
aws_secret_access_key = $AWS_SECRET_ACCESS_KEY
EOC
    by_role() { env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_PROFILE=backup AWS_ENDPOINT_URL_STS="$S3_TEST_ENDPOINT" "$PROBE" --bucket locked --endpoint "$S3_TEST_ENDPOINT" "$@"; }
    is "keys come from STS" "$(by_role who | jq -r .source)" 'STS (role "arn:aws:iam:::role/backup")'
    ok "an upload with a session token" bash -c "$(declare -f by_role); $(declare -p PROBE S3_TEST_ENDPOINT); by_role upload by-role '$WORK/large' --lock-seconds 60 >'$WORK/out'"
    is "is locked" "$(json .state)" locked
    fails "a broken token" 25 '403' env AWS_SESSION_TOKEN=broken "$PROBE" --bucket locked --endpoint "$S3_TEST_ENDPOINT" list

    # ---- faults of the gateway while an upload goes on
    began() { grep -q '^began' "$WORK/err.$1"; }
    for fault in kill pause; do
        probe upload fault/$fault "$WORK/large" --bandwidth 8000000 --stall-timeout 2 --deadline 60 --lock-seconds 3600 >"$WORK/out" 2>"$WORK/err.$fault" &
        upload=$!
        ok "$fault: an upload goes on" until_true 30 began $fault
        "$ROOT/test/s3/ceph.sh" $fault "$WORK/ceph"
        if [ $fault = kill ]; then "$ROOT/test/s3/ceph.sh" restart "$WORK/ceph"; else
            sleep 3
            "$ROOT/test/s3/ceph.sh" resume "$WORK/ceph"
        fi
        status=0
        wait $upload || status=$?
        is "$fault: and ends well" "$status $(grep error "$WORK/err.$fault")" '0 '
        is "$fault: locked" "$(json .state)" locked
        is "$fault: whole" "$(boto sha256 locked fault/$fault "$(json .version_id)")" "$(sha256sum <"$WORK/large" | cut -d' ' -f1)"
        is "$fault: once" "$(boto versions locked fault/$fault)" 1
    done
    is "no upload is left" "$(boto uploads locked)" 0
    ok "no secret in what was said" bash -c "! grep -rqF '$AWS_SECRET_ACCESS_KEY' '$WORK/out' '$WORK'/err*"
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    "$ROOT/test/s3/ceph.sh" stop "$WORK/ceph"
}

real_server "radosgw $(radosgw --version | cut -d' ' -f3)" added etag
# A rolling suite: where it cannot be had, nothing is said of it.
NEWER=${CEPH_NEWER:-$WORK/newer}
if "$ROOT/test/s3/ceph.sh" fetch "$NEWER" >"$WORK/fetch.log" 2>&1; then
    export CEPH_ROOT=$NEWER
    real_server "radosgw $(cut -d' ' -f3 "$WORK/fetch.log" | tail -1)" written checksum
else
    echo "# no newer radosgw: $(tail -1 "$WORK/fetch.log")"
fi
done_testing
