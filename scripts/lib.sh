#!/usr/bin/env bash
# A private PostgreSQL server for scripts: by its socket in a temporary folder alone, as an unprivileged user, gone
# without a trace afterwards. Source it; needs WORK (a folder) to be set. Backups go to BACKUPS, or below WORK.

PG_CONFIG=${PG_CONFIG:-pg_config}
PG_BIN=$("$PG_CONFIG" --bindir 2>/dev/null || true)
SERVER_USER=$(id -un)
if [ "$(id -u)" = 0 ]; then
    SERVER_USER=postgres
fi

# Runs a command as the server's user, without descriptor 9 (which tests use), with nothing of the caller's own connection settings.
as_server() {
    local clean=(env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGPASSWORD -u PGSERVICE -u PGOPTIONS
        -u DB_HOST -u DB_PORT -u DB_USER -u DB_NAME -u DB_PASSWORD -u DB_PASSWORD_FILE -u TZ
        "PGHOST=$WORK" "BACKUP_DIR=${BACKUPS:-$WORK/backups}" "PATH=$PG_BIN:$PATH")
    if [ "$(id -u)" = 0 ]; then
        runuser -u "$SERVER_USER" -- "${clean[@]}" "$@" 9>&-
    else
        "${clean[@]}" "$@" 9>&-
    fi
}

# server_start [postgresql.conf line...]
server_start() {
    chmod 0755 "$WORK"
    if [ "$(id -u)" = 0 ]; then
        chown "$SERVER_USER" "$WORK"
    fi
    [ -d "${BACKUPS:-$WORK/backups}" ] || as_server mkdir -m 0700 "$WORK/backups"
    as_server initdb -D "$WORK/data" -A trust -E UTF8 --locale=C.UTF-8 >"$WORK/initdb.log"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$WORK'"
        echo "shared_preload_libraries = 'immbackup'"
        echo "immbackup.schedule = ''"  # runs come when a script asks for them
        printf '%s\n' "$@"
    } | as_server tee -a "$WORK/data/postgresql.conf" >/dev/null
    as_server pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null
}

server_stop() {
    if [ -s "$WORK/data/postmaster.pid" ]; then
        as_server pg_ctl -D "$WORK/data" -m fast -w stop >/dev/null || true
    fi
}

# Removes the folder; sealed files give up their flags first.
remove_work() {
    server_stop
    chattr -R -f -i -a "$WORK" 2>/dev/null || true
    chmod -R -f u+w "$WORK" 2>/dev/null || true
    rm -rf "$WORK"
}

# A crash of a server process is a failure, whatever else went well.
no_crash() {
    # What the worker says of a job that was killed is no crash of the server.
    ! grep -aE 'TRAP:|PANIC:|was terminated by signal' "$WORK/server.log" | grep -vE '(WARNING|LOG):  immbackup (run|[a-z0-9_]+ job)|ERROR:  the immbackup job'
}
