#!/usr/bin/env bash
# What a backup costs, beside pg_dump into nothing, into gzip, igzip, zstd, and pg_dump -Fc: interleaved rounds on one
# database, each in another order, medians of the rounds and of the ratios within a round. All settings but the compression
# are the default ones. Needs immbackup installed, igzip, zstd and pgbench.
#
#   bench/run.sh [SCALE [ROUNDS [PART...]]]     SCALE 130 makes 1.2 GB of dump; PARTs: dumps memory text verify pgbench views, and
#                                               spare, which needs root and control groups of version 1
set -euo pipefail
cd "$(dirname "$0")/.."
scale=${1:-130} rounds=${2:-5}
shift $(($# > 2 ? 2 : $#))
parts=" ${*:-dumps memory text verify pgbench views} "
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-bench.XXXXXX")
. scripts/lib.sh
trap remove_work EXIT

sql() { as_server psql -XAtq -v ON_ERROR_STOP=1 -d shop "$@"; }
# Processor seconds of the whole machine: server, pg_dump and what reads it alike.
busy() { awk '/^cpu /{print ($2 + $3 + $4 + $7 + $8) / 100; exit}' /proc/stat; }
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

make_database() {
    server_start "immbackup.min_free = 0" "max_wal_size = 4GB" "immbackup.databases = 'shop'" >/dev/null
    as_server createdb shop
    sql -v scale="$scale" -f bench/data.sql
    find /usr/include /usr/lib/python3* /usr/share/perl /usr/share/perl5 /usr/share/doc -type f -size -4096k \
        \( -name '*.h' -o -name '*.hpp' -o -name '*.py' -o -name '*.p[lmo]d' -o -name '*.pm' -o -name '*.html' -o -name '*.txt' \
        -o -name '*.inc' -o -name copyright \) | sort | perl bench/documents.pl | sql -c 'COPY documents (path, body) FROM stdin'
    sql -c 'CREATE EXTENSION immbackup' -c 'VACUUM FREEZE ANALYZE' -c CHECKPOINT
    until [ "$(sql -c 'SELECT worker_state FROM immbackup.status')" = ready ]; do sleep 0.1; done
}

set_compression() {
    sql -c "ALTER SYSTEM SET immbackup.compression = '$1'" -c 'SELECT pg_reload_conf()' >/dev/null
    sleep 0.3
}

# measure NAME COMMAND...: appends "seconds processor-seconds" to a file.
measure() {
    local name=$1 from cpu
    shift
    from=$(date +%s.%N) cpu=$(busy)
    "$@"
    echo "$(date +%s.%N) $from $(busy) $cpu" | awk '{printf "%.3f %.3f\n", $1 - $2, $3 - $4}' >>"$WORK/result.$name"
}

# What is written goes to a file, and to the disk, as a backup does; "null" apart.
dump_to() { as_server bash -c "set -o pipefail; pg_dump shop | $1 >'$WORK/out/$2' && sync '$WORK/out/$2'"; }
take() {
    case $1 in
        null) as_server bash -c 'pg_dump shop >/dev/null' ;;
        gzip-6) dump_to 'gzip -6' gzip-6 ;;
        gzip-1) dump_to 'gzip -1' gzip-1 ;;
        igzip-1) dump_to 'igzip -1 -c' igzip-1 ;;
        zstd-3) dump_to 'zstd -3 -c -q' zstd-3 ;;
        custom) as_server bash -c "pg_dump -Fc -f '$WORK/out/custom' shop && sync '$WORK/out/custom'" ;;
        immbackup*) sql -c 'SELECT immbackup.run_now()' >/dev/null ;;
    esac
}

