-- The schedule: due times of the one in effect and of ones to be tried; what is refused.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SHOW immbackup.schedule;
-- There is none in these tests, so that no run comes between.
SELECT count(*) FROM immbackup.next_runs(5);
SELECT scheduling, next_due, retry_at, overdue, consecutive_failures FROM immbackup.status;
SELECT count(*), min(number), max(number), bool_and(due > now()) AS ahead,
       max(due) - min(due) AS span, bool_and(extract(minute FROM due) = 0) AS on_the_hour
  FROM immbackup.next_runs(25, '@hourly');
SELECT bool_and(extract(hour FROM due AT TIME ZONE 'Europe/Vienna') = 2) AS by_the_wall
  FROM immbackup.next_runs(20, '30 2 1 * *', 'Europe/Vienna');
SELECT count(*) FROM immbackup.next_runs(0, '@daily');
SELECT count(*) FROM immbackup.next_runs(NULL, '@daily');
SELECT count(*) FROM immbackup.next_runs(-1, '@daily');
SELECT count(*) FROM immbackup.next_runs(100001, '@daily');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT count(*) FROM immbackup.next_runs(1, '0 0 31 2 *');
SELECT count(*) FROM immbackup.next_runs(1, '@reboot');
SELECT count(*) FROM immbackup.next_runs(1, '@daily', 'Mars/Olympus');
ALTER SYSTEM SET immbackup.run_on = 'both';
ALTER SYSTEM SET immbackup.on_event = 'mail root';
SET immbackup.schedule = '@daily';
