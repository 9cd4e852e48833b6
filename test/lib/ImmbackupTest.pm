# What the TAP tests of the worker share: a server that preloads immbackup and has a backup directory of its own, ways
# to hold a run in a phase (locks, never sleeps), and the checks that must hold after every test, made by other means
# than immbackup's own: the chain by Digest::SHA, the files by sha256sum and gunzip, the processes by /proc.
package ImmbackupTest;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use Fcntl qw(:flock);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  new_node start_with restart_with backup_directory ready wait_state wait_ready poll
  hold_table hold_audit_log hold_directory release
  start_run wait_dump_waits wait_run_ended last_run run_state
  scheduler_pid job_pid dump_pid our_processes alive remember_scheduler
  audit_records chain_problem active_problem allow_crash
  is_sound is_idle
);

# Values of the caller's own environment have no place in a test.
delete @ENV{ grep { /^(?:BACKUP|DB)_/ } keys %ENV };
delete $ENV{TZ};

my $limit = $PostgreSQL::Test::Utils::timeout_default;

# What a test knows of a node beside PostgreSQL::Test::Cluster: sessions (in the kernel's sense) of its schedulers,
# which jobs and pg_dump inherit, and lines of the log that the test has caused.
my %known;

# new_node(NAME, conf => [line...], environment => {...}): a running server with the extension in database postgres.
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ]);
	my $directory = backup_directory($node);
	mkdir $directory, 0700 or die "could not make $directory: $!";
	$node->append_conf(
		'postgresql.conf', join "\n",
		"shared_preload_libraries = 'immbackup'",
		"immbackup.directory = '$directory'",
		"immbackup.schedule = ''",
		"log_line_prefix = '%m [%p] %b '",
		'log_statement = none',
		'restart_after_crash = on',
		@{ $params{conf} // [] });
	start_with($node, %{ $params{environment} // {} });
	$node->safe_psql('postgres', 'CREATE EXTENSION immbackup');
	wait_ready($node) unless $params{bad};
	return $node;
}

# Starts the server with further environment variables.
sub start_with
{
	my ($node, %environment) = @_;
	local %ENV = (%ENV, %environment);
	$node->start;
	return;
}

sub restart_with
{
	my ($node, %environment) = @_;
	$node->stop;
	start_with($node, %environment);
	return;
}

# Outside of the data directory.
sub backup_directory { my ($node) = @_; return $node->basedir . '/backups'; }

# Polls until the code returns true. False only when the time is up, which no sound run comes near.
sub poll(&;$)
{
	my ($code, $seconds) = @_;
	my $deadline = time + ($seconds // $limit);
	while (time < $deadline)
	{
		my $result = eval { $code->() };
		return $result if $result;
		sleep 0.05;
	}
	return;
}

# One value, or undef where the server does not answer.
sub ask
{
	my ($node, $sql) = @_;
	my ($status, $out) = $node->psql('postgres', $sql, on_error_die => 0);
	return defined $status && $status == 0 ? $out : undef;
}

sub wait_state
{
	my ($node, $state) = @_;
	my $reached = poll { (ask($node, 'SELECT worker_state FROM immbackup.status') // '') eq $state };
	diag('the worker is ' . (ask($node, 'SELECT status FROM immbackup.status') // 'not reachable')) unless $reached;
	remember_scheduler($node) if $reached;
	return $reached;
}
sub wait_ready { my ($node) = @_; return wait_state($node, 'ready'); }
sub ready { my ($node, $what) = @_; return ok(wait_ready($node), "$what: the worker is ready"); }

# ------------------------------------------------------------------------------------------- phases

# A session that holds a table of a database, so that pg_dump waits for it. End with release().
sub hold_table
{
	my ($node, $database, $table) = @_;
	my $session = $node->background_psql($database);
	$session->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	return $session;
}

# The audit log's lock: a job stops where it wants to append. It gives up after 10 s.
sub hold_audit_log
{
	my ($node) = @_;
	return _hold_file(backup_directory($node) . '/logs/backup_audit.jsonl', '<');
}

# The directory's lock: a job stops before it has done anything. It gives up after 30 s.
sub hold_directory
{
	my ($node) = @_;
	return _hold_file(backup_directory($node) . '/immbackup.lock', '+>>');
}

sub _hold_file
{
	my ($path, $mode) = @_;
	open my $file, $mode, $path or die "could not open $path: $!";
	flock $file, LOCK_EX or die "could not lock $path: $!";
	return $file;
}

sub release
{
	my ($held) = @_;
	return close $held if ref $held eq 'GLOB';
	# The server under the session may be gone already.
	eval { $held->quit };
	return;
}

# Asks for a run and returns its id once it is recorded.
sub start_run
{
	my ($node, $databases) = @_;
	my $argument = defined $databases ? "'{$databases}'" : 'NULL';
	return $node->safe_psql('postgres', "SELECT immbackup.run_now($argument, wait => false)");
}

sub wait_dump_waits
{
	my ($node, $database) = @_;
	my $of = defined $database ? "AND datname = '$database'" : '';
	return poll
	{
		(
			ask($node,
				"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'immbackup%' AND wait_event_type = 'Lock' $of"
			  )
			  // 0) > 0
	};
}

sub last_run { my ($node) = @_; return $node->safe_psql('postgres', 'SELECT max(run) FROM immbackup.runs'); }

sub run_state
{
	my ($node, $run) = @_;
	return ask($node, "SELECT state FROM immbackup.runs WHERE run = '$run'");
}

sub wait_run_ended
{
	my ($node, $run) = @_;
	my $state;
	poll
	{
		$state = run_state($node, $run) // '';
		$state =~ /^(?:good|failed|cancelled)$/;
	};
	return $state;
}

# ---------------------------------------------------------------------------------------- processes

sub scheduler_pid
{
	my ($node) = @_;
	my $pid;
	poll { $pid = ask($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'immbackup scheduler'") };
	$known{ $node->name }{sessions}{$pid} = 1 if $pid;
	return $pid;
}
sub remember_scheduler { return scheduler_pid(@_); }

# Processes of the sessions of this node's schedulers: [pid, name]. Zombies are none.
sub our_processes
{
	my ($node) = @_;
	my $sessions = $known{ $node->name }{sessions} // {};
	my @found;
	for my $path (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $path or next;
		my $line = <$file> // next;
		my ($pid, $name, $state, undef, undef, $session) = $line =~ /^(\d+) \((.*)\) (\S) (\d+) (\d+) (\d+)/s or next;
		push @found, [ $pid, $name ] if $sessions->{$session} && $pid != $session && $state ne 'Z';
	}
	return @found;
}

sub job_pid { my ($node) = @_; return _pid_of($node, 'immbackup'); }
sub dump_pid { my ($node) = @_; return _pid_of($node, 'pg_dump'); }

sub _pid_of
{
	my ($node, $name) = @_;
	my $pid;
	poll { ($pid) = map { $_->[0] } grep { $_->[1] eq $name } our_processes($node) };
	return $pid // die "there is no $name";
}

sub alive { my ($pid) = @_; return kill 0, $pid; }

# ------------------------------------------------------------------------------------------- checks

sub audit_records
{
	my ($node) = @_;
	return map { decode_json($_) }
	  grep { /"hash":"[0-9a-f]{64}"\}$/ } split /\n/, slurp_file(backup_directory($node) . '/logs/backup_audit.jsonl');
}

# Why the chain does not hold; nothing where it does.
sub chain_problem
{
	my ($path) = @_;
	my $text = slurp_file($path);
	return 'the last line has no end' unless $text =~ /\n\z/;
	my ($seq, $prev) = (0, '0' x 64);
	for my $line (split /\n/, $text)
	{
		++$seq;
		my ($covered, $hash) = $line =~ /^(.*),"hash":"([0-9a-f]{64})"\}$/ or return "record $seq: no hash";
		return "record $seq: hash does not match" if sha256_hex($covered) ne $hash;
		my $record = eval { decode_json($line) } or return "record $seq: no JSON";
		return "record $seq: sequence $record->{seq}" if $record->{seq} != $seq;
		return "record $seq: does not follow the one before" if $record->{prev} ne $prev;
		$prev = $hash;
	}
	return;
}

# What in active/ is not a complete backup, or what in incoming/ is left.
sub active_problem
{
	my ($directory) = @_;
	my %files = map { $_ => 1 } slurp_dir("$directory/active");
	delete @files{ '.', '..' };
	for my $file (sort keys %files)
	{
		my ($stem) = $file =~ /^(.*\.sql\.gz)(?:\.sha256|\.manifest\.json)?$/ or return "foreign file $file";
		for my $part ($stem, "$stem.sha256", "$stem.manifest.json")
		{
			return "$file has no $part" unless $files{$part};
		}
		next if $file ne $stem;
		return "$file does not have its digest"
		  unless run_log([ 'sh', '-c', 'cd "$1" && sha256sum --quiet -c "$2"', 'sh', "$directory/active", "$file.sha256" ]);
		return "$file is no gzip file" unless run_log([ 'gunzip', '-t', "$directory/active/$file" ]);
		my $manifest = decode_json(slurp_file("$directory/active/$file.manifest.json"));
		return "$file is not what its manifest says" if $manifest->{sha256} ne _file_hash("$directory/active/$file");
	}
	my @left = grep { !/^\.\.?$/ } slurp_dir("$directory/incoming");
	return @left ? "left in incoming/: @left" : undef;
}

sub _file_hash { return Digest::SHA->new(256)->addfile($_[0], 'b')->hexdigest; }

# A line of the server log that the test causes on purpose, as a regular expression.
sub allow_crash
{
	my ($node, $pattern) = @_;
	push @{ $known{ $node->name }{allowed} }, $pattern;
	return;
}

sub _crash_lines
{
	my ($node) = @_;
	my @allowed = @{ $known{ $node->name }{allowed} // [] };
	return grep {
		my $line = $_;
		$line =~ /TRAP:|PANIC:|terminated by signal|server process .* exited with exit code/ && !grep { $line =~ $_ } @allowed
	} split /\n/, slurp_file($node->logfile);
}

# No run going on, no process of one.
sub is_idle
{
	my ($node, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @left;
	my $idle = poll { !(@left = our_processes($node)) };
	ok($idle, "$what: no process is left over") or diag(join ', ', map { "$_->[1] $_->[0]" } @left);
	return $idle;
}

# What must hold whenever nothing is going on.
sub is_sound
{
	my ($node, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_idle($node, $what);
	my $directory = backup_directory($node);
	is(active_problem($directory), undef, "$what: active/ holds only complete backups");
	is(chain_problem("$directory/logs/backup_audit.jsonl"), undef, "$what: the audit chain holds");
	is(join("\n", _crash_lines($node)), '', "$what: no crash in the server log");
	return;
}

1;
