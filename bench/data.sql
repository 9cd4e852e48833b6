-- Several kinds of data, so that no one of them decides what a compressor is worth. :scale 100 makes about 1.1 GB of dump.
-- Rows of numbers, as pgbench has them
CREATE TABLE accounts AS
    SELECT i AS aid, 1 + i / 100000 AS bid, (random() * 100000)::int - 50000 AS abalance, repeat(' ', 84)::char(84) AS filler
    FROM generate_series(1, 20000 * :scale) i;
ALTER TABLE accounts ADD PRIMARY KEY (aid);

-- Measurements: times, sensors, floating point
CREATE TABLE measurements AS
    SELECT timestamptz '2025-01-01 00:00:00+00' + i * interval '7.3 s' AS taken, (random() * 500)::int AS sensor,
           20 + 5 * sin(i / 1000.0) + random() AS temperature, (random() * 1000)::numeric(8, 3) AS pressure
    FROM generate_series(1, 40000 * :scale) i;
CREATE INDEX ON measurements (taken);

-- Events as JSON, with identifiers that no compressor guesses
CREATE TABLE events AS
    SELECT i AS id, gen_random_uuid() AS request,
           jsonb_build_object('type', (ARRAY['login', 'order', 'payment', 'logout'])[1 + i % 4], 'user', (random() * 50000)::int,
                              'amount', round((random() * 500)::numeric, 2), 'ok', random() > 0.02,
                              'client', jsonb_build_object('ip', '10.' || i % 250 || '.' || (random() * 250)::int || '.7',
                                                           'agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36')) AS body
    FROM generate_series(1, 8000 * :scale) i;

-- Text that people wrote: the system's own documents and sources
CREATE TABLE documents (id bigint GENERATED ALWAYS AS IDENTITY, path text, body text);

-- What is compressed already: images and the like
CREATE TABLE images AS
    SELECT i AS id, (SELECT string_agg(sha512((i::text || '.' || k || '.' || random())::bytea), '') FROM generate_series(1, 80) k) AS content
    FROM generate_series(1, 60 * :scale) i;

-- Names, with what is not ASCII
CREATE TABLE customers AS
    SELECT i AS id, (ARRAY['Jürgen', 'Anna', 'Zoë', 'Владимир', '美咲', 'José', 'Mary', 'Łukasz'])[1 + (random() * 7)::int] AS given,
           (ARRAY['Müller', 'Smith', 'Ñandú', 'Иванова', '佐藤', 'García', 'O''Brien', 'Nowak'])[1 + (random() * 7)::int] AS family,
           md5(i::text) AS token, 'street ' || (random() * 9999)::int || ', ' || (random() * 99999)::int AS address,
           CASE WHEN random() < 0.3 THEN NULL ELSE now() - random() * interval '900 days' END AS seen
    FROM generate_series(1, 10000 * :scale) i;
