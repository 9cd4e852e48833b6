-- immbackup: schema, functions, views, privileges.
--
-- The schema is made here and not by the control file: a schema that an ordinary role made
-- beforehand would be accepted there, and would stay theirs.

\echo Use "CREATE EXTENSION immbackup" to load this file. \quit

CREATE SCHEMA immbackup;
COMMENT ON SCHEMA immbackup IS 'immutable logical backups: functions and views of extension immbackup';
REVOKE ALL ON SCHEMA immbackup FROM PUBLIC;

-- ------------------------------------------------------------------------------ acting functions

CREATE FUNCTION immbackup.run_now(databases pg_catalog.text[] DEFAULT NULL, wait pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'immbackup_run_now'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.run_now(pg_catalog.text[], pg_catalog.bool) IS
'takes a backup now, of these databases or of what the settings say; returns the run id when it is done, or without wait as soon as it is recorded as requested';

CREATE FUNCTION immbackup.cancel_run()
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'immbackup_cancel_run'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.cancel_run() IS
'asks the backup run that is going on to stop; false where there is none';

CREATE FUNCTION immbackup.hold(artifact pg_catalog.text, reason pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_hold'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.hold(pg_catalog.text, pg_catalog.text) IS
'puts an artifact under a hold: nothing removes it until it is released';

CREATE FUNCTION immbackup.release(artifact pg_catalog.text, reason pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_release'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.release(pg_catalog.text, pg_catalog.text) IS
'takes the hold off an artifact';

CREATE FUNCTION immbackup.accept_anomaly(artifact pg_catalog.text, reason pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_accept_anomaly'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.accept_anomaly(pg_catalog.text, pg_catalog.text) IS
'accepts what is wrong with an artifact: an anomaly, or that it is missing or corrupt';

CREATE FUNCTION immbackup.retire_database(name pg_catalog.text, reason pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_retire_database'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.retire_database(pg_catalog.text, pg_catalog.text) IS
'a database is gone for good: its last artifacts are protected no longer';

CREATE FUNCTION immbackup.acknowledge_settings(note pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_acknowledge_settings'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.acknowledge_settings(pg_catalog.text) IS
'acknowledges a change of the retention: the recovery plans know it';

CREATE FUNCTION immbackup.acknowledge_clock(note pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'immbackup_acknowledge_clock'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.acknowledge_clock(pg_catalog.text) IS
'says that the clock is right, so that time may decide again what is removed';

CREATE FUNCTION immbackup.prune(
    dry_run pg_catalog.bool DEFAULT true,
    OUT artifact pg_catalog.text,
    OUT database pg_catalog.text,
    OUT tier pg_catalog.text,
    OUT size pg_catalog.int8,
    OUT action pg_catalog.text,
    OUT reason pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_prune'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.prune(pg_catalog.bool) IS
'what pruning would do with each artifact and why; with dry_run => false it does it: action is prune, keep or extend, then pruned or failed';

CREATE FUNCTION immbackup.import(
    OUT artifact pg_catalog.text,
    OUT database pg_catalog.text,
    OUT size pg_catalog.int8,
    OUT seal pg_catalog.text,
    OUT retain_until pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_import'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.import() IS
'moves the artifacts of the plain store into the vault, verified and sealed; a row for each that was moved';

CREATE FUNCTION immbackup.upload_pending(
    OUT artifact pg_catalog.text,
    OUT state pg_catalog.text,
    OUT locked_until pg_catalog.timestamptz,
    OUT problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_upload_pending'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.upload_pending() IS
'uploads now what is pending, and what was given up; a row for each artifact that was uploaded';

CREATE FUNCTION immbackup.s3_check(
    probe pg_catalog.bool DEFAULT false,
    OUT "check" pg_catalog.text,
    OUT verdict pg_catalog.text,
    OUT detail pg_catalog.text,
    OUT finding pg_catalog.bool)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_s3_check'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION immbackup.s3_check(pg_catalog.bool) IS
'what bucket, store and credentials can do, each with a verdict; with probe also whether the store refuses to delete an object under a lock of a minute';

-- ----------------------------------------------------------------------------- reading functions

CREATE FUNCTION immbackup.version()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'immbackup_version'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION immbackup.version() IS 'version of the loaded library';

CREATE FUNCTION immbackup.verify_audit(
    OUT records pg_catalog.int8,
    OUT head pg_catalog.text,
    OUT sound pg_catalog.bool,
    OUT first_bad_seq pg_catalog.int8,
    OUT problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_verify_audit'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION immbackup.verify_audit() IS
'recomputes the hash chain of the audit log: its records and head, whether it is sound, and where and why not';

CREATE FUNCTION immbackup.audit(
    after_seq pg_catalog.int8 DEFAULT 0,
    max_rows pg_catalog.int4 DEFAULT NULL,
    OUT seq pg_catalog.int8,
    OUT "time" pg_catalog.timestamptz,
    OUT origin pg_catalog.text,
    OUT event pg_catalog.text,
    OUT body pg_catalog.json,
    OUT prev pg_catalog.text,
    OUT hash pg_catalog.text,
    OUT problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_audit'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.audit(pg_catalog.int8, pg_catalog.int4) IS
'records of the audit log after a sequence number, at most max_rows of them';

CREATE FUNCTION immbackup.runs(
    OUT run pg_catalog.text,
    OUT requested pg_catalog.timestamptz,
    OUT started pg_catalog.timestamptz,
    OUT finished pg_catalog.timestamptz,
    OUT state pg_catalog.text,
    OUT "trigger" pg_catalog.text,
    OUT actor pg_catalog.text,
    OUT due pg_catalog.timestamptz,
    OUT artifacts pg_catalog.int8,
    OUT bytes pg_catalog.int8,
    OUT error pg_catalog.text,
    OUT error_detail pg_catalog.text,
    OUT error_hint pg_catalog.text,
    OUT error_code pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_runs'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.runs() IS 'backup runs, see view immbackup.runs';

CREATE FUNCTION immbackup.artifacts(
    OUT artifact pg_catalog.text,
    OUT run pg_catalog.text,
    OUT database pg_catalog.text,
    OUT globals pg_catalog.bool,
    OUT tier pg_catalog.text,
    OUT taken pg_catalog.timestamptz,
    OUT retain_until pg_catalog.timestamptz,
    OUT size pg_catalog.int8,
    OUT sql_size pg_catalog.int8,
    OUT rows pg_catalog.int8,
    OUT sha256 pg_catalog.text,
    OUT seal pg_catalog.text,
    OUT state pg_catalog.text,
    OUT verified pg_catalog.timestamptz,
    OUT anomaly pg_catalog.text,
    OUT hold pg_catalog.text,
    OUT upload pg_catalog.text,
    OUT upload_error pg_catalog.text,
    OUT lock_mode pg_catalog.text,
    OUT locked_until pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_artifacts'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.artifacts() IS 'backup artifacts, see view immbackup.artifacts';

CREATE FUNCTION immbackup.progress(
    OUT run pg_catalog.text,
    OUT phase pg_catalog.text,
    OUT database pg_catalog.text,
    OUT table_name pg_catalog.text,
    OUT bytes_in pg_catalog.int8,
    OUT bytes_out pg_catalog.int8,
    OUT bytes_total pg_catalog.int8,
    OUT percent pg_catalog.float8,
    OUT rate pg_catalog.int8,
    OUT eta pg_catalog.interval,
    OUT databases_done pg_catalog.int4,
    OUT databases_total pg_catalog.int4,
    OUT started pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_progress'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION immbackup.progress() IS 'the run that is going on, see view immbackup.progress';

CREATE FUNCTION immbackup.status(
    OUT worker_state pg_catalog.text,
    OUT worker_pid pg_catalog.int4,
    OUT since pg_catalog.timestamptz,
    OUT problem pg_catalog.text,
    OUT problem_detail pg_catalog.text,
    OUT problem_hint pg_catalog.text,
    OUT current_run pg_catalog.text,
    OUT last_success pg_catalog.timestamptz,
    OUT last_success_run pg_catalog.text,
    OUT scheduling pg_catalog.bool,
    OUT next_due pg_catalog.timestamptz,
    OUT retry_at pg_catalog.timestamptz,
    OUT overdue pg_catalog.bool,
    OUT consecutive_failures pg_catalog.int8,
    OUT last_error pg_catalog.text,
    OUT last_error_detail pg_catalog.text,
    OUT last_error_hint pg_catalog.text,
    OUT last_error_code pg_catalog.text,
    OUT last_error_run pg_catalog.text,
    OUT library_version pg_catalog.text,
    OUT artifacts pg_catalog.int8,
    OUT bytes pg_catalog.int8,
    OUT seal pg_catalog.text,
    OUT vault pg_catalog.text,
    OUT vault_problem pg_catalog.text,
    OUT outside_vault pg_catalog.int8,
    OUT missing pg_catalog.int8,
    OUT corrupt pg_catalog.int8,
    OUT anomalies pg_catalog.int8,
    OUT anomaly_bytes pg_catalog.int8,
    OUT holds pg_catalog.int8,
    OUT uploads_pending pg_catalog.int8,
    OUT uploads_not_locked pg_catalog.int8,
    OUT anchored_seq pg_catalog.int8,
    OUT anchored pg_catalog.timestamptz,
    OUT prune_blocked pg_catalog.text,
    OUT prune_blocked_bytes pg_catalog.int8,
    OUT unacknowledged pg_catalog.text,
    OUT unacknowledged_since pg_catalog.timestamptz,
    OUT free_bytes pg_catalog.int8,
    OUT days_until_full pg_catalog.int8,
    OUT shares_data_disk pg_catalog.bool,
    OUT audit_records pg_catalog.int8,
    OUT audit_head pg_catalog.text,
    OUT audit_bad_lines pg_catalog.int8,
    OUT audit_problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_status'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION immbackup.status() IS 'the state of immbackup, see view immbackup.status';

CREATE FUNCTION immbackup.next_runs(
    n pg_catalog.int4 DEFAULT 10,
    schedule pg_catalog.text DEFAULT NULL,
    timezone pg_catalog.text DEFAULT NULL,
    OUT number pg_catalog.int4,
    OUT due pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_next_runs'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION immbackup.next_runs(pg_catalog.int4, pg_catalog.text, pg_catalog.text) IS
'the next n due times of the schedule in effect, or of one to be tried';

CREATE FUNCTION immbackup.retention(
    OUT artifact pg_catalog.text,
    OUT database pg_catalog.text,
    OUT globals pg_catalog.bool,
    OUT tier pg_catalog.text,
    OUT taken pg_catalog.timestamptz,
    OUT kept_until pg_catalog.timestamptz,
    OUT locked_until pg_catalog.timestamptz,
    OUT seal pg_catalog.text,
    OUT hold pg_catalog.bool,
    OUT hold_reason pg_catalog.text,
    OUT held_by pg_catalog.text,
    OUT held_since pg_catalog.timestamptz,
    OUT anomaly pg_catalog.text,
    OUT accepted pg_catalog.bool,
    OUT size pg_catalog.int8,
    OUT state pg_catalog.text,
    OUT prune_now pg_catalog.bool,
    OUT reason pg_catalog.text,
    OUT conflict pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_retention'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.retention() IS 'what is kept until when and why, see view immbackup.retention';

CREATE FUNCTION immbackup.coverage(
    weeks pg_catalog.int4 DEFAULT 4,
    OUT database pg_catalog.text,
    OUT globals pg_catalog.bool,
    OUT day pg_catalog.text,
    OUT made pg_catalog.int8,
    OUT present pg_catalog.int8,
    OUT due pg_catalog.int8,
    OUT missed pg_catalog.int8,
    OUT oldest pg_catalog.timestamptz,
    OUT newest pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_coverage'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.coverage(pg_catalog.int4) IS
'restore points of each database and day of the last weeks, see view immbackup.coverage';

CREATE FUNCTION immbackup.retention_preview(
    hourly pg_catalog.int4 DEFAULT NULL,
    daily pg_catalog.int4 DEFAULT NULL,
    weekly pg_catalog.int4 DEFAULT NULL,
    OUT database pg_catalog.text,
    OUT globals pg_catalog.bool,
    OUT in_days pg_catalog.int4,
    OUT points_before pg_catalog.int8,
    OUT points_after pg_catalog.int8,
    OUT oldest_before pg_catalog.timestamptz,
    OUT oldest_after pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_retention_preview'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION immbackup.retention_preview(pg_catalog.int4, pg_catalog.int4, pg_catalog.int4) IS
'which restore points there will be 1, 7 and 28 days from now, under the retention in effect and under one to be tried (days of each tier; null: as it is)';

CREATE FUNCTION immbackup.settings(
    OUT name pg_catalog.text,
    OUT value pg_catalog.text,
    OUT unit pg_catalog.text,
    OUT environment pg_catalog.text,
    OUT environment_used pg_catalog.text,
    OUT context pg_catalog.text,
    OUT description pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'immbackup_settings'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION immbackup.settings() IS 'the settings, see view immbackup.settings';

-- ----------------------------------------------------------------------------------------- views

CREATE VIEW immbackup.audit AS
SELECT a.seq, a."time", a.origin, a.event, a.body, a.prev, a.hash, a.problem
  FROM immbackup.audit() AS a;
COMMENT ON VIEW immbackup.audit IS
'the audit log, oldest record first; a line that cannot be read has only its problem';

CREATE VIEW immbackup.runs AS
SELECT r.run, r.requested, r.started, r.finished, r.state, r."trigger", r.actor, r.due, r.artifacts, r.bytes,
       r.error, r.error_detail, r.error_hint, r.error_code
  FROM immbackup.runs() AS r;
COMMENT ON VIEW immbackup.runs IS
'every run that was ever requested: state is requested, running, good, failed or cancelled';

CREATE VIEW immbackup.artifacts AS
SELECT a.artifact, a.run, a.database, a.globals, a.tier, a.taken, a.retain_until, a.size, a.sql_size,
       a.rows, a.sha256, a.seal, a.state, a.verified, a.anomaly, a.hold,
       a.upload, a.upload_error, a.lock_mode, a.locked_until
  FROM immbackup.artifacts() AS a;
COMMENT ON VIEW immbackup.artifacts IS
'every sealed backup: state is good, pruned, missing where one of its files is gone, or corrupt where a verification found it so';

CREATE VIEW immbackup.progress AS
SELECT p.run, p.phase, p.database, p.table_name, p.bytes_in, p.bytes_out, p.bytes_total, p.percent,
       p.rate, p.eta, p.databases_done, p.databases_total, p.started
  FROM immbackup.progress() AS p;
COMMENT ON VIEW immbackup.progress IS
'the run that is going on, or no row; sizes, percent, rate and eta are those of the current database, and percent and eta are estimates';

CREATE VIEW immbackup.status AS
SELECT s.worker_state,
       s.worker_pid,
       s.since,
       s.problem,
       s.problem_detail,
       s.problem_hint,
       s.current_run,
       s.last_success,
       pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.last_success AS last_success_age,
       s.last_success_run,
       s.scheduling,
       s.next_due,
       s.retry_at,
       s.overdue,
       s.consecutive_failures,
       s.last_error,
       s.last_error_detail,
       s.last_error_hint,
       s.last_error_code,
       s.last_error_run,
       s.library_version,
       i.installed_version,
       e.extension_version,
       -- An upgraded package takes effect in the server with its next start only.
       s.library_version OPERATOR(pg_catalog.<>) i.installed_version AS restart_needed,
       e.extension_version OPERATOR(pg_catalog.<>) i.installed_version AS update_needed,
       (SELECT pg_catalog.bool_or(p.pending_restart)
          FROM pg_catalog.pg_settings AS p
         WHERE p.name OPERATOR(pg_catalog.~~) 'immbackup.%') AS settings_pending_restart,
       s.artifacts,
       s.bytes,
       s.seal,
       s.vault,
       s.vault_problem,
       s.outside_vault,
       s.missing,
       s.corrupt,
       s.anomalies,
       s.anomaly_bytes,
       s.holds,
       s.uploads_pending,
       s.uploads_not_locked,
       s.anchored_seq,
       s.anchored,
       s.prune_blocked,
       s.prune_blocked_bytes,
       s.unacknowledged,
       s.unacknowledged_since,
       s.free_bytes,
       s.days_until_full,
       s.shares_data_disk,
       s.audit_records,
       s.audit_head,
       s.audit_bad_lines,
       s.audit_problem
  FROM immbackup.status() AS s,
       (SELECT pg_catalog.max(a.default_version::pg_catalog.text) AS installed_version
          FROM pg_catalog.pg_available_extensions() AS a
         WHERE a.name OPERATOR(pg_catalog.=) 'immbackup') AS i,
       (SELECT pg_catalog.max(x.extversion) AS extension_version
          FROM pg_catalog.pg_extension AS x
         WHERE x.extname OPERATOR(pg_catalog.=) 'immbackup') AS e;
COMMENT ON VIEW immbackup.status IS
'one row: is immbackup at work, when did it last succeed, what failed last, what is pending';

CREATE VIEW immbackup.retention AS
SELECT r.artifact, r.database, r.globals, r.tier, r.taken, r.kept_until, r.locked_until, r.seal, r.hold, r.hold_reason,
       r.held_by, r.held_since, r.anomaly, r.accepted, r.size, r.state, r.prune_now, r.reason, r.conflict
  FROM immbackup.retention() AS r;
COMMENT ON VIEW immbackup.retention IS
'every artifact: until when and why it is kept; state is kept, expired, pruned, missing or corrupt';

CREATE VIEW immbackup.coverage AS
SELECT c.database, c.globals, c.day::pg_catalog.date AS day, c.made, c.present, c.due, c.missed, c.oldest, c.newest
  FROM immbackup.coverage() AS c;
COMMENT ON VIEW immbackup.coverage IS
'restore points of each database on each local day of the last four weeks, and due times of the schedule without a good complete run';

CREATE VIEW immbackup.settings AS
SELECT s.name,
       s.value,
       CASE WHEN p.source OPERATOR(pg_catalog.=) 'default' AND s.environment_used IS NOT NULL
            THEN 'environment variable'
            ELSE p.source
       END AS origin,
       s.unit,
       s.environment,
       s.environment_used,
       s.context,
       p.pending_restart,
       s.description
  FROM immbackup.settings() AS s
  LEFT JOIN pg_catalog.pg_settings AS p
    ON p.name OPERATOR(pg_catalog.=) ('immbackup.' OPERATOR(pg_catalog.||) s.name);
COMMENT ON VIEW immbackup.settings IS
'every setting with the value in effect and where it comes from; paths are shown to those who may read all settings';

COMMENT ON COLUMN immbackup.audit.problem IS 'why this line cannot be read or is not what it should be; null for a sound record';
COMMENT ON COLUMN immbackup.artifacts.database IS 'null for the globals (roles and tablespaces)';
COMMENT ON COLUMN immbackup.artifacts.verified IS 'when a verification last found it good';
COMMENT ON COLUMN immbackup.artifacts.anomaly IS 'how it falls short of the accepted one before it';
COMMENT ON COLUMN immbackup.artifacts.hold IS 'the reason of the hold it is under';
COMMENT ON COLUMN immbackup.artifacts.upload IS 'pending, locked (read back from the store), unproven, unlocked, expired (the lock, not the artifact), failed; null: it is not uploaded';
COMMENT ON COLUMN immbackup.artifacts.locked_until IS 'the earliest of its objects, as read back from the store';
COMMENT ON COLUMN immbackup.status.vault IS 'the seal that the vault gives, as a job last found it: vault, vault-dac or none; null where there is no vault';
COMMENT ON COLUMN immbackup.status.vault_problem IS 'why it is not vault, or why the vault removes nothing';
COMMENT ON COLUMN immbackup.status.outside_vault IS 'artifacts that are not in the vault (yet): immbackup.import() moves them';
COMMENT ON COLUMN immbackup.status.uploads_not_locked IS 'artifacts in the bucket without a proven lock, or given up';
COMMENT ON COLUMN immbackup.status.anchored_seq IS 'audit records up to this one are stored as locked objects';
COMMENT ON COLUMN immbackup.retention.locked_until IS 'in the bucket, as read back';
COMMENT ON COLUMN immbackup.retention.kept_until IS 'with a longer setting of today taken into account';
COMMENT ON COLUMN immbackup.retention.prune_now IS 'whether a prune would remove it now';
COMMENT ON COLUMN immbackup.retention.reason IS 'why, or why not';
COMMENT ON COLUMN immbackup.retention.conflict IS 'a recovery window that shrinks: it was made under a longer retention than counts now';
COMMENT ON COLUMN immbackup.coverage.made IS 'artifacts made that day, the pruned ones with them';
COMMENT ON COLUMN immbackup.coverage.present IS 'of these, still there and good';
COMMENT ON COLUMN immbackup.coverage.due IS 'due times of the day; null before the schedule was promised';
COMMENT ON COLUMN immbackup.coverage.missed IS 'due times without a good complete run before the next one';
COMMENT ON COLUMN immbackup.progress.rate IS 'bytes of SQL a second';
COMMENT ON COLUMN immbackup.runs.due IS 'the due time of the schedule that it serves';
COMMENT ON COLUMN immbackup.status.scheduling IS 'whether this server takes scheduled runs: there is a schedule, and its role is that of run_on';
COMMENT ON COLUMN immbackup.status.next_due IS 'the next due time of the schedule';
COMMENT ON COLUMN immbackup.status.retry_at IS 'when a failed scheduled run is tried again';
COMMENT ON COLUMN immbackup.status.overdue IS 'no complete run has been good since a due time and the time after it';
COMMENT ON COLUMN immbackup.status.consecutive_failures IS 'complete runs that failed since the last good one';
COMMENT ON COLUMN immbackup.status.restart_needed IS 'another version is installed than the server has loaded';
COMMENT ON COLUMN immbackup.status.update_needed IS 'this database needs ALTER EXTENSION immbackup UPDATE';
COMMENT ON COLUMN immbackup.status.seal IS 'seal level of the newest artifact';
COMMENT ON COLUMN immbackup.status.anomalies IS 'databases whose newest good artifact is an anomaly that nobody has accepted';
COMMENT ON COLUMN immbackup.status.anomaly_bytes IS 'expired artifacts that are kept because of them';
COMMENT ON COLUMN immbackup.status.missing IS 'artifacts that are gone without having been pruned, and that nobody has accepted';
COMMENT ON COLUMN immbackup.status.corrupt IS 'artifacts found corrupt, and that nobody has accepted';
COMMENT ON COLUMN immbackup.status.prune_blocked IS 'why nothing at all is pruned now';
COMMENT ON COLUMN immbackup.status.prune_blocked_bytes IS 'expired artifacts that are kept because of that';
COMMENT ON COLUMN immbackup.status.unacknowledged IS 'changes of the retention that wait for acknowledge_settings()';
COMMENT ON COLUMN immbackup.status.days_until_full IS 'days until only min_free is left, as the last two weeks grew and as retention frees; null: not within ten years';
COMMENT ON COLUMN immbackup.status.shares_data_disk IS 'whether backups and data directory are on one file system';
COMMENT ON COLUMN immbackup.settings.value IS 'in effect, with what an unset one falls back to filled in';
COMMENT ON COLUMN immbackup.settings.environment IS 'environment variables that can give it, in order of precedence';
COMMENT ON COLUMN immbackup.settings.environment_used IS 'the one that is set and usable';

-- ------------------------------------------------------------------------------------ privileges
--
-- Nothing for PUBLIC. Who may monitor may read everything; who may act is the administrator's choice.
-- Views do not lend the right to execute what is below them, so it is granted too.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA immbackup FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA immbackup FROM PUBLIC;

GRANT USAGE ON SCHEMA immbackup TO pg_monitor;
GRANT EXECUTE ON FUNCTION
    immbackup.version(),
    immbackup.verify_audit(),
    immbackup.audit(pg_catalog.int8, pg_catalog.int4),
    immbackup.runs(),
    immbackup.artifacts(),
    immbackup.progress(),
    immbackup.status(),
    immbackup.next_runs(pg_catalog.int4, pg_catalog.text, pg_catalog.text),
    immbackup.retention(),
    immbackup.coverage(pg_catalog.int4),
    immbackup.retention_preview(pg_catalog.int4, pg_catalog.int4, pg_catalog.int4),
    immbackup.settings()
TO pg_monitor;
GRANT SELECT ON immbackup.audit, immbackup.runs, immbackup.artifacts, immbackup.progress,
    immbackup.status, immbackup.retention, immbackup.coverage, immbackup.settings TO pg_monitor;
