#!/usr/bin/env bash
# The documentation agrees with the programs.
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/immbackup-docs.XXXXXX")
. "$ROOT/scripts/lib.sh"
. "$ROOT/test/lib/tap.sh"
trap remove_work EXIT
cd "$ROOT" || exit 1

mkdir "$WORK/copy" && cp -r docs scripts "$WORK/copy"
"$WORK/copy/scripts/update-docs.sh" "$(command -v immbackup)"
ok "docs/configuration.md has the table of settings" diff docs/configuration.md "$WORK/copy/docs/configuration.md"
ok "docs/cli.md has the help texts" diff docs/cli.md "$WORK/copy/docs/cli.md"
for command in $(immbackup --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    ok "docs/cli.md describes $command" grep -q "^### immbackup $command" docs/cli.md
    ok "$command has examples or nothing to show" bash -c "immbackup $command --help | grep -qE 'Examples:' || [ $command = version ]"
done
for event in $(sed -n 's/^inline constexpr const char\* kk*[A-Za-z]* = "\(.*\)";/\1/p' <(grep -v ' kAlarm' src/core/events.h)); do
    ok "docs/formats.md describes the event $event" grep -q "\`$event\`" docs/formats.md
done
for alarm in $(sed -n 's/^inline constexpr const char\* kAlarm[A-Za-z]* = "\(.*\)";/\1/p' src/core/events.h); do
    ok "docs/scheduling.md describes the alarm $alarm" grep -q "\`$alarm\`" docs/scheduling.md
done
for link in $(grep -ohE '\]\([A-Za-z./_-]+\.md\)' README.md | tr -d '])('); do
    ok "README's link $link leads somewhere" test -f "$link"
done

server_start
sql -d postgres -c 'CREATE EXTENSION immbackup'
while read -r object; do
    ok "docs/sql.md describes $object" grep -qF "$object" docs/sql.md
done < <(sql -d postgres -c "SELECT relname || '.' || attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 WHERE relnamespace = 'immbackup'::regnamespace ORDER BY 1" | sed 's/.*\.//' | sort -u
    sql -d postgres -c "SELECT 'immbackup.' || proname || '(' FROM pg_proc WHERE pronamespace = 'immbackup'::regnamespace AND has_function_privilege('pg_monitor', oid, 'EXECUTE') IS NOT NULL AND proname !~ '^_'")
until_true 20 bash -c "$(declare -f sql as_server); $(declare -p WORK PG_BIN SERVER_USER); [ \"\$(sql -d postgres -c 'SELECT worker_state FROM immbackup.status')\" = ready ]"
sql -d postgres -c 'SELECT immbackup.run_now()' >/dev/null
ok "the script of docs/formats.md verifies a log" independent_audit
A=$(immbackup_json() { as_server immbackup list --json; }; immbackup_json | jq -r '[.[] | select(.globals | not)][0].artifact')
documented() { sed -n '/^<!-- manifest members/,/^$/s/^| \(`[^|]*\) | .*/\1/p' docs/formats.md | grep -o '`[^`]*`' | tr -d '`' | sort; }
ok "docs/formats.md lists the members of a manifest, and no others" bash -c "diff <(echo '$(documented)') <(jq -r 'to_entries[] | if (.key == \"database\" or .key == \"server\") then (.key + \".\" + (.value | keys[])) else .key end' '$WORK/backups/active/$A.sql.gz.manifest.json' | sort)"
sed -i '2s/"event":"/"event":"x/' "$WORK/verify-audit.sh" "$WORK/backups/logs/backup_audit.jsonl"
fails "and finds a changed record" 1 'record 2: hash does not match' sh "$WORK/verify-audit.sh" "$WORK/backups/logs/backup_audit.jsonl"
done_testing
