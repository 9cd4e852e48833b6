# shellcheck shell=bash disable=SC2034
# What the programs of the image share. To be sourced.
#
# The container's environment is the configuration. What the entrypoint makes of it beyond that (a default of this shape,
# a secret that it had to copy) is noted in $RUNTIME/environment, a line of VARIABLE, given and effective value each, so that a
# program that is started later by `docker exec`, with the environment as it was given, comes to the same.

# Memory in every container, also where the root file system is read-only.
RUNTIME=/dev/shm/immbackup
# The disposable cluster of the sidecar: in the container's own layer, or wherever is mounted over it.
CLUSTER=/run/immbackup/cluster
SOCKETS=/var/run/postgresql
SERVICE_USER=postgres
# The vault's user, its configuration and the socket of its service.
VAULT_USER=immvault
VAULT=/run/immbackup-vault
# Files whose paths are in the environment, and that only root may be able to read.
SECRET_VARIABLES=(DB_PASSWORD_FILE AWS_SHARED_CREDENTIALS_FILE AWS_CONFIG_FILE AWS_WEB_IDENTITY_TOKEN_FILE
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE S3_CA_FILE)

say() { printf 'immbackup: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as the service user, without any capability; where this already is another user, as that.
as_service() {
    if is_root; then
        setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --init-groups --inh-caps=-all -- env HOME=/var/lib/postgresql "$@"
    else
        "$@"
    fi
}
exec_service() {
    if is_root; then
        exec setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --init-groups --inh-caps=-all -- \
            env HOME=/var/lib/postgresql USER="$SERVICE_USER" "$@"
    fi
    exec "$@"
}

# note VARIABLE EFFECTIVE: from now on, here and in programs that are started later.
note() {
    printf '%s\037%s\037%s\n' "$1" "${!1:-}" "$2" >>"$RUNTIME/environment"
    export "$1=$2"
}

# Takes over what was noted, where the variable is what it was then.
apply_notes() {
    local variable given effective owner
    owner=$(stat -c %u "$RUNTIME/environment" 2>/dev/null) || return 0
    # Another container of the same pod may share this memory.
    [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ] || return 0
    while IFS=$'\037' read -r variable given effective; do
        [ "${!variable:-}" != "$given" ] || export "$variable=$effective"
    done <"$RUNTIME/environment"
}
