-- Prints what a database holds, a line for each thing, so that two databases can be compared by diff: rows and a hash
-- of every table's content, sequences, large objects, definitions of views, functions, constraints, indexes,
-- triggers and policies, comments and privileges.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;
SET row_security = off;
SET extra_float_digits = 3;
SET timezone = 'UTC';
SET client_encoding = 'UTF8';

CREATE FUNCTION pg_temp.user_relations(kinds text) RETURNS TABLE (relation oid, name text) LANGUAGE sql AS $$
    SELECT c.oid, c.oid::regclass::text FROM pg_class c
     WHERE c.oid >= 16384 AND strpos(kinds, c.relkind::text) > 0
       AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)')
     ORDER BY c.oid::regclass::text COLLATE "C"
$$;

SELECT format('SELECT %L || count(*) || '' rows '' || coalesce(md5(string_agg(h, '''' ORDER BY h)), ''-'') FROM (SELECT md5(t::text) COLLATE "C" AS h FROM ONLY %s t) x',
              'table ' || name || ': ', name) FROM pg_temp.user_relations('rm') \gexec
SELECT format('SELECT %L || last_value || '' '' || is_called::text FROM %s', 'sequence ' || name || ': ', name)
  FROM pg_temp.user_relations('S') \gexec
SELECT 'view ' || name || ': ' || md5(pg_get_viewdef(relation)) FROM pg_temp.user_relations('vm');
SELECT 'index ' || name || ': ' || pg_get_indexdef(relation) FROM pg_temp.user_relations('iI');
SELECT 'column ' || name || '.' || attname || ': ' || format_type(atttypid, atttypmod) || ' ' || attnotnull::text || ' ' || attgenerated::text || attidentity::text
       || ' ' || coalesce(pg_get_expr(adbin, adrelid), '') || ' ' || coalesce(array_to_string(attacl, ','), '')
  FROM pg_temp.user_relations('rpv') JOIN pg_attribute ON attrelid = relation AND attnum > 0 AND NOT attisdropped
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum ORDER BY name COLLATE "C", attnum;
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ': ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE oid >= 16384 ORDER BY 1;
SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE oid >= 16384 AND NOT tgisinternal ORDER BY 1;
SELECT 'policy ' || polrelid::regclass || ' ' || polname || ': ' || pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY 1;
SELECT 'function ' || oid::regprocedure || ': ' || md5(pg_get_functiondef(oid)) || ' ' || coalesce(array_to_string(proacl, ','), '')
  FROM pg_proc WHERE oid >= 16384 AND prokind IN ('f', 'p') AND pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp') ORDER BY 1;
SELECT 'relation ' || name || ': ' || pg_get_userbyid(relowner) || ' ' || relpersistence::text || ' ' || relrowsecurity::text || ' ' || coalesce(array_to_string(relacl, ','), '')
  FROM pg_temp.user_relations('rpvmS') JOIN pg_class ON oid = relation;
SELECT 'schema ' || nspname || ': ' || pg_get_userbyid(nspowner) || ' ' || coalesce(array_to_string(nspacl, ','), '')
  FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp' ORDER BY 1;
SELECT 'enum ' || enumtypid::regtype || ': ' || string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum GROUP BY enumtypid ORDER BY 1;
SELECT 'large object ' || m.oid || ': ' || pg_get_userbyid(lomowner) || ' ' || md5(lo_get(m.oid)) FROM pg_largeobject_metadata m ORDER BY m.oid;
SELECT 'comment ' || pg_describe_object(classoid, objoid, objsubid) || ': ' || md5(description) FROM pg_description
 WHERE objoid >= 16384 ORDER BY 1;
SELECT 'extension ' || extname FROM pg_extension ORDER BY 1;
