-- A run, from request to record.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE numbers AS SELECT i AS n, md5(i::text) AS hash FROM generate_series(1, 1000) AS i;
CREATE VIEW even AS SELECT n FROM numbers WHERE n % 2 = 0;

-- The scheduler is at work before the first request: it records its start.
DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN (SELECT worker_state <> 'starting' FROM immbackup.status);
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT worker_state, worker_pid IS NOT NULL AS has_pid, problem, restart_needed, update_needed,
       last_success, current_run
  FROM immbackup.status;
SELECT backend_type, datname IS NULL AS no_database, state FROM pg_stat_activity
 WHERE pid = (SELECT worker_pid FROM immbackup.status);
SELECT event, body ->> 'state' AS state FROM immbackup.audit WHERE event = 'worker_started';

SELECT immbackup.run_now(ARRAY['contrib_regression']) AS run \gset
SELECT :'run' ~ '^[0-9]{8}T[0-9]{6}Z$' AS is_run_id;

SELECT state, trigger, actor = current_user AS by_me, artifacts, bytes > 0 AS has_bytes, error,
       requested <= started AND started <= finished AS in_order
  FROM immbackup.runs WHERE run = :'run';
SELECT run = :'run' AS of_this_run, database, globals, tier, size > 0 AS has_size,
       sql_size > 30000 AS has_sql, rows, sha256 ~ '^[0-9a-f]{64}$' AS has_digest, seal IS NOT NULL AS sealed,
       state, retain_until > taken AS kept
  FROM immbackup.artifacts ORDER BY artifact;
SELECT last_success_run = :'run' AS of_this_run, last_success_age < interval '1 hour' AS just_now, last_error,
       artifacts, audit_records > 0 AS has_records, audit_bad_lines, audit_problem
  FROM immbackup.status;
SELECT count(*) AS going_on FROM immbackup.progress;

-- The events of the run, in order.
SELECT event FROM immbackup.audit WHERE body ->> 'run' = :'run' ORDER BY seq;

-- Not waiting: the id comes as soon as the request is recorded, and the run goes on.
SELECT immbackup.run_now(ARRAY['contrib_regression'], wait => false) AS second \gset
SELECT :'second' > :'run' AS later;
DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN (SELECT count(*) = 0 FROM immbackup.progress);
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT state FROM immbackup.runs WHERE run = :'second';

-- As the settings say: every database but the templates, and the globals.
SELECT immbackup.run_now() AS third \gset
SELECT database, globals, state FROM immbackup.artifacts WHERE run = :'third'
 ORDER BY globals, database COLLATE "C";

-- The chain is sound, and has as many records as the view shows.
SELECT records = (SELECT count(*) FROM immbackup.audit) AS all_seen, sound, first_bad_seq, problem,
       head = (SELECT hash FROM immbackup.audit ORDER BY seq DESC LIMIT 1) AS head_is_last
  FROM immbackup.verify_audit();

-- Nothing to cancel.
SELECT immbackup.cancel_run();