dumps() {
    local round kind kinds=(null "immbackup-$default" igzip-1 immbackup-gzip:3 immbackup-zstd:3 zstd-3)
    as_server mkdir -p "$WORK/out"
    take null  # so that the first of the first round finds the tables in memory, too
    for ((round = 0; round < rounds; ++round)); do
        for kind in $(rotated "$round" "${kinds[@]}"); do
            case $kind in immbackup-*) set_compression "${kind#immbackup-}" ;; esac
            measure "$kind" take "$kind"
        done
        # The slow ones need fewer rounds to be told apart.
        if ((round < 3)); then
            for kind in gzip-1 gzip-6 custom; do measure "$kind" take "$kind"; done
        fi
    done
    printf '\n%-18s %9s %9s %12s %16s %9s\n' 'of pg_dump' 'seconds' 'cpu s' 'x /dev/null' '(least - most)' 'MB'
    for kind in "${kinds[@]}" gzip-1 gzip-6 custom; do row "$kind"; done
    printf 'SQL: %s MB\n' "$(sql -c 'SELECT round(max(sql_size) / 1e6, 1) FROM immbackup.artifacts')"
    printf 'immbackup-%s / igzip-1: %.2f; gzip-6 / immbackup-%s: %.2f\n' "$default" "$(ratios "immbackup-$default" igzip-1 | median)" \
        "$default" "$(ratios gzip-6 "immbackup-$default" | median)"
}
# rotated N WORD...: the words, begun with the N-th
rotated() {
    local by=$(($1 % ($# - 1)))
    shift
    echo "${@:by + 1}" "${@:1:by}"
}
# ratios A B: of their seconds, round by round
ratios() { paste -d' ' "$WORK/result.$1" "$WORK/result.$2" | awk 'NF == 4 {print $1 / $3}'; }
row() {
    printf '%-18s %9.2f %9.2f %12.2f %16s %9s\n' "$1" "$(cut -d' ' -f1 "$WORK/result.$1" | median)" "$(cut -d' ' -f2 "$WORK/result.$1" | median)" \
        "$(ratios "$1" null | median)" "$(ratios "$1" null | sort -n | awk 'NR == 1 {a = $1} END {printf "(%.2f - %.2f)", a, $1}')" "$(size_of "$1")"
}

size_of() {
    case $1 in
        null) echo '' ;;
        immbackup-*) jq -r --arg c "${1#immbackup-}" --arg d "${2:-shop}" 'select(.compression == $c and .database.name == $d) | .size / 1e6' \
            "$WORK"/backups/active/*.manifest.json | tail -1 | awk '{printf "%.1f", $1}' ;;
        *) stat -c %s "$WORK/out/$1" | awk '{printf "%.1f", $1 / 1e6}' ;;
    esac
}

# The most that a job ever had resident, on the whole database: VmHWM only grows, so the last look is the largest.
memory() {
    local kind
    printf '\n'
    for kind in "$default" gzip:6 zstd:3 zstd:9; do
        set_compression "$kind"
        sql -c 'SELECT immbackup.run_now()' >/dev/null &
        while kill -0 $! 2>/dev/null; do
            pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job' | while read -r pid; do
                sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null || true
            done >>"$WORK/memory.$kind" || true
            sleep 0.1
        done
        printf 'resident at most, %s: %.1f MB\n' "$kind" "$(sort -n "$WORK/memory.$kind" | awk 'END {print $1 / 1000}')"
    done
}

# What each makes of text alone.
text() {
    as_server createdb texts
    as_server bash -c 'pg_dump -t documents shop | psql -XAtq texts' >/dev/null
    sql -c "ALTER SYSTEM SET immbackup.databases = 'texts'" -c 'SELECT pg_reload_conf()' >/dev/null
    printf '\n%-18s %9s\n' 'of text' 'MB'
    for program in 'gzip -1' 'gzip -6' 'igzip -1 -c' 'zstd -3 -c -q'; do
        printf '%-18s %9.1f\n' "$program" "$(as_server bash -c "pg_dump texts | $program" | wc -c | awk '{print $1 / 1e6}')"
    done
    for kind in gzip:1 gzip:2 gzip:3 gzip:6 zstd:3; do
        set_compression "$kind"
        sql -c 'SELECT immbackup.run_now()' >/dev/null
        printf '%-18s %9s\n' "immbackup-$kind" "$(size_of "immbackup-$kind" texts)"
    done
    sql -c 'ALTER SYSTEM SET immbackup.databases = shop' -c 'SELECT pg_reload_conf()' >/dev/null
}

# verify against the tools that do as much.
verify() {
    local stem file round
    set_compression "$default"
    sql -c 'SELECT immbackup.run_now()' >/dev/null
    file=$(ls "$WORK"/backups/active/*.sql.gz | tail -1) stem=$(basename "$file" .sql.gz)
    for ((round = 0; round < rounds; ++round)); do
        measure verify as_server immbackup verify "$stem" >/dev/null
        # Verify reads from the device: so shall this.
        as_server dd "if=$file" iflag=nocache count=0 status=none
        measure igzip-sha256 as_server bash -c "igzip -d -c '$file' | sha256sum >/dev/null"
    done
    printf '\nverify %.2f s, igzip -d | sha256sum %.2f s: %.2f of its speed\n' "$(cut -d' ' -f1 "$WORK/result.verify" | median)" \
        "$(cut -d' ' -f1 "$WORK/result.igzip-sha256" | median)" \
        "$(paste -d' ' "$WORK/result.verify" "$WORK/result.igzip-sha256" | awk '{print $3 / $1}' | median)"
}

# As where there are more cores than are needed: the server alone is held to half of one, and the job always finds another.
spare() {
    local round kind mover group=/sys/fs/cgroup/cpu/immbackup-bench
    if ! mkdir "$group"; then
        echo "no control group can be made: the part 'spare' is left out" >&2
        return
    fi
    echo 5000 >"$group/cpu.cfs_period_us"
    echo 2500 >"$group/cpu.cfs_quota_us"
    for pid in $(pgrep -o -u "$SERVER_USER" -f "$WORK/data") $(pgrep -P "$(head -1 "$WORK/data/postmaster.pid")"); do
        echo "$pid" >"$group/cgroup.procs" || true  # it may have ended
    done
    set_compression "$default"
    for ((round = 0; round < rounds; ++round)); do
        for kind in $(rotated "$round" null "immbackup-$default"); do
            (until pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job' >/dev/null; do sleep 0.02; done
            # Once more for a pg_dump that began meanwhile.
            for _ in 1 2 3; do
                for pid in $(pgrep -u "$SERVER_USER" -f '^[^ ]*immbackup job') $(pgrep -u "$SERVER_USER" -x pg_dump); do
                    echo "$pid" >/sys/fs/cgroup/cpu/cgroup.procs
                done
                sleep 0.1
            done) 2>/dev/null &
            mover=$!
            measure "spare-$kind" take "$kind" 2>/dev/null
            kill "$mover" 2>/dev/null || true
        done
    done
    printf '\nserver at half a core: pg_dump %.1f s, immbackup-%s %.1f s: %.2f (%s)\n' "$(cut -d' ' -f1 "$WORK/result.spare-null" | median)" "$default" \
        "$(cut -d' ' -f1 "$WORK/result.spare-immbackup-$default" | median)" "$(ratios "spare-immbackup-$default" spare-null | median)" \
        "$(ratios "spare-immbackup-$default" spare-null | sort -n | xargs printf '%.2f ')"
    server_stop
    rmdir "$group"
}

# Transactions a second of one pgbench that never stops, in windows of one dump each. A virtual disk is fast and slow by turns: so the
# windows are short, the order is another one in each round, and it takes many rounds to tell a few percent.
pgbench_loss() {
    local round kind kinds=(null file immbackup) pgbench
    as_server createdb load
    as_server pgbench -iqs 10 load 2>/dev/null
    set_compression "$default"
    as_server mkdir -p "$WORK/out" "$WORK/load"
    as_server bash -c "cd '$WORK/load' && exec pgbench -n -c 2 -j 1 -T 86400 -M prepared -l --log-prefix=log load" >/dev/null 2>&1 &
    pgbench=$!
    sleep 5
    for ((round = 0; round < rounds; ++round)); do
        for kind in $(rotated "$round" "${kinds[@]}"); do
            sleep 0.5
            window "$kind" 2>/dev/null
        done
    done
    sleep 1  # so that the log has the last window
    pkill -TERM -u "$SERVER_USER" -f '^pgbench .* --log-prefix=log load'
    wait "$pgbench" || true
    printf '\n%-12s %6s %9s %14s %24s\n' 'beside' 'tps' 'seconds' 'of null: mean' '(half of the rounds)'
    for kind in "${kinds[@]}"; do
        beside "$kind" >"$WORK/result.beside.$kind"
        printf '%-12s %6.0f %9.2f %14.3f %24s\n' "$kind" "$(cut -d' ' -f1 "$WORK/result.beside.$kind" | median)" "$(cut -d' ' -f2 "$WORK/result.beside.$kind" | median)" \
            "$(of_null "$kind" | awk '{s += $1} END {print s / NR}')" "$(of_null "$kind" | sort -n | awk '{v[NR] = $1} END {printf "(%.2f - %.2f)", v[int(NR / 4) + 1], v[NR - int(NR / 4)]}')"
    done
}
# In a session of its own, as a cron job is: the kernel shares its time among sessions (sched(7), autogroup).
window() {
    local from command
    case $1 in
        null) command='pg_dump shop >/dev/null' ;;
        file) command="pg_dump shop >'$WORK/out/plain' && sync '$WORK/out/plain'" ;;
        immbackup) command="psql -XAtqc 'SELECT immbackup.run_now()' shop >/dev/null" ;;
    esac
    from=$(date +%s.%N)
    setsid -w "$BASH" -c "$(declare -f as_server); $(declare -p SERVER_USER PG_BIN WORK); as_server bash -c \"$command\""
    echo "$from $(date +%s.%N)" >>"$WORK/window.$1"
}
# beside KIND: transactions a second and seconds of each of its windows; a line of pgbench's log ends with seconds and microseconds.
beside() {
    cat "$WORK"/load/log.* | awk -v windows="$WORK/window.$1" '
        BEGIN { while ((getline line < windows) > 0) { split(line, w, " "); from[++n] = w[1]; to[n] = w[2] } at = 1 }
        { t = $5 + $6 / 1e6; while (at <= n && t > to[at]) ++at; if (at <= n && t >= from[at]) ++count[at] }
        END { for (i = 1; i <= n; ++i) printf "%.1f %.2f\n", count[i] / (to[i] - from[i]), to[i] - from[i] }'
}
of_null() { paste -d' ' "$WORK/result.beside.$1" "$WORK/result.beside.null" | awk '{print $1 / $3}'; }

printf '%s, %s cores; PostgreSQL %s\n' "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(pg_config --version)"
make_database
default=$(sql -c 'SHOW immbackup.compression')
case $parts in *' dumps '*) dumps ;; esac
case $parts in *' memory '*) memory ;; esac
case $parts in *' text '*) text ;; esac
case $parts in *' verify '*) verify ;; esac
case $parts in *' pgbench '*) pgbench_loss ;; esac
case $parts in *' views '*) bench/views.sh ;; esac
case $parts in *' spare '*) spare ;; esac
