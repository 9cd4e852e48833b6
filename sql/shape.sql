-- What CREATE EXTENSION makes: schema, functions, views, their comments and their privileges.
CREATE EXTENSION immbackup;
SELECT extname, extnamespace::regnamespace AS schema, extrelocatable FROM pg_extension
 WHERE extname = 'immbackup';
SELECT proname, oidvectortypes(proargtypes) AS arguments, pg_get_function_result(oid) AS result, provolatile,
       proisstrict, proparallel
  FROM pg_proc WHERE pronamespace = 'immbackup'::regnamespace ORDER BY proname COLLATE "C";
\d immbackup.audit
\d immbackup.runs
\d immbackup.artifacts
\d immbackup.progress
\d immbackup.status
\d immbackup.settings
-- Every object has a comment.
SELECT pg_describe_object(classid, objid, objsubid) AS without_comment
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'immbackup')
   AND deptype = 'e'
   AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
   AND obj_description(objid, classid::regclass::name) IS NULL;
-- Acting functions are granted to nobody, reading ones to pg_monitor, nothing to PUBLIC.
SELECT p.proname,
       has_function_privilege('public', p.oid, 'EXECUTE') AS public,
       has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS pg_monitor
  FROM pg_proc p WHERE p.pronamespace = 'immbackup'::regnamespace ORDER BY 1;
SELECT c.relname,
       has_table_privilege('public', c.oid, 'SELECT') AS public,
       has_table_privilege('pg_monitor', c.oid, 'SELECT') AS pg_monitor
  FROM pg_class c WHERE c.relnamespace = 'immbackup'::regnamespace ORDER BY 1;
SELECT has_schema_privilege('public', 'immbackup', 'USAGE') AS public,
       has_schema_privilege('pg_monitor', 'immbackup', 'USAGE') AS pg_monitor,
       has_schema_privilege('pg_monitor', 'immbackup', 'CREATE') AS pg_monitor_create;
-- The library is the version that is installed.
SELECT immbackup.version() = extversion AS same_version FROM pg_extension WHERE extname = 'immbackup';
-- Made again, it is the same.
DROP EXTENSION immbackup;
SELECT count(*) FROM pg_namespace WHERE nspname = 'immbackup';
CREATE EXTENSION immbackup;
