-- The views show what is there, whatever is there.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT (SELECT count(*) FROM immbackup.audit(0, 3)) AS first_three,
       (SELECT min(seq) FROM immbackup.audit(2, 1)) AS after_two,
       (SELECT count(*) FROM immbackup.audit(0, 0)) AS none,
       (SELECT count(*) FROM immbackup.audit(1000000)) AS past_the_end,
       (SELECT count(*) FROM immbackup.audit(NULL, NULL))
           = (SELECT count(*) FROM immbackup.audit) AS nulls_are_all;
SELECT * FROM immbackup.audit(0, -1);
-- Each record has its place, its parent and a body that is JSON.
SELECT bool_and(seq = before + 1) AS counted, bool_and(prev = parent) AS chained,
       bool_and(json_typeof(body) = 'object') AS bodies, bool_and(problem IS NULL) AS sound
  FROM (SELECT *, lag(seq) OVER w AS before, lag(hash) OVER w AS parent
          FROM immbackup.audit WINDOW w AS (ORDER BY seq)) AS records
 WHERE before IS NOT NULL;

-- A file that is gone shows at once; the other artifacts do not suffer.
SELECT artifact AS victim FROM immbackup.artifacts ORDER BY artifact LIMIT 1 \gset
\setenv VICTIM :victim
\! rm -f "$BACKUP_DIR/active/$VICTIM.sql.gz.sha256"
SELECT state, count(*) FROM immbackup.artifacts GROUP BY state ORDER BY state;
-- The runs are what they were.
SELECT DISTINCT state FROM immbackup.runs;

-- A damaged log makes no view fail; it is shown, and not sound. First a record that was changed.
\! cp "$BACKUP_DIR/logs/backup_audit.jsonl" "$BACKUP_DIR/kept"
\! sed '3s/"origin":"job"/"origin":"jab"/' "$BACKUP_DIR/kept" > "$BACKUP_DIR/logs/backup_audit.jsonl"
SELECT sound, first_bad_seq, problem IS NOT NULL AS explained FROM immbackup.verify_audit();
SELECT count(*) AS bad, bool_and(problem IS NOT NULL) AS explained FROM immbackup.audit WHERE seq IS NULL;
SELECT last_success IS NOT NULL AS known FROM immbackup.status;
SELECT count(*) > 0 AS still_there FROM immbackup.runs;
SELECT count(*) > 0 AS still_there FROM immbackup.artifacts;
-- A record that was taken out.
\! sed '3d' "$BACKUP_DIR/kept" > "$BACKUP_DIR/logs/backup_audit.jsonl"
SELECT sound, first_bad_seq, problem IS NOT NULL AS explained FROM immbackup.verify_audit();
-- A last line that a power cut tore off is not a break; it is told.
\! cp "$BACKUP_DIR/kept" "$BACKUP_DIR/logs/backup_audit.jsonl" && printf '{"seq":' >> "$BACKUP_DIR/logs/backup_audit.jsonl"
SELECT sound, first_bad_seq, problem FROM immbackup.verify_audit();
SELECT count(*) AS bad, bool_and(problem IS NOT NULL) AS explained FROM immbackup.audit WHERE seq IS NULL;
-- What is no log at all: nothing but noise, and nothing.
\! gzip -n -9 < "$BACKUP_DIR/kept" > "$BACKUP_DIR/logs/backup_audit.jsonl"
SELECT records, problem IS NOT NULL AS explained FROM immbackup.verify_audit();
SELECT count(*) > 0 AS shown, bool_and(problem IS NOT NULL) AS explained FROM immbackup.audit;
SELECT worker_state, audit_problem IS NOT NULL AS explained FROM immbackup.status;
\! mv "$BACKUP_DIR/logs" "$BACKUP_DIR/elsewhere"
SELECT records, sound FROM immbackup.verify_audit();
SELECT worker_state, audit_records, last_success FROM immbackup.status;
SELECT count(*) FROM immbackup.runs;
\! mv "$BACKUP_DIR/elsewhere" "$BACKUP_DIR/logs" && mv "$BACKUP_DIR/kept" "$BACKUP_DIR/logs/backup_audit.jsonl"
SELECT sound, problem FROM immbackup.verify_audit();

-- Through a database of another encoding: nothing that it lacks makes a view fail.
CREATE DATABASE "größe" ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE cyrillic ENCODING 'KOI8R' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
SELECT immbackup.run_now(ARRAY['größe']) IS NOT NULL AS done;
\c latin
SET client_encoding = 'UTF8';
CREATE EXTENSION immbackup;
SELECT immbackup.run_now(ARRAY['größe']) IS NOT NULL AS done;
SELECT DISTINCT database FROM immbackup.artifacts WHERE database LIKE 'gr%';
\c cyrillic
SET client_encoding = 'UTF8';
CREATE EXTENSION immbackup;
SELECT DISTINCT database FROM immbackup.artifacts WHERE database LIKE 'gr%';
\c contrib_regression
DROP DATABASE "größe";
DROP DATABASE latin;
DROP DATABASE cyrillic;
