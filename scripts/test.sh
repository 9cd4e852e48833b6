#!/usr/bin/env bash
# Installs what is missing, builds, and runs the test suites; ends with "N passed, N failed, N skipped".
#
#   scripts/test.sh            every suite
#   scripts/test.sh NAME...    these suites
#   scripts/test.sh --list     their names
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/packages.sh

# Four lanes go side by side once all is built and installed: one compiles and computes (at a lower priority), the others
# mostly wait, for servers, for servers with buckets or a vault, and for containers.
COMPUTING=(unit sanitize fuzz)
SERVING=(regress pgtap cli compression tap worker kill idle disk retention realworld docs quickstart)
BUCKETS=(s3 upload faults attack vault)
CONTAINERS=(docker)
SUITES=(lint build "${COMPUTING[@]}" "${SERVING[@]}" "${BUCKETS[@]}" "${CONTAINERS[@]}")
PASSED=0 FAILED=0 SKIPPED=0
LOGS=${IMMBACKUP_TEST_LOGS:-$(mktemp -d "${TMPDIR:-/tmp}/immbackup-test.XXXXXX")}
mkdir -p "$LOGS"
chmod 0755 "$LOGS"
BUILD=$PWD/build
BEGIN=$SECONDS
export CTEST_PARALLEL_LEVEL=2
# Where a newer radosgw is unpacked, once for all suites.
export CEPH_NEWER=$LOGS/ceph
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi

# result NAME PASSED FAILED SECONDS
result() {
    PASSED=$((PASSED + $2)) FAILED=$((FAILED + $3))
    printf '%-11s %5d passed, %d failed  (%d s)\n' "$1" "$2" "$3" "$4"
}
show_log() { printf -- '---- end of %s ----\n' "$1"; tail -n 60 "$LOGS/$1.log"; printf -- '----\n'; }
skip() {
    SKIPPED=$((SKIPPED + 1))
    echo "$1 skipped: $2"
}

# Runs one check as one test: its exit code decides.
check() {
    local name=$1 start=$SECONDS
    shift
    if "$@" >"$LOGS/$name.log" 2>&1; then
        result "$name" 1 0 $((SECONDS - start))
    else
        result "$name" 0 1 $((SECONDS - start))
        show_log "$name"
    fi
}
# Takes the counts out of a log of TAP ("ok 1 - ..."), which prove -v prints.
tap_result() {
    local name=$1 status=$2 start=$3 ok bad
    ok=$(grep -cE '^ok [0-9]+' "$LOGS/$name.log")
    bad=$(grep -cE '^not ok [0-9]+' "$LOGS/$name.log")
    # A file that died, or ran no test at all, is a failure even if every line it printed was good.
    if [ "$status" != 0 ] && [ "$bad" = 0 ] || [ $((ok + bad)) = 0 ]; then bad=$((bad + 1)); fi
    result "$name" "$ok" "$bad" $((SECONDS - start))
    [ "$bad" = 0 ] || show_log "$name"
}

