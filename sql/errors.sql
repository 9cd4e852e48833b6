-- What is refused, and how.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- The arguments.
SELECT immbackup.run_now('{}');
SELECT immbackup.run_now(ARRAY['a', NULL]);
SELECT immbackup.run_now(ARRAY[['a'], ['b']]);
SELECT immbackup.run_now(ARRAY['']);
SELECT immbackup.run_now(ARRAY[repeat('x', 64)]);
SELECT immbackup.run_now(ARRAY['a', 'b', 'a']);
SELECT immbackup.run_now(array_agg('d' || i)) FROM generate_series(1, 65) AS i;

-- Waiting in a transaction that pg_dump would wait for.
BEGIN;
CREATE TABLE held (a int);
SELECT immbackup.run_now();
ROLLBACK;
CREATE TABLE held (a int);
BEGIN;
LOCK TABLE held IN ACCESS EXCLUSIVE MODE;
SELECT immbackup.run_now();
ROLLBACK;
BEGIN;
SELECT * FROM held;
SELECT immbackup.run_now();
ROLLBACK;
-- Elsewhere waiting is fine: in a transaction that holds nothing, in a function, in a block.
BEGIN;
SELECT immbackup.run_now(ARRAY['contrib_regression']) IS NOT NULL AS done;
COMMIT;
DO $$ BEGIN PERFORM immbackup.run_now(ARRAY['contrib_regression']); END $$;

-- The run's own error comes to the caller. The run id is not always the same.
\set VERBOSITY terse
CREATE FUNCTION error_of(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '[0-9]{8}T[0-9]{6}Z failed: .*', 'ID failed');
END $$;
SELECT error_of($$SELECT immbackup.run_now(ARRAY['no such database'])$$);
SELECT state, error_code, error IS NOT NULL AS has_error FROM immbackup.runs ORDER BY run DESC LIMIT 1;
SELECT last_error IS NOT NULL AS has_error, last_error_run = (SELECT max(run) FROM immbackup.runs) AS newest
  FROM immbackup.status;
DROP FUNCTION error_of;
DROP TABLE held;
SELECT sound FROM immbackup.verify_audit();
