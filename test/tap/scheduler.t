# Scheduled runs under a clock that the test moves: due times, steps of the clock, restarts, failures and retries, who
# is told, standby and promotion.

use strict;
use warnings;

use ImmbackupTest;
use JSON::PP qw(decode_json);
use MovedClock;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $events = PostgreSQL::Test::Utils::tempdir . '/events';
my $clock = MovedClock->new($ENV{MOVED_CLOCK_LIBRARY}, PostgreSQL::Test::Utils::tempdir . '/clock', '2026-06-01T10:30:00');
my $node = new_node('scheduler', environment => { $clock->environment },
	conf => [ "immbackup.schedule = '0 * * * *'", "immbackup.on_event = '/bin/sh -c \"cat >> $events\"'" ]);
sub q1 { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub records { my ($event) = @_; return grep { $_->{event} eq $event } audit_records($node); }
# The due times of runs and of missed ones, in the order of the log: "11:00 missed:12:00".
sub history
{
	return join ' ', map { $_->{event} eq 'run_missed' ? 'missed:' . substr($_->{body}{due}, 11, 5) : $_->{body}{trigger} eq 'schedule' ? substr($_->{body}{due}, 11, 5) : $_->{body}{trigger} }
	  grep { $_->{event} =~ /^run_(?:missed|requested)$/ } audit_records($node);
}
my $known = '';
# The history since the last call.
sub news { my $all = history(); my $new = substr $all, length $known; $known = $all; return $new =~ s/^ //r; }
sub runs { return q1('SELECT count(*) FROM immbackup.runs'); }
sub wait_runs { my ($count) = @_; return poll { runs() >= $count && q1("SELECT count(*) FROM immbackup.runs WHERE finished IS NULL") == 0 }; }
sub told { return -e $events ? map { decode_json($_) } split /\n/, slurp_file($events) : (); }
sub wait_told { my ($count) = @_; return poll { told() >= $count }; }
sub set_setting { my ($name, $value) = @_; q1("ALTER SYSTEM SET immbackup.$name = $value"); q1('SELECT pg_reload_conf()'); return; }

# --------------------------------------------------------------------------------- due times, steps of the clock
is(q1('SELECT next_due FROM immbackup.status'), '2026-06-01 11:00:00+00', 'the next due time is known');
is(q1('SELECT scheduling, overdue, consecutive_failures FROM immbackup.status'), 't|f|0', 'and nothing is wrong');
is(q1("SELECT string_agg(number || ' ' || due::text, ', ') FROM immbackup.next_runs(2)"), '1 2026-06-01 11:00:00+00, 2 2026-06-01 12:00:00+00', 'next_runs()');
is(q1("SELECT max(due) FROM immbackup.next_runs(3, '30 2 * * *', 'Europe/Vienna')"), '2026-06-04 00:30:00+00', 'of a schedule to be tried');
$clock->set('2026-06-01T10:59:59');
ok(wait_runs(1), 'a due time comes');
is(news(), '11:00', 'and is served');
is(q1('SELECT due, trigger, actor IS NULL, state FROM immbackup.runs'), '2026-06-01 11:00:00+00|schedule|t|good', 'as a run of the schedule');
$clock->set('2026-06-01T14:00:05');
ok(wait_runs(2), 'the clock is set forward');
is(news(), 'missed:12:00 missed:13:00 14:00', 'what was skipped is one run, and the rest is recorded');
$clock->set('2026-06-01T13:59:58');
sleep 4;
is(news(), '', 'set back, nothing runs twice');
$clock->set('2026-06-01T14:59:59');
ok(wait_runs(3), 'until the next due time');
is(news(), '15:00', 'is reached');

# ------------------------------------------------------------------------------------------ reload
set_setting('schedule', q('30 * * * *; @daily'));
ok((poll { q1('SELECT next_due FROM immbackup.status') eq '2026-06-01 15:30:00+00' }), 'another schedule counts at once');
ok((poll { scalar(records('schedule_changed')) == 2 }), 'and is recorded');
$clock->set('2026-06-01T15:29:59');
ok(wait_runs(4), 'its due time');
is(news(), '15:30', 'is served');
set_setting('schedule', q(''));
ok((poll { q1('SELECT next_due IS NULL AND NOT scheduling FROM immbackup.status') eq 't' }), 'without a schedule nothing is due');
set_setting('schedule', q('30 * * * *'));
ok((poll { q1('SELECT next_due FROM immbackup.status') eq '2026-06-01 16:30:00+00' }), 'and with one it is again');

# ------------------------------------------------------------------------------- a run that takes long
q1('CREATE DATABASE shop');
$node->safe_psql('shop', 'CREATE TABLE t AS SELECT 1 AS n');
my $lock = hold_table($node, 'shop', 't');
$clock->set('2026-06-01T16:29:59');
ok(wait_dump_waits($node, 'shop'), 'a scheduled run is held up');
my ($rc, $out, $err) = (0, '', '');
$rc = $node->psql('postgres', 'SELECT immbackup.run_now()', stdout => \$out, stderr => \$err);
isnt($rc, 0, 'run_now() meanwhile is refused');
like($err, qr/going on/, 'as with any other run');
$clock->set('2026-06-01T18:31:00');
release($lock);
ok(wait_runs(6), 'two due times pass; then it goes on');
is(news(), '16:30 missed:17:30 18:30', 'with one run for both');

# ----------------------------------------------------------------------------------------- restarts
$node->stop;
$clock->set('2026-06-01T21:10:00');
start_with($node, $clock->environment);
ready($node, 'after a long stop');
ok(wait_runs(7), 'one run catches up');
is(news(), 'missed:19:30 missed:20:30 catch_up', 'and what was missed is recorded');
$node->stop;
$clock->set('2026-06-01T21:20:00');
start_with($node, $clock->environment);
ready($node, 'after a short stop');
$node->stop;
$clock->set('2026-06-01T21:30:20');
start_with($node, $clock->environment);
ready($node, 'after one over a due time');
is(news(), 'missed:21:30', 'a backup that is young enough needs no other one');
set_setting('catch_up', 'off');
ok((poll { (records('settings_changed'))[-1]{body}{settings}{catch_up} eq 'off' }), 'catch_up is off');
$node->stop;
$clock->set('2026-06-02T00:10:00');
unlink $events;
start_with($node, $clock->environment);
ready($node, 'after a long stop');
sleep 1;
is(news(), 'missed:22:30 missed:23:30', 'nothing catches up');
is(q1('SELECT overdue FROM immbackup.status'), 't', 'and the backups are overdue');
ok(wait_told(1), 'which is told');
is((told())[0]{event}, 'overdue', 'as what it is');
$clock->set('2026-06-02T00:29:59');
ok(wait_runs(8), 'until a run');
is(news(), '00:30', 'comes');
ok(wait_told(2), 'which is told, too');
is((told())[1]{event}, 'recovery', 'as a recovery');
is(q1('SELECT overdue FROM immbackup.status'), 'f', 'they are no longer overdue');

# ----------------------------------------------------------------------------------- failures and retries
set_setting('databases', q('nosuch'));
$clock->set('2026-06-02T01:29:59');
ok(wait_runs(9), 'a run fails');
ok(wait_told(3), 'and is told');
my $failure = (told())[2];
is("$failure->{event} $failure->{consecutive_failures} $failure->{error}{code}", 'failure 1 not_found', 'with its error');
like($failure->{error}{message}, qr/nosuch/, 'which names the database');
my $retry = q1('SELECT extract(epoch FROM retry_at - finished)::int FROM immbackup.status, immbackup.runs ORDER BY run DESC LIMIT 1');
ok($retry >= 47 && $retry <= 73, "it is tried again after a minute, more or less ($retry s)");
$clock->set('2026-06-02T01:31:30');
ok(wait_runs(10), 'a retry comes');
is(news(), '01:30 retry', 'and is one');
is(q1('SELECT consecutive_failures FROM immbackup.status'), 2, 'it fails as well');
ok((poll { q1("SELECT retry_at - finished > '90 s' FROM immbackup.status, immbackup.runs ORDER BY run DESC LIMIT 1") eq 't' }), 'the next one waits longer');
my @warnings = slurp_file($node->logfile) =~ /WARNING:  immbackup run \S+ failed: could not connect to database "nosuch"/g;
is(scalar(@warnings), 1, 'the server log has the same failure once');
set_setting('databases', q(''));
$clock->set('2026-06-02T01:36:00');
ok(wait_runs(11), 'with its reason gone');
is(news(), 'retry', 'the next retry');
is(q1('SELECT consecutive_failures, retry_at IS NULL FROM immbackup.status'), '0|t', 'is good');
ok(wait_told(5), 'and told');
is(join(' ', map { $_->{event} } told()), 'overdue recovery failure failure recovery', 'as a recovery');
ok(scalar(records('notified')) >= 5, 'what was told is in the audit log');
# Cancelled on request: not tried again.
$lock = hold_table($node, 'shop', 't');
$clock->set('2026-06-02T02:29:59');
ok(wait_dump_waits($node, 'shop'), 'a scheduled run');
is(q1('SELECT immbackup.cancel_run()'), 't', 'is cancelled');
ok(wait_runs(12), 'and ends');
release($lock);
is(q1('SELECT retry_at IS NULL FROM immbackup.status'), 't', 'without a retry');
news();

# A program that hangs, or is not there, holds up nothing.
set_setting('on_event', q('/nowhere/program'));
set_setting('databases', q('nosuch'));
$clock->set('2026-06-02T03:29:59');
ok(wait_runs(13), 'a run fails where the program to be told is not there');
ok((poll { scalar(grep { $_->{body}{result} eq 'failed' } records('notified')) >= 1 }), 'that it could not be told is recorded');
set_setting('on_event', q('/bin/sleep 8'));
$clock->set('2026-06-02T04:29:59');
ok((poll { history() =~ /04:30/ && q1('SELECT count(*) FROM immbackup.runs WHERE finished IS NULL') == 0 }), 'a run fails where the program hangs');
set_setting('databases', q(''));
$clock->set('2026-06-02T05:29:59');
ok((poll { history() =~ /05:30/ && q1('SELECT count(*) FROM immbackup.runs WHERE finished IS NULL') == 0 }), 'the next one does not wait for it');
is(news() =~ s/ retry//gr, '03:30 04:30 05:30', 'and is on time');
is_idle($node, 'once it has ended');
# Nor does it outlive the scheduler.
set_setting('on_event', q('/bin/sh -c "sleep 1000; sleep 1001"'));
set_setting('databases', q('nosuch'));
$clock->set('2026-06-02T05:59:00');
my $ended = runs();
eval { q1('SELECT immbackup.run_now()') };
ok((poll { grep { $_->[1] eq 'sleep' } our_processes($node) }), 'a program hangs');
kill 'TERM', scheduler_pid($node);
is_idle($node, 'with the scheduler it is gone');
wait_ready($node);
set_setting('databases', q(''));
set_setting('on_event', q(''));
news();

# -------------------------------------------------------------------------------- a job that dies, a crash
$lock = hold_table($node, 'shop', 't');
$clock->set('2026-06-02T06:29:59');
ok(wait_dump_waits($node, 'shop'), 'a scheduled run');
kill 'KILL', job_pid($node);
allow_crash($node, qr/immbackup run \S+ failed/);
allow_crash($node, qr/immbackup job was terminated by signal 9/);
ok((poll { q1("SELECT state FROM immbackup.runs ORDER BY run DESC LIMIT 1") eq 'failed' }), 'its job dies');
release($lock);
ok((poll { q1('SELECT retry_at IS NOT NULL FROM immbackup.status') eq 't' }), 'it is to be tried again');
my $count = runs();
$clock->set('2026-06-02T06:32:00');
ok(wait_runs($count + 1), 'and is');
is(news(), '06:30 retry', 'without serving the due time twice');
is_sound($node, 'after all');

# ------------------------------------------------------------------------------- a far wrong clock put right
$clock->set('2031-01-01T00:30:30');
ok((poll { history() =~ /00:30$/ && runs() > $count && q1('SELECT count(*) FROM immbackup.runs WHERE finished IS NULL') == 0 }), 'a clock that is years ahead');
$clock->set('2026-06-02T08:00:00');
ok((poll { q1('SELECT next_due FROM immbackup.status') eq '2026-06-02 08:30:00+00' }), 'is put right: the right time counts');
$count = runs();
$clock->set('2026-06-02T08:29:59');
ok(wait_runs($count + 1), 'and runs come');
$node->stop;
is_sound($node, 'at the end');

# ----------------------------------------------------------------------------------- standby and promotion
my $primary = new_node('primary', environment => { $clock->environment }, conf => [ "immbackup.schedule = ''", 'wal_level = replica', 'max_wal_senders = 4', "primary_conninfo = ''" ]);
$primary->safe_psql('postgres', 'CREATE TABLE u AS SELECT 1 AS n; CREATE TABLE t AS SELECT 1 AS n');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
mkdir backup_directory($standby), 0700 or die $!;
$standby->append_conf('postgresql.conf', join "\n", "immbackup.directory = '" . backup_directory($standby) . "'", "immbackup.schedule = '0 * * * *'", 'hot_standby = on', '');
start_with($standby, $clock->environment);
$node = $standby;
wait_ready($node);
$clock->set('2026-06-02T10:00:01');
sleep 1;
is(q1('SELECT scheduling, runs FROM immbackup.status, (SELECT count(*) AS runs FROM immbackup.runs) r'), 'f|0', 'a standby does not run what is for the primary');
is(q1('SELECT next_due IS NULL, overdue FROM immbackup.status'), 't|f', 'and promises nothing');
like(q1('SELECT immbackup.run_now()'), qr/^2026/, 'run_now() works all the same');
$count = runs();
$node->append_conf('postgresql.conf', "immbackup.run_on = 'standby'\n");
$node->reload;
ok((poll { q1('SELECT scheduling FROM immbackup.status') eq 't' }), 'run_on = standby');
$clock->set('2026-06-02T10:59:59');
ok(wait_runs($count + 1), 'runs on it');

# Replay cancels a dump that has locked u, and waits for t.
$node->append_conf('postgresql.conf', "max_standby_streaming_delay = 0\n");
$node->reload;
$lock = hold_table($primary, 'postgres', 't');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
$clock->set('2026-06-02T11:59:59');
ok(wait_dump_waits($node, 'postgres'), 'another one');
$primary->safe_psql('postgres', 'DROP TABLE u');
ok(wait_runs($count + 2), 'is cancelled by replay');
like(q1("SELECT state || ' ' || error_detail || ' ' || error_hint FROM immbackup.runs ORDER BY run DESC LIMIT 1"), qr/failed .*conflict with recovery.*max_standby_streaming_delay/s, 'which says what setting helps');
release($lock);
ok((poll { q1('SELECT retry_at IS NOT NULL FROM immbackup.status') eq 't' }), 'and will be tried again');
$clock->set('2026-06-02T12:02:00');
ok(wait_runs($count + 3), 'and is');
is(q1("SELECT state || ' ' || trigger FROM immbackup.runs ORDER BY run DESC LIMIT 1"), 'good retry', 'with success');
$count += 2;
$node->append_conf('postgresql.conf', "immbackup.run_on = 'primary'\n");
$node->reload;
ok((poll { q1('SELECT NOT scheduling FROM immbackup.status') eq 't' }), 'run_on = primary again');
$clock->set('2026-06-02T12:59:59');
sleep 2;
is(runs(), $count + 1, 'nothing at the next due time');
# A lock of the primary holds up a dump on the standby; the promotion comes in the middle of it.
$lock = hold_table($primary, 'postgres', 't');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
my $held = start_run($node, 'postgres');
ok(wait_dump_waits($node, 'postgres'), 'a run on the standby');
$standby->promote;
is(wait_run_ended($node, $held), 'good', 'is good although the server was promoted during it');
release($lock);
++$count;
ok((poll { q1('SELECT scheduling FROM immbackup.status') eq 't' }), 'promoted');
$clock->set('2026-06-02T13:59:59');
ok(wait_runs($count + 2), 'it takes over with the next due time, without a restart');
unlike(history(), qr/missed/, 'and what was not its own was not missed');
is_sound($node, 'after the promotion');
$standby->stop;
$primary->stop;
done_testing;
