# Runs as a session sees them: waiting or not, two at once, cancelled, interrupted, refused; progress and status;
# several databases, one that fails, hostile names; a restart of the server.

use strict;
use warnings;
use utf8;

use ImmbackupTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('runs');
sub q1 { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
# Exit status, stdout, stderr of statements in one session.
sub try_sql { my ($sql, $database) = @_; my ($out, $err) = ('', ''); my $rc = $node->psql($database // 'postgres', $sql, stdout => \$out, stderr => \$err); return ($rc, $out, $err); }
sub fails_like
{
	my ($sql, $pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, $out, $err) = try_sql($sql);
	isnt($rc, 0, "$what: refused");
	like($err, $pattern, "$what: says why");
	return;
}

q1('CREATE DATABASE shop');
$node->safe_psql('shop', q(CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 5000) AS n));

# ------------------------------------------------------------------------------------------ one run
my $run = q1('SELECT immbackup.run_now()');
like($run, qr/^\d{8}T\d{6}Z$/, 'run_now() returns the run id');
is(q1("SELECT state FROM immbackup.runs WHERE run = '$run'"), 'good', 'the run is good');
is(q1("SELECT count(*) FROM immbackup.runs WHERE run = '$run' AND requested <= started AND started <= finished"), 1, 'its times are in order');
is( q1("SELECT string_agg(coalesce(database, '(globals)'), ' ' ORDER BY database) FROM immbackup.artifacts WHERE run = '$run'"),
	'postgres shop (globals)', 'every database and the globals were dumped');
is(q1("SELECT rows FROM immbackup.artifacts WHERE run = '$run' AND database = 'shop'"), 5000, 'rows are counted');
is( q1("SELECT string_agg(event, ' ' ORDER BY seq) FROM immbackup.audit WHERE body ->> 'run' = '$run'"),
	'run_requested run_started artifact_sealed artifact_sealed artifact_sealed run_finished', 'and recorded, event by event');
is(q1('SELECT last_success_run FROM immbackup.status'), $run, 'status knows the last success');
is_sound($node, 'after a run');

# Two runs within one second do not share an id.
my @ids = split /\n/, q1("SELECT immbackup.run_now('{postgres}') FROM generate_series(1, 3)");
is(scalar(@ids), 3, 'three runs in one statement');
is(scalar(keys %{ { map { $_ => 1 } @ids } }), 3, 'have ids of their own');
is(join(' ', sort @ids), join(' ', @ids), 'which grow');

# ------------------------------------------------------------------------------- while one is going on
my $lock = hold_table($node, 'shop', 't');
$run = start_run($node);
ok(wait_dump_waits($node, 'shop'), 'a held table holds up the run');
is(run_state($node, $run), 'running', 'which is running');
is(q1('SELECT current_run FROM immbackup.status'), $run, 'status shows it');
is(q1("SELECT run || ' ' || phase || ' ' || database || ' ' || databases_total FROM immbackup.progress"), "$run dumping shop 3", 'and so does progress');
fails_like('SELECT immbackup.run_now()', qr/\Q$run\E/, 'a second run');
fails_like('SELECT immbackup.run_now(wait => false)', qr/going on/, 'without waiting too');
q1('CREATE DATABASE bystander');
q1('DROP DATABASE bystander');
pass('DROP DATABASE of another database is not held up');
is(q1('SELECT immbackup.cancel_run()'), 't', 'cancel_run() finds it');
is(wait_run_ended($node, $run), 'cancelled', 'and ends it');
like(q1("SELECT error FROM immbackup.runs WHERE run = '$run'"), qr/cancel/, 'saying so');
is(q1('SELECT immbackup.cancel_run()'), 'f', 'there is nothing to cancel any more');
is_sound($node, 'after cancel_run()');

# The waiter's own error when somebody else cancels.
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/asked/, "\\echo asked\nSELECT immbackup.run_now();\n");
ok(wait_dump_waits($node, 'shop'), 'somebody waits for a run');
q1('SELECT immbackup.cancel_run()');
$waiter->query('SELECT 1');
like($waiter->{stderr}, qr/cancel/, 'and is told that it was cancelled');
$waiter->{stderr} = '';

# Ctrl-C in the waiting session leaves the run going.
$waiter->query_until(qr/asked/, "\\echo asked\nSELECT immbackup.run_now();\n");
ok(wait_dump_waits($node, 'shop'), 'somebody waits again');
$run = last_run($node);
is(q1(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT immbackup.run_now()%' AND state = 'active' AND pid <> pg_backend_pid())),
	't', 'and has enough of it');
$waiter->query('SELECT 1');
like($waiter->{stderr}, qr/canceling statement due to user request/, 'the statement ends');
is(run_state($node, $run), 'running', 'the run does not');
release($lock);
is(wait_run_ended($node, $run), 'good', 'and ends well');
release($waiter);
is_sound($node, 'after Ctrl-C');

# A session that goes away while it waits.
$lock = hold_table($node, 'shop', 't');
$waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/asked/, "\\echo asked\nSELECT immbackup.run_now('{shop}');\n");
ok(wait_dump_waits($node, 'shop'), 'a session waits');
$run = last_run($node);
q1(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT immbackup.run_now(%' AND state = 'active' AND pid <> pg_backend_pid()});
release($waiter);
release($lock);
is(wait_run_ended($node, $run), 'good', 'its end does not end the run');

# ------------------------------------------------------------------------------------------ deadlocks
fails_like('BEGIN; CREATE TABLE x (); SELECT immbackup.run_now(); COMMIT', qr/transaction/, 'waiting in a transaction that wrote');
q1('CREATE TABLE lockable ()');
fails_like('BEGIN; LOCK TABLE lockable IN SHARE MODE; SELECT immbackup.run_now(); COMMIT', qr/lock/, 'or that holds a lock');
fails_like('BEGIN; LOCK TABLE pg_catalog.pg_description IN ACCESS EXCLUSIVE MODE; SELECT immbackup.run_now(); COMMIT', qr/exclusive lock/, 'or an exclusive one on a catalog');
is(q1("BEGIN; CREATE TABLE x (); SELECT immbackup.run_now('{shop}', wait => false) IS NOT NULL; COMMIT"), 't', 'not waiting is fine');
is(wait_run_ended($node, last_run($node)), 'good', 'and ends well');

# ------------------------------------------------------------------------------------ several databases
my ($rc, $out, $err) = try_sql("SELECT immbackup.run_now('{shop,nosuch,postgres}')");
isnt($rc, 0, 'a database that does not exist fails the run');
like($err, qr/nosuch/, 'by name');
$run = last_run($node);
is(run_state($node, $run), 'failed', 'the run has failed');
is( q1("SELECT string_agg(database, ' ' ORDER BY database) FROM immbackup.artifacts WHERE run = '$run' AND state = 'good'"),
	'postgres shop', 'the others are good all the same');
# One that exists and cannot be dumped: its function is broken by hand.
q1('CREATE DATABASE broken');
$node->safe_psql('broken', 'CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$');
$node->safe_psql('broken', q(UPDATE pg_proc SET prolang = 99999 WHERE proname = 'f'));
($rc, $out, $err) = try_sql('SELECT immbackup.run_now()');
isnt($rc, 0, 'a database that pg_dump cannot dump fails the run');
like($err, qr/broken/, 'by name');
like($err, qr/pg_dump/, "with pg_dump's own words");
$run = last_run($node);
is( q1("SELECT string_agg(coalesce(database, '(globals)'), ' ' ORDER BY database) FROM immbackup.artifacts WHERE run = '$run'"),
	'postgres shop (globals)', 'the others are there');
is(q1("SELECT body ->> 'database' FROM immbackup.audit WHERE event = 'artifact_failed' ORDER BY seq DESC LIMIT 1"), 'broken', 'and the failure is recorded');
is(q1('SELECT last_error_run FROM immbackup.status'), $run, 'status shows it');
q1('DROP DATABASE broken');
is_sound($node, 'after failures');

# ------------------------------------------------------------------------------------ hostile names
my @names = ('a=b', 'postgres://host/db', '-d', '--help', "it's", 'back\\slash', 'sp ace', '../up', '.', 'glob*', 'größe', 'globals', 'say "hi"',
	'semi;colon', "new\nline", 'sslmode=disable host=nowhere');
for my $name (@names)
{
	my $identifier = $name =~ s/"/""/gr;
	q1(qq(CREATE DATABASE "$identifier"));
}
$run = q1('SELECT immbackup.run_now()');
is(run_state($node, $run), 'good', 'a run over hostile database names is good');
is(q1("SELECT count(*) FROM immbackup.artifacts WHERE run = '$run' AND state = 'good' AND NOT globals"), @names + 2, 'each has its artifact');
is(q1("SELECT count(DISTINCT database) FROM immbackup.artifacts WHERE run = '$run'"), @names + 2, 'under its name');
is_sound($node, 'after hostile names');
for my $name (@names)
{
	my $identifier = $name =~ s/"/""/gr;
	q1(qq(DROP DATABASE "$identifier"));
}

# ------------------------------------------------------------ the database that is dumped is dropped
q1('CREATE DATABASE doomed');
$node->safe_psql('doomed', 'CREATE TABLE t AS SELECT 1 AS n');
$lock = hold_table($node, 'doomed', 't');
$run = start_run($node, 'doomed,postgres');
ok(wait_dump_waits($node, 'doomed'), 'a database is being dumped');
fails_like('DROP DATABASE doomed', qr/being accessed by other users/, 'dropping it');
q1('DROP DATABASE doomed WITH (FORCE)');
is(wait_run_ended($node, $run), 'failed', 'dropping it by force fails the run');
like(q1("SELECT error || ' ' || coalesce(error_detail, '') FROM immbackup.runs WHERE run = '$run'"), qr/doomed/, 'by name');
is(q1("SELECT database FROM immbackup.artifacts WHERE run = '$run'"), 'postgres', 'and not that of the other one');
is(run_state($node, q1('SELECT immbackup.run_now()')), 'good', 'the next run is good');
release($lock);
is_sound($node, 'after DROP DATABASE');

# -------------------------------------------------------------------------------------------- restart
my $before = q1('SELECT count(*) FROM immbackup.artifacts');
$node->restart;
ready($node, 'after a restart');
is(q1('SELECT count(*) FROM immbackup.artifacts'), $before, 'a restart forgets nothing');
is(q1('SELECT sound FROM immbackup.verify_audit()'), 't', 'and verify_audit() agrees');
# At a fast shutdown the postmaster signals the scheduler and then its group, in which a job may just be starting.
$node->restart, ready($node, 'after another') for 1 .. 8;
$node->stop;
my @events = map { $_->{event} } audit_records($node);
is(scalar(grep { $_ eq 'worker_started' } @events), 10, 'every start is recorded');
is(scalar(grep { $_ eq 'worker_stopped' } @events), 10, 'and every stop');
is_sound($node, 'at the end');
done_testing;
