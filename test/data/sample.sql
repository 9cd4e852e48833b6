-- A sample database: what pg_dump finds hard, and some hundred thousand rows. Loads in a few seconds; the same
-- content every time.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'Everything that is sold; and a quote: ''';

CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'happy', 'überglücklich');
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '^[^@]+@[^@]+$');
CREATE TYPE shop.address AS (street text, zip text, city text);

CREATE TABLE shop.customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email shop.email UNIQUE,
    mood shop.mood DEFAULT 'ok',
    home shop.address,
    tags text[],
    profile jsonb,
    key uuid,
    origin inet,
    since timestamptz,
    lucky int4range,
    balance numeric(12, 2),
    picture bytea,
    name_length int GENERATED ALWAYS AS (length(name)) STORED
);
INSERT INTO shop.customer (name, email, mood, home, tags, profile, key, origin, since, lucky, balance, picture)
SELECT CASE n % 5 WHEN 0 THEN 'Zoë ' WHEN 1 THEN '山田' WHEN 2 THEN E'tab\there ' WHEN 3 THEN E'back\\slash ' ELSE E'new\nline ' END || n,
       'c' || n || '@example.org',
       (ARRAY['sad', 'ok', 'happy', 'überglücklich'])[n % 4 + 1]::shop.mood,
       ROW('Straße ' || n, lpad(n::text, 5, '0'), CASE WHEN n % 7 = 0 THEN NULL ELSE 'Wien, "1. Bezirk"' END)::shop.address,
       ARRAY['a', 'b"c', NULL, 'd,e', ''],
       jsonb_build_object('n', n, 'text', repeat('lorem ipsum ', n % 5), 'null', NULL),
       md5(n::text)::uuid,
       ('10.' || n % 256 || '.' || n / 256 % 256 || '.1')::inet,
       CASE WHEN n % 1000 = 0 THEN 'infinity'::timestamptz ELSE timestamptz '2020-01-01 00:00+00' + n * interval '37 minutes' END,
       int4range(n, n + 10),
       n * 1.01,
       decode(md5(n::text), 'hex')
  FROM generate_series(1, 60000) AS n;

CREATE TABLE shop.event (at date NOT NULL, customer bigint NOT NULL, kind text, amount double precision)
    PARTITION BY RANGE (at);
CREATE TABLE shop.event_2024 PARTITION OF shop.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE shop.event_2025 PARTITION OF shop.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.event_other PARTITION OF shop.event DEFAULT;
INSERT INTO shop.event
SELECT date '2024-01-01' + n % 1000, n % 60000 + 1, 'kind ' || n % 10, n / 7.0 FROM generate_series(1, 250000) AS n;
CREATE INDEX ON shop.event (customer);

-- Rows of a parent and of what inherits from it.
CREATE TABLE shop.parent (id int PRIMARY KEY, note text);
CREATE TABLE shop.child (extra text) INHERITS (shop.parent);
INSERT INTO shop.parent SELECT n, 'parent' FROM generate_series(1, 10) AS n;
INSERT INTO shop.child SELECT n, 'child', 'x' FROM generate_series(11, 25) AS n;

-- What would fool a reader that looks for words.
CREATE TABLE shop.specials (id int PRIMARY KEY, body text);
INSERT INTO shop.specials VALUES (1, '\.'), (2, '\N'), (3, NULL), (4, ''), (5, E'a\tb\nc\rd\\e'),
    (6, '-- PostgreSQL database dump complete'), (7, 'COPY shop.customer (id) FROM stdin;'),
    (8, E'line one\n\\.\n-- PostgreSQL database dump complete\n'), (9, U&'\+01F600'), (10, repeat('x', 100000));
CREATE FUNCTION shop.fake_dump() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
    RETURN $text$
COPY public.nothing (id) FROM stdin;
1
2
\.
--
-- PostgreSQL database dump complete
--
$text$;
END $f$;
CREATE FUNCTION shop.quoted() RETURNS text LANGUAGE sql AS 'SELECT ''it''''s; COPY x FROM stdin;''';
CREATE FUNCTION shop.standard(a int) RETURNS int LANGUAGE sql
BEGIN ATOMIC
    SELECT a + length('; COPY public.t (id) FROM stdin;'::text);
END;

CREATE TABLE "odd; -- ""name""
with newline" ("a b" int, "select" text, "Größe" numeric);
INSERT INTO "odd; -- ""name""
with newline" SELECT n, 'row ' || n, n / 3.0 FROM generate_series(1, 100) AS n;
CREATE TABLE public.no_columns ();
INSERT INTO public.no_columns SELECT FROM generate_series(1, 7);
CREATE TABLE public.empty (id int);
CREATE UNLOGGED TABLE public.unlogged AS SELECT n FROM generate_series(1, 50) AS n;

CREATE SEQUENCE shop.counter START 1000 INCREMENT 7;
SELECT nextval('shop.counter'), nextval('shop.counter') \g /dev/null

CREATE VIEW shop.rich AS SELECT id, name FROM shop.customer WHERE balance > 50000;
CREATE MATERIALIZED VIEW shop.per_kind AS SELECT kind, count(*) AS n FROM shop.event GROUP BY kind;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := NEW.note || '!'; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON shop.parent FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.specials ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON shop.specials USING (id < 5);
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT SELECT (id, name) ON shop.customer TO PUBLIC;
COMMENT ON TABLE shop.specials IS 'COPY shop.specials (id) FROM stdin;
-- a comment that looks like one';

SELECT lo_from_bytea(500001, decode(repeat('00ff5c27', 50000), 'hex')), lo_from_bytea(500002, ''::bytea),
       lo_from_bytea(500003, convert_to('größer', 'UTF8')) \g /dev/null
COMMENT ON LARGE OBJECT 500001 IS 'large';