# Paths of one machine. A bracket in each keeps the pattern from finding itself; where git fails, nothing was looked at.
no_machine_paths() {
    git grep -nE '/[w]ork/|/tmp/[b]uild-|\.\./[s]hared'
    [ $? = 1 ]
}
file_lengths() {
    local long
    long=$(git ls-files 'src/*' 'scripts/*' 'test/*.sh' | xargs wc -l | awk '$2 != "total" && $1 > 500')
    [ -z "$long" ] || { echo "longer than 500 lines:"; echo "$long"; return 1; }
}
suite_lint() {
    check lint-format bash -c "git ls-files 'src/*.cpp' 'src/*.h' 'test/*.cpp' 'test/*.h' | xargs clang-format --dry-run -Werror"
    check lint-layers scripts/check-layers.sh
    check lint-vault scripts/check-vault.sh
    check lint-shell bash -c "git ls-files '*.sh' .ci/run 'docker/rootfs/usr/local/bin/*' | xargs shellcheck -x -S warning -e SC1091,SC2120"
    check lint-names no_machine_paths
    check lint-length file_lengths
}
suite_build() {
    check build-make make -j2 COPT=-Werror CMAKE_OPTIONS="-DIMMBACKUP_UNITY=TESTS -DCMAKE_CXX_FLAGS=-Werror '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG'"
    check build-install as_root make install
}
# The libraries are those that make has built.
build_unit() { cmake -S . -B "$BUILD" -DIMMBACKUP_TESTS=ON -DIMMBACKUP_UNITY=TESTS && cmake --build "$BUILD" --parallel 2; }
ctest_suite() {  # NAME DIR
    local start=$SECONDS total failed
    ctest --test-dir "$2" --output-on-failure >"$LOGS/$1.log" 2>&1
    total=$(sed -n 's/^.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\2/p' "$LOGS/$1.log")
    failed=$(sed -n 's/^.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1/p' "$LOGS/$1.log")
    if [ -z "$total" ]; then total=1 failed=1; fi
    result "$1" $((total - failed)) "$failed" $((SECONDS - start))
    [ "$failed" = 0 ] || show_log "$1"
}
suite_unit() { ctest_suite unit "$BUILD"; }
# One build serves the sanitizers, the second compiler and the fuzz targets. Not optimized: compiling would take longer than it saves.
build_clang() {
    cmake -S . -B "$BUILD-clang" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++-14 \
        -DCMAKE_CXX_FLAGS=-Werror '-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1' -DIMMBACKUP_FUZZ=ON -DIMMBACKUP_UNITY=ON -DIMMBACKUP_SANITIZE=address,undefined && ninja -C "$BUILD-clang" -j2
}
suite_sanitize() {
    check clang-build build_clang
    ctest_suite sanitize "$BUILD-clang"
}
# One fuzz target; what it prints and how it ended is kept.
fuzz() {  # TARGET
    # What it finds goes to the first folder; the second holds where it begins, and what once was a bug.
    local seeds=test/fuzz/corpus/$1
    [ -d "$seeds" ] || seeds=
    mkdir -p "$LOGS/found-$1"
    "$BUILD-clang/$1" -runs=100000 -max_total_time=10 -max_len=4096 -print_final_stats=1 -artifact_prefix="$LOGS/" "$LOGS/found-$1" \
        ${seeds:+"$seeds"} >"$LOGS/$1.out" 2>&1
    echo $? >"$LOGS/$1.status"
}
suite_fuzz() {
    local target targets=()
    [ -x "$BUILD-clang/immbackup" ] || check clang-build build_clang
    for target in test/fuzz/*_fuzz.cpp; do targets+=("$(basename "$target" .cpp)"); done
    for target in "${targets[@]}"; do
        while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n; done
        fuzz "$target" &
    done
    wait
    for target in "${targets[@]}"; do
        check "fuzz-$target" bash -c "cat '$LOGS/$target.out'; exit \"\$(cat '$LOGS/$target.status')\""
    done
}
suite_regress() {
    local start=$SECONDS ok bad
    make installcheck >"$LOGS/regress.log" 2>&1
    ok=$(grep -cE '^test .* ok ' "$LOGS/regress.log")
    bad=$(grep -cE '^test .* FAILED' "$LOGS/regress.log")
    if ! grep -q 'tests passed' "$LOGS/regress.log" && [ "$bad" = 0 ]; then bad=1; fi
    result regress "$ok" "$bad" $((SECONDS - start))
    [ "$bad" = 0 ] || show_log regress
}
suite_pgtap() {
    local start=$SECONDS status
    test/pgtap/run.sh >"$LOGS/pgtap.log" 2>&1
    status=$?
    tap_result pgtap "$status" "$start"
}
# Shell tests print TAP and run as root, who may kill, mount and fill disks; servers run as an unprivileged user.
shell_tap() {  # NAME FILE [SECONDS]
    local start=$SECONDS status
    if [ "$(id -u)" != 0 ]; then
        skip "$1" "it needs root (file systems, PID 1, other users' files)"
        return
    fi
    timeout "${3:-900}" bash "$2" >"$LOGS/$1.log" 2>&1
    status=$?
    tap_result "$1" "$status" "$start"
}
suite_cli() { shell_tap cli test/shell/cli.sh; }
suite_tap() {
    local start=$SECONDS status
    test/tap/run.sh >"$LOGS/tap.log" 2>&1
    status=$?
    tap_result tap "$status" "$start"
}
suite_compression() { shell_tap compression test/shell/compression.sh; }
suite_worker() { shell_tap worker test/shell/worker.sh; }
suite_kill() { shell_tap kill test/shell/kill.sh; }
suite_realworld() { shell_tap realworld test/shell/realworld.sh; }
suite_retention() { shell_tap retention test/shell/retention.sh; }
# Backups in a vault, through SQL; the helper is the one that make has built.
suite_vault() { shell_tap vault test/shell/vault.sh; }
suite_idle() { shell_tap idle test/shell/idle.sh; }
suite_disk() { shell_tap disk test/shell/disk.sh; }
# The vault's helper, by those whom it must withstand, and its installation.
suite_attack() {
    shell_tap attack test/shell/attack.sh
    shell_tap vault-install test/shell/vault_install.sh
    shell_tap vault-systemd test/shell/vault_systemd.sh
}
# The S3 library against a scripted server and against a real one.
suite_s3() {
    local start=$SECONDS status
    S3_PROBE=$BUILD/s3_probe timeout 900 bash test/shell/s3.sh >"$LOGS/s3.log" 2>&1
    status=$?
    tap_result s3 "$status" "$start"
}
suite_upload() {
    shell_tap upload test/shell/upload.sh
    shell_tap upload-prune test/shell/upload_prune.sh
}
# The container; needs root, for a daemon of its own where none answers. Half of the time the image is compiled.
suite_docker() { shell_tap docker test/shell/docker.sh 1500; }
suite_faults() { shell_tap faults test/shell/upload_faults.sh; }
suite_docs() { shell_tap docs test/shell/docs.sh; }
suite_quickstart() { check quickstart scripts/quickstart.sh; }

# Runs suites one after the other; what they counted goes to a file.
lane() {  # FILE SUITE...
    local name file=$1
    shift
    PASSED=0 FAILED=0 SKIPPED=0
    for name in "$@"; do "suite_$name"; done
    echo "$PASSED $FAILED $SKIPPED" >"$file"
}
# In a process namespace of its own, since suites look for jobs by their name, and kill them.
isolated_lane() { IMMBACKUP_TEST_LOGS=$LOGS unshare -pf --kill-child --mount-proc tini -- bash scripts/test.sh --lane "$@"; }

if [ "${1:-}" = --lane ]; then
    shift
    lane "$@"
    exit
fi
if [ "${1:-}" = --list ]; then
    printf '%s\n' "${SUITES[@]}"
    exit 0
fi
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${SUITES[@]}")
for name in "${wanted[@]}"; do
    declare -F "suite_$name" >/dev/null || { echo "there is no suite \"$name\"; there are: ${SUITES[*]}" >&2; exit 2; }
done
install_packages "${TEST_PACKAGES[@]}" || { echo "packages could not be installed" >&2; exit 1; }
# Measured: 6 GB beside the packages. A server without space fails in ways that do not look like it.
df --output=avail,target -k . "${TMPDIR:-/tmp}" | tail -n +2 | sort -u | while read -r free place; do
    [ "$free" -ge $((8 * 1024 * 1024)) ] || echo "warning: only $((free / 1024)) MB are free at $place; all suites together take up to 6 GB"
done
is_wanted() { case " ${wanted[*]} " in *" $1 "*) ;; *) return 1 ;; esac; }
wanted_of() { for name in "$@"; do if is_wanted "$name"; then echo "$name"; fi; done; }
add_lane() {  # FILE: a lane that did not end by itself is a failure
    local passed failed skipped
    read -r passed failed skipped <"$1" || { passed=0 failed=1 skipped=0; echo "a lane of suites died"; }
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}
if is_wanted lint; then suite_lint; fi
# What serves needs what is installed.
for name in build "${SERVING[@]}" "${BUCKETS[@]}"; do
    if is_wanted "$name"; then suite_build; break; fi
done
if is_wanted unit || is_wanted s3; then check unit-build build_unit; fi
mapfile -t computing < <(wanted_of "${COMPUTING[@]}")
mapfile -t containers < <(wanted_of "${CONTAINERS[@]}")
mapfile -t serving < <(wanted_of "${SERVING[@]}")
mapfile -t buckets < <(wanted_of "${BUCKETS[@]}")
(renice -n 10 $BASHPID >/dev/null && lane "$LOGS/computing" "${computing[@]}") &
(lane "$LOGS/containers" "${containers[@]}") &
if [ "$(id -u)" = 0 ]; then
    isolated_lane "$LOGS/buckets" "${buckets[@]}" &
    isolated_lane "$LOGS/serving" "${serving[@]}"
else
    (lane "$LOGS/serving" "${serving[@]}")
    (lane "$LOGS/buckets" "${buckets[@]}")
fi
wait
for name in computing containers serving buckets; do add_lane "$LOGS/$name"; done
if [ "$FAILED" != 0 ]; then echo "logs are kept in $LOGS"; else rm -rf "$LOGS"; fi
echo "took $((SECONDS - BEGIN)) s"
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" = 0 ]
