#!/usr/bin/env bash
# What a backup costs, beside pg_dump into nothing, into gzip, igzip, zstd, and pg_dump -Fc: interleaved rounds on one
# database, medians of the rounds and of the ratios within a round. Needs immbackup installed, igzip, zstd and pgbench.
#
#   bench/run.sh [SCALE [ROUNDS [PART...]]]     SCALE 130 makes 1.2 GB of dump; PARTs: dumps verify pgbench views
set -euo pipefail
cd "$(dirname "$0")/.."
scale=${1:-130} rounds=${2:-5}
shift $(($# > 2 ? 2 : $#))
parts=" ${*:-dumps verify pgbench views} "
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
    local round name kind kinds=(null immbackup-gzip:1 igzip-1 immbackup-gzip:3 immbackup-zstd:3 zstd-3)
    as_server mkdir -p "$WORK/out"
    for ((round = 0; round < rounds; ++round)); do
        for kind in "${kinds[@]}"; do
            case $kind in immbackup-*) set_compression "${kind#immbackup-}" ;; esac
            measure "$kind" take "$kind"
        done
        # The slow ones need fewer rounds to be told apart.
        if ((round < 3)); then
            for kind in gzip-1 gzip-6 custom; do measure "$kind" take "$kind"; done
        fi
    done
    printf '\n%-18s %9s %9s %12s %12s\n' 'of pg_dump' 'seconds' 'cpu s' 'x /dev/null' 'MB'
    for kind in null igzip-1 gzip-1 gzip-6 zstd-3 custom immbackup-gzip:1 immbackup-gzip:3 immbackup-zstd:3; do
        name=$WORK/result.$kind
        printf '%-18s %9.2f %9.2f %12.2f %12s\n' "$kind" "$(cut -d' ' -f1 "$name" | median)" "$(cut -d' ' -f2 "$name" | median)" \
            "$(paste -d' ' "$name" "$WORK/result.null" | awk 'NF == 4 {print $1 / $3}' | median)" "$(size_of "$kind")"
    done
    printf 'SQL: %s MB\n' "$(sql -c 'SELECT round(max(sql_size) / 1e6, 1) FROM immbackup.artifacts')"
    printf 'immbackup-gzip:1 / igzip-1: %.2f; gzip-6 / immbackup-gzip:1: %.2f\n' \
        "$(paste -d' ' "$WORK/result.immbackup-gzip:1" "$WORK/result.igzip-1" | awk 'NF == 4 {print $1 / $3}' | median)" \
        "$(paste -d' ' "$WORK/result.gzip-6" "$WORK/result.immbackup-gzip:1" | awk 'NF == 4 {print $1 / $3}' | median)"
}

size_of() {
    case $1 in
        null) echo '' ;;
        immbackup-*) sed -n 's/^  "size": \([0-9]*\),/\1/p' "$(grep -l "\"${1#immbackup-}\"" "$WORK"/backups/active/*.manifest.json | tail -1)" | awk '{printf "%.1f", $1 / 1e6}' ;;
        *) stat -c %s "$WORK/out/$1" | awk '{printf "%.1f", $1 / 1e6}' ;;
    esac
}

# verify against the tools that do as much.
verify() {
    local stem file round
    set_compression gzip:1
    sql -c 'SELECT immbackup.run_now()' >/dev/null
    file=$(ls "$WORK"/backups/active/*.sql.gz | tail -1) stem=$(basename "$file" .sql.gz)
    for ((round = 0; round < rounds; ++round)); do
        measure verify as_server immbackup verify "$stem" >/dev/null
        measure igzip-sha256 as_server bash -c "igzip -d -c '$file' | sha256sum >/dev/null"
    done
    printf '\nverify %.2f s, igzip -d | sha256sum %.2f s: %.2f of its speed\n' "$(cut -d' ' -f1 "$WORK/result.verify" | median)" \
        "$(cut -d' ' -f1 "$WORK/result.igzip-sha256" | median)" \
        "$(paste -d' ' "$WORK/result.verify" "$WORK/result.igzip-sha256" | awk '{print $3 / $1}' | median)"
}

# Transactions a second while a dump goes on, over and over for as long as pgbench runs.
load() {
    local tps
    as_server bash -c "while :; do $1; done" &
    local worker=$!
    tps=$(as_server pgbench -n -c 2 -j 1 -T 12 -M prepared load 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p')
    kill "$worker" 2>/dev/null || true
    wait "$worker" 2>/dev/null || true
    while [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'pg_dump'")" != 0 ]; do sleep 0.2; done
    echo "$tps"
}

pgbench_loss() {
    local round plain ours
    as_server createdb load
    as_server pgbench -iqs 10 load 2>/dev/null
    set_compression gzip:1
    for ((round = 0; round < rounds; ++round)); do
        plain=$(load 'pg_dump shop >/dev/null')
        ours=$(load "psql -XAtqc 'SELECT immbackup.run_now()' shop >/dev/null")
        echo "$plain $ours" >>"$WORK/result.pgbench"
    done
    printf '\npgbench: %.0f tps beside pg_dump, %.0f beside run_now: %.3f of it\n' "$(cut -d' ' -f1 "$WORK/result.pgbench" | median)" \
        "$(cut -d' ' -f2 "$WORK/result.pgbench" | median)" "$(awk '{print $2 / $1}' "$WORK/result.pgbench" | median)"
}

printf '%s, %s cores; PostgreSQL %s\n' "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(pg_config --version)"
make_database
case $parts in *' dumps '*) dumps ;; esac
case $parts in *' verify '*) verify ;; esac
case $parts in *' pgbench '*) pgbench_loss ;; esac
case $parts in *' views '*) bench/views.sh ;; esac
