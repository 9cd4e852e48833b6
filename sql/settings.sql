-- Settings: the table of them, bad values refused with their reason, good ones in effect at reload.
\set VERBOSITY default
SELECT name, unit, environment, context, pending_restart FROM immbackup.settings ORDER BY name COLLATE "C";
SELECT name, value, origin FROM immbackup.settings
 WHERE name NOT IN ('directory', 'host', 'port') ORDER BY name COLLATE "C";
SELECT origin, environment_used, value = current_setting('immbackup.directory') AS in_effect
  FROM immbackup.settings WHERE name = 'directory';
-- Where nothing is set, this very server.
SELECT name, value = CASE name WHEN 'port' THEN current_setting('port')
                               ELSE current_setting('unix_socket_directories') END AS our_own
  FROM immbackup.settings WHERE name IN ('host', 'port') ORDER BY name;
-- All of them, with the names the table has.
SELECT count(*) = (SELECT count(*) FROM pg_settings WHERE name LIKE 'immbackup.%') AS all_there
  FROM immbackup.settings;

ALTER SYSTEM SET immbackup.schedule = '61 * * * *';
ALTER SYSTEM SET immbackup.schedule = 'now and then';
ALTER SYSTEM SET immbackup.timezone = 'Mars/Olympus';
ALTER SYSTEM SET immbackup.compression = 'lz4';
ALTER SYSTEM SET immbackup.compression = 'gzip:10';
ALTER SYSTEM SET immbackup.databases = 'a, "b';
ALTER SYSTEM SET immbackup.dump_globals = 'perhaps';
ALTER SYSTEM SET immbackup.pg_dump_options = '--format=custom';
ALTER SYSTEM SET immbackup.pg_dump_options = '"unclosed';
ALTER SYSTEM SET immbackup.retention_days = -2;
ALTER SYSTEM SET immbackup.nice = 20;
ALTER SYSTEM SET immbackup.run_timeout = 'soon';
ALTER SYSTEM SET immbackup.directory = 'relative/path';
ALTER SYSTEM SET immbackup.password_file = 'relative';
SET immbackup.nice = 1;

ALTER SYSTEM SET immbackup.retention_days = 30;
ALTER SYSTEM SET immbackup.run_timeout = '2h';
ALTER SYSTEM SET immbackup.directory = '/somewhere/else';
SELECT pg_reload_conf();
-- The scheduler records what changed.
DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN (SELECT count(*) FROM immbackup.audit
                    WHERE event = 'settings_changed' AND body ->> 'at' = 'reload') > 0;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT key, value FROM immbackup.audit, json_each_text(body -> 'changes')
 WHERE event = 'settings_changed' AND body ->> 'at' = 'reload' ORDER BY seq, key;
SELECT name, value, origin FROM immbackup.settings
 WHERE name IN ('retention_days', 'retention_hourly_days', 'run_timeout') ORDER BY name;
-- The directory takes a restart.
SELECT name, pending_restart FROM immbackup.settings WHERE pending_restart;
SELECT settings_pending_restart FROM immbackup.status;

ALTER SYSTEM RESET immbackup.retention_days;
ALTER SYSTEM RESET immbackup.run_timeout;
ALTER SYSTEM RESET immbackup.directory;
SELECT pg_reload_conf();
DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN (SELECT count(*) FROM immbackup.audit
                    WHERE event = 'settings_changed' AND body ->> 'at' = 'reload') > 1;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT name, value, origin FROM immbackup.settings
 WHERE name IN ('retention_days', 'run_timeout') ORDER BY name;

-- Without the right to read all settings, paths are not shown.
CREATE ROLE immbackup_reader;
GRANT USAGE ON SCHEMA immbackup TO immbackup_reader;
GRANT EXECUTE ON FUNCTION immbackup.settings() TO immbackup_reader;
SET ROLE immbackup_reader;
SELECT name, value FROM immbackup.settings()
 WHERE name IN ('directory', 'password_file', 'pg_dump_options', 'nice') ORDER BY name;
RESET ROLE;
REVOKE ALL ON FUNCTION immbackup.settings() FROM immbackup_reader;
REVOKE ALL ON SCHEMA immbackup FROM immbackup_reader;
DROP ROLE immbackup_reader;
