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
SECRET_VARIABLES=(DB_PASSWORD_FILE AWS_SHARED_CREDENTIALS_FILE AWS_CONFIG_FILE S3_CA_FILE)
# The same, but whoever writes them does so again within the hour: a copy would soon be worth nothing.
TOKEN_VARIABLES=(AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)
# Why backups cannot be taken, as fail() was told.
PROBLEM=

say() { printf 'immbackup: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
fail() {
    PROBLEM=$*
    return 1
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

# Made anew at each start: what was noted for the last one is past.
make_runtime() {
    if [ -e "$RUNTIME" ] || [ -L "$RUNTIME" ]; then
        is_runtime_ours || fail "$RUNTIME belongs to somebody else" || return
        rm -rf "$RUNTIME" || fail "$RUNTIME of the last start cannot be removed" || return
    fi
    mkdir -m 0755 "$RUNTIME" && : >"$RUNTIME/environment" || fail "$RUNTIME cannot be made" || return
    if is_root; then
        install -d -m 0700 -o "$SERVICE_USER" -g "$SERVICE_USER" "$RUNTIME/secrets" ||
            fail "$RUNTIME/secrets cannot be made (capability CHOWN)"
    fi
}
# Another container of the same pod may share this memory.
is_runtime_ours() { [ -d "$RUNTIME" ] && [ -O "$RUNTIME" ] && ! [ -L "$RUNTIME" ]; }
is_runtime_trusted() { is_runtime_ours || [ "$(stat -c %u "$RUNTIME" 2>/dev/null)" = 0 ]; }

# Compose mounts secrets with the modes that the files have on the host. What the service user may not read is copied, to
# memory, for it alone.
take_secrets() {
    local variable file copy
    is_root || return 0
    for variable in "${SECRET_VARIABLES[@]}" "${TOKEN_VARIABLES[@]}"; do
        file=${!variable:-}
        if [ -z "$file" ] || ! [ -f "$file" ] || as_service test -r "$file"; then continue; fi
        case " ${TOKEN_VARIABLES[*]} " in *" $variable "*)
            say "error: $variable names \"$file\", which $SERVICE_USER cannot read, and which is not copied, since it is replaced" \
                "again and again. Nothing can be uploaded with it. Make it readable for user or group $(id -u "$SERVICE_USER")" \
                "(Kubernetes: fsGroup: $(id -g "$SERVICE_USER") in the pod's securityContext)"
            continue ;;
        esac
        copy=$RUNTIME/secrets/$variable
        # The file is the service user's before there is anything in it.
        if install -m 0400 -o "$SERVICE_USER" -g "$SERVICE_USER" /dev/null "$copy" && cat "$file" >"$copy"; then
            note "$variable" "$copy"
        else
            rm -f "$copy"
            say "$variable names \"$file\", which neither root here (capability DAC_OVERRIDE) nor $SERVICE_USER can read"
        fi
    done
}

# What a sidecar's variables are where they are not given.
sidecar_environment() {
    # Where the seed of all compose files has the database, and its secret.
    [ -n "${DB_HOST:-}" ] || note DB_HOST db
    if [ -z "${DB_PASSWORD_FILE:-}" ] && [ -e /run/secrets/db_password ]; then
        note DB_PASSWORD_FILE /run/secrets/db_password
    fi
    forget_libpq_variables
}
# Ours are DB_*; of these, libpq would take what is not set there.
forget_libpq_variables() { unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGSERVICE PGPASSFILE PGOPTIONS; }

# note VARIABLE EFFECTIVE: from now on, here and in programs that are started later.
note() {
    printf '%s\037%s\037%s\n' "$1" "${!1:-}" "$2" >>"$RUNTIME/environment"
    export "$1=$2"
}

# Takes over what was noted, where the variable is what it was then.
apply_notes() {
    local variable given effective
    is_runtime_trusted && [ -f "$RUNTIME/environment" ] || return 0
    while IFS=$'\037' read -r variable given effective; do
        [ "${!variable:-}" != "$given" ] || export "$variable=$effective"
    done <"$RUNTIME/environment"
}
