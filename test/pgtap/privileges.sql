-- Who may do what: PUBLIC nothing, pg_monitor read, a grantee what was granted, a superuser everything.
-- Run by test/pgtap/run.sh; everything is rolled back.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT plan(69);
GRANT ALL ON SCHEMA public TO PUBLIC;

CREATE ROLE imm_nobody;
CREATE ROLE imm_monitor IN ROLE pg_monitor;
CREATE ROLE imm_noinherit NOINHERIT IN ROLE pg_monitor;
CREATE ROLE imm_operator;
GRANT USAGE ON SCHEMA immbackup TO imm_operator;
GRANT EXECUTE ON FUNCTION immbackup.run_now(text[], boolean), immbackup.cancel_run() TO imm_operator;

-- PUBLIC: not even the schema.
SET LOCAL ROLE imm_nobody;
SELECT throws_ok('SELECT * FROM immbackup.' || v, '42501', NULL, 'PUBLIC cannot read view ' || v)
  FROM unnest(ARRAY['audit', 'runs', 'artifacts', 'progress', 'status', 'retention', 'coverage', 'settings']) AS v;
SELECT throws_ok('SELECT immbackup.run_now()', '42501', NULL, 'PUBLIC cannot run');
SELECT throws_ok('SELECT immbackup.cancel_run()', '42501', NULL, 'PUBLIC cannot cancel');
SELECT throws_ok('SELECT immbackup.' || f, '42501', NULL, 'PUBLIC cannot ' || f)
  FROM unnest(ARRAY['hold(''x'', ''y'')', 'release(''x'', ''y'')', 'accept_anomaly(''x'', ''y'')',
                    'retire_database(''x'', ''y'')', 'acknowledge_settings(''y'')', 'acknowledge_clock(''y'')',
                    'prune(false)', 'upload_pending()', 'import()', 's3_check()']) AS f;
SELECT throws_ok('SELECT immbackup.verify_audit()', '42501', NULL, 'PUBLIC cannot verify');
SELECT throws_ok('SELECT immbackup.version()', '42501', NULL, 'PUBLIC cannot ask for the version');
RESET ROLE;
-- The schema alone gives nothing.
GRANT USAGE ON SCHEMA immbackup TO imm_nobody;
SET LOCAL ROLE imm_nobody;
SELECT throws_ok('SELECT * FROM immbackup.' || v, '42501', NULL, 'usage alone does not show view ' || v)
  FROM unnest(ARRAY['audit', 'runs', 'artifacts', 'progress', 'status', 'retention', 'coverage', 'settings']) AS v;
SELECT throws_ok('SELECT immbackup.run_now()', '42501', NULL, 'usage alone does not run');
SELECT throws_ok('SELECT * FROM immbackup.audit(0, 1)', '42501', NULL, 'usage alone does not read');
RESET ROLE;
-- Views do not lend the right to execute what they call.
GRANT SELECT ON immbackup.runs TO imm_nobody;
SET LOCAL ROLE imm_nobody;
SELECT throws_ok('SELECT * FROM immbackup.runs', '42501', NULL, 'select on a view alone does not read');
RESET ROLE;

-- pg_monitor reads everything and does nothing.
SET LOCAL ROLE imm_monitor;
SELECT lives_ok('SELECT * FROM immbackup.' || v, 'pg_monitor reads view ' || v)
  FROM unnest(ARRAY['audit', 'runs', 'artifacts', 'progress', 'status', 'retention', 'coverage', 'settings']) AS v;
SELECT lives_ok('SELECT * FROM immbackup.verify_audit()', 'pg_monitor verifies');
SELECT lives_ok('SELECT immbackup.version()', 'pg_monitor asks for the version');
SELECT ok((SELECT value IS NOT NULL FROM immbackup.settings WHERE name = 'directory'),
          'pg_monitor sees paths');
SELECT throws_ok('SELECT immbackup.run_now()', '42501', NULL, 'pg_monitor cannot run');
SELECT throws_ok('SELECT immbackup.cancel_run()', '42501', NULL, 'pg_monitor cannot cancel');
SELECT throws_ok('SELECT immbackup.' || f, '42501', NULL, 'pg_monitor cannot ' || f)
  FROM unnest(ARRAY['hold(''x'', ''y'')', 'release(''x'', ''y'')', 'accept_anomaly(''x'', ''y'')',
                    'retire_database(''x'', ''y'')', 'acknowledge_settings(''y'')', 'acknowledge_clock(''y'')',
                    'prune(false)']) AS f;
SELECT lives_ok('SELECT * FROM immbackup.retention_preview()', 'pg_monitor sees what other settings would keep');
SELECT throws_ok('CREATE TABLE immbackup.x (a int)', '42501', NULL, 'pg_monitor cannot create in the schema');
RESET ROLE;
-- A member that does not inherit has it only after SET ROLE.
SET LOCAL ROLE imm_noinherit;
SELECT throws_ok('SELECT * FROM immbackup.status', '42501', NULL, 'membership without inheritance does not read');
SET LOCAL ROLE pg_monitor;
SELECT lives_ok('SELECT * FROM immbackup.status', 'with SET ROLE it does');
RESET ROLE;

-- A grantee may act, and reads nothing.
SET LOCAL ROLE imm_operator;
SELECT lives_ok('SELECT immbackup.cancel_run()', 'a grantee cancels');
SELECT throws_ok('SELECT immbackup.run_now()', '25001', NULL,
                 'a grantee gets as far as the check of this transaction');
SELECT throws_ok('SELECT * FROM immbackup.status', '42501', NULL, 'a grantee of acting functions does not read');
RESET ROLE;

-- A superuser does everything.
SELECT lives_ok('SELECT * FROM immbackup.' || v, 'a superuser reads view ' || v)
  FROM unnest(ARRAY['audit', 'runs', 'artifacts', 'progress', 'status', 'retention', 'coverage', 'settings']) AS v;
SELECT lives_ok('SELECT immbackup.cancel_run()', 'a superuser cancels');

SELECT * FROM finish();
ROLLBACK;
