# Every minute for an hour of a fast clock, with kills at random moments: every due time is served once or recorded as
# missed, none twice. SOAK_SECONDS (default 40) of real time; a minute lasts two seconds.

use strict;
use warnings;

use ImmbackupTest;
use MovedClock;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Local qw(timegm);

my $seconds = $ENV{SOAK_SECONDS} // 40;
my $seed = $ENV{SOAK_SEED} // time;
srand $seed;
diag("SOAK_SEED=$seed SOAK_SECONDS=$seconds");
my $clock = MovedClock->new($ENV{MOVED_CLOCK_LIBRARY}, PostgreSQL::Test::Utils::tempdir . '/clock', '2026-06-01T00:00:30', 30);
my $node = new_node('soak', environment => { $clock->environment }, conf => [ "immbackup.schedule = '* * * * *'", 'restart_after_crash = on' ]);
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 20000) AS n');

# Kills somebody, or restarts the server, and waits until the worker is back.
sub strike
{
	my $what = int rand 5;
	my ($job) = map { $_->[0] } grep { $_->[1] eq 'immbackup' } our_processes($node);
	my ($dump) = map { $_->[0] } grep { $_->[1] =~ /^pg_dump/ } our_processes($node);
	if ($what == 0 && $job) { kill 'KILL', $job; return 'job'; }
	if ($what == 1 && $dump) { kill 'KILL', $dump; return 'pg_dump'; }
	if ($what == 2) { kill 'TERM', scheduler_pid($node); return 'scheduler terminated'; }
	if ($what == 3) { kill 'KILL', scheduler_pid($node); return 'scheduler killed'; }
	if ($what == 4)
	{
		$node->stop(rand() < 0.5 ? 'fast' : 'immediate');
		sleep rand 4;
		start_with($node, $clock->environment);
		return 'server';
	}
	return 'nobody';
}

my $end = time + $seconds;
my %struck;
while (time < $end)
{
	sleep rand 2;
	++$struck{ strike() };
	wait_ready($node);
}
diag(join ', ', map { "$_: $struck{$_}" } sort keys %struck);
allow_crash($node, qr/./);  # of our making, all of them
# The last strike's due times are served or missed as well.
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM immbackup.runs');
ok((poll { $node->safe_psql('postgres', 'SELECT count(*) FROM immbackup.runs WHERE finished IS NOT NULL') > $before + 1 }), 'runs go on');
$node->stop;
is_sound($node, 'after the soak');

my (%seen, $last);
for my $record (audit_records($node))
{
	next unless $record->{event} =~ /^run_(?:missed|requested)$/ && $record->{body}{due};
	my ($y, $mo, $d, $h, $mi) = ($record->{body}{until} // $record->{body}{due}) =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+)/;
	die 'a range is not expected here' if $record->{body}{until};
	my $minute = timegm(0, $mi, $h, $d, $mo - 1, $y) / 60;
	push @{ $seen{$minute} }, "$record->{seq} $record->{event}";
	$last = $minute if !defined $last || $minute > $last;
}
# Promised since the first schedule_changed.
my ($promise) = grep { $_->{event} eq 'schedule_changed' } audit_records($node);
my ($hour, $minute) = $promise->{time} =~ /^2026-06-01T(\d+):(\d+)/ or die $promise->{time};
my $first = timegm(0, $minute, $hour, 1, 5, 2026) / 60 + 1;
my @wrong = map { "minute $_: " . join(', ', @{ $seen{$_} // ['nothing'] }) } grep { @{ $seen{$_} // [] } != 1 } $first .. $last;
is(join("\n", @wrong), '', 'every due time is served once or recorded as missed (' . ($last - $first + 1) . ' of them)');
cmp_ok($last - $first, '>=', $seconds / 3, 'and there were some');
cmp_ok(scalar(grep { $_->[0] =~ /requested/ } values %seen), '>=', 3, 'and runs among them');
done_testing;
