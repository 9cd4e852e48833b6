-- Shape of the extension: what docs/sql.md promises of names, columns and types.
-- Run by test/pgtap/run.sh; everything is rolled back.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT plan(57);

SELECT has_schema('immbackup');
SELECT schema_owner_is('immbackup', current_user);
SELECT extensions_are('pg_catalog', ARRAY['plpgsql', 'immbackup'], 'it is in pg_catalog, so that nobody can own its schema');
SELECT functions_are('immbackup', ARRAY['run_now', 'cancel_run', 'verify_audit', 'audit', 'version', 'runs',
                                        'artifacts', 'progress', 'status', 'next_runs', 'settings', 'hold', 'release',
                                        'accept_anomaly', 'retire_database', 'acknowledge_settings', 'acknowledge_clock',
                                        'prune', 'retention', 'coverage', 'retention_preview', 'upload_pending', 'import',
                                        's3_check']);
SELECT views_are('immbackup', ARRAY['audit', 'runs', 'artifacts', 'progress', 'status', 'retention', 'coverage',
                                    'settings']);
SELECT tables_are('immbackup', ARRAY[]::name[], 'no table holds state');

SELECT has_function('immbackup', 'run_now', ARRAY['text[]', 'boolean']);
SELECT function_returns('immbackup', 'run_now', ARRAY['text[]', 'boolean'], 'text');
SELECT volatility_is('immbackup', 'run_now', ARRAY['text[]', 'boolean'], 'volatile');
SELECT function_returns('immbackup', 'cancel_run', ARRAY[]::text[], 'boolean');
SELECT function_returns('immbackup', 'version', ARRAY[]::text[], 'text');
SELECT function_returns('immbackup', 'verify_audit', ARRAY[]::text[], 'setof record');
SELECT function_returns('immbackup', 'audit', ARRAY['bigint', 'integer'], 'setof record');
SELECT ok(NOT prosecdef, 'not security definer: ' || proname) FROM pg_proc
 WHERE pronamespace = 'immbackup'::regnamespace ORDER BY proname;

SELECT columns_are('immbackup', 'audit',
    ARRAY['seq', 'time', 'origin', 'event', 'body', 'prev', 'hash', 'problem']);
SELECT columns_are('immbackup', 'runs',
    ARRAY['run', 'requested', 'started', 'finished', 'state', 'trigger', 'actor', 'due', 'artifacts', 'bytes',
          'error', 'error_detail', 'error_hint', 'error_code']);
SELECT columns_are('immbackup', 'artifacts',
    ARRAY['artifact', 'run', 'database', 'globals', 'tier', 'taken', 'retain_until', 'size', 'sql_size', 'rows',
          'sha256', 'seal', 'state', 'verified', 'anomaly', 'hold', 'upload', 'upload_error', 'lock_mode', 'locked_until']);
SELECT columns_are('immbackup', 'progress',
    ARRAY['run', 'phase', 'database', 'table_name', 'bytes_in', 'bytes_out', 'bytes_total', 'percent', 'rate',
          'eta', 'databases_done', 'databases_total', 'started']);
SELECT columns_are('immbackup', 'status',
    ARRAY['worker_state', 'worker_pid', 'since', 'problem', 'problem_detail', 'problem_hint', 'current_run',
          'last_success', 'last_success_age', 'last_success_run', 'scheduling', 'next_due', 'retry_at', 'overdue',
          'consecutive_failures', 'last_error', 'last_error_detail',
          'last_error_hint', 'last_error_code', 'last_error_run', 'library_version', 'installed_version',
          'extension_version', 'restart_needed', 'update_needed', 'settings_pending_restart', 'artifacts',
          'bytes', 'seal', 'vault', 'vault_problem', 'outside_vault', 'missing', 'corrupt', 'anomalies', 'anomaly_bytes', 'holds', 'uploads_pending', 'uploads_not_locked', 'anchored_seq', 'anchored', 'prune_blocked',
          'prune_blocked_bytes', 'unacknowledged', 'unacknowledged_since', 'free_bytes', 'days_until_full',
          'shares_data_disk', 'audit_records', 'audit_head', 'audit_bad_lines', 'audit_problem']);
SELECT columns_are('immbackup', 'retention',
    ARRAY['artifact', 'database', 'globals', 'tier', 'taken', 'kept_until', 'locked_until', 'seal', 'hold', 'hold_reason', 'held_by',
          'held_since', 'anomaly', 'accepted', 'size', 'state', 'prune_now', 'reason', 'conflict']);
SELECT columns_are('immbackup', 'coverage',
    ARRAY['database', 'globals', 'day', 'made', 'present', 'due', 'missed', 'oldest', 'newest']);
SELECT volatility_is('immbackup', 'prune', ARRAY['boolean'], 'volatile');
SELECT volatility_is('immbackup', 'upload_pending', ARRAY[]::text[], 'volatile');
SELECT volatility_is('immbackup', 'import', ARRAY[]::text[], 'volatile');
SELECT volatility_is('immbackup', 's3_check', ARRAY['boolean'], 'volatile');
SELECT is(pg_get_function_arguments('immbackup.s3_check'::regproc) ~ '^probe boolean DEFAULT false', true,
          'a check writes nothing under lock unless it is told to');
SELECT is(pg_get_function_arguments('immbackup.prune'::regproc) ~ '^dry_run boolean DEFAULT true', true,
          'a prune is a dry run unless it is told otherwise');
SELECT columns_are('immbackup', 'settings',
    ARRAY['name', 'value', 'origin', 'unit', 'environment', 'environment_used', 'context', 'pending_restart',
          'description']);
SELECT col_type_is('immbackup', 'audit', 'body', 'json', 'the body is json');
SELECT col_type_is('immbackup', 'audit', 'time', 'timestamp with time zone', 'the time is timestamptz');
SELECT col_type_is('immbackup', 'artifacts', 'size', 'bigint', 'sizes are bigint');
SELECT col_type_is('immbackup', 'progress', 'eta', 'interval', 'the eta is an interval');
SELECT col_type_is('immbackup', 'status', 'last_success_age', 'interval', 'the age is an interval');

SELECT is((SELECT count(*)::int FROM pg_depend d
            WHERE d.refclassid = 'pg_extension'::regclass
              AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'immbackup')
              AND d.deptype = 'e'
              AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
              AND obj_description(d.objid, d.classid::regclass::name) IS NULL),
          0, 'every object has a comment');

SELECT * FROM finish();
ROLLBACK;
